"""Whether a scorer's model is there, before a run gives the answers that it is to score."""

from __future__ import annotations

from pathlib import Path

from rmtbench.errors import MissingError, UserError
from rmtbench.hub import hub_is_off, look_for_hub
from rmtbench.models.embed_files import MINILM
from rmtbench.options import flag

WEIGHTS = ("*.safetensors", "*.bin")


def check_scorer(name: str) -> None:
    """Refuse a scorer that has no configuration or tokenizer; its weights are only loaded when answers are scored.

    Args:
        name: As after ``--scorer``: ``minilm``, a hub id or a path.

    Raises:
        UserError: It cannot be loaded.
    """
    if name == MINILM:
        return
    from transformers import AutoConfig, AutoTokenizer

    if not Path(name).is_dir():
        look_for_hub()
    try:
        AutoConfig.from_pretrained(name, trust_remote_code=False)
        AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise _missing(name, type(error).__name__) from error
    if Path(name).is_dir() and not any(any(Path(name).glob(kind)) for kind in WEIGHTS):
        raise _missing(name, "no weights")


def _missing(name: str, why: str) -> UserError:
    remedy = "use minilm, a folder with config.json, tokenizer and weights, or a hub id within reach"
    missing = (
        MissingError if hub_is_off() and not name.startswith((".", "/", "~")) and not Path(name).exists() else UserError
    )
    return missing(f"scorer model '{name}' cannot be loaded ({why})", where=flag.scorer, remedy=remedy)
