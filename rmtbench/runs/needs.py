"""What a run needs on this machine, looked for before anything is loaded, converted or fetched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rmtbench.corpora.base import TokenCounter
from rmtbench.errors import MissingError, UserError, first_line
from rmtbench.hub import NEEDS, hub_is_off
from rmtbench.models.architecture import context_limit
from rmtbench.models.control_tokens import control_marks, count_tokens
from rmtbench.models.embed_files import MINILM, model_folder
from rmtbench.models.endpoint.address import is_endpoint, served_name
from rmtbench.models.endpoint.tokenizer import NoTokenizer, load_endpoint_tokenizer
from rmtbench.models.gguf import gguf_context_limit
from rmtbench.models.load import load_token_counter
from rmtbench.models.random_geometry import geometry, is_random
from rmtbench.models.sources import find_source, to_convert
from rmtbench.options import flag

CHARACTERS_A_TOKEN = 4
"""By which a server's tokens are counted where nothing here has its tokenizer: a rule of thumb for English."""


def rough_count(texts: Sequence[str]) -> list[int]:
    """About how many tokens each text has, by its characters."""
    return [math.ceil(len(text) / CHARACTERS_A_TOKEN) for text in texts]


def find_counter(model: str, tokenizer: str | None, adapter: str | None = None) -> TokenCounter:
    """What counts tokens as the model under test does, or about as a served one does: see `rough_count`.

    A GGUF file is counted by its own tokenizer; its weights are not converted.

    Args:
        model: As a request names it.
        tokenizer: Another tokenizer than the model's own.
        adapter: An adapter that may bring its own tokenizer, as a request names it.

    Raises:
        MissingError: The model or the tokenizer is on the hub, and the hub is not within reach.
        UserError: The model or the tokenizer is missing, so that the run itself could not begin.
    """
    try:
        return _counter(model, tokenizer, adapter)
    except UserError as error:
        named = tokenizer if tokenizer is not None and error.where.startswith(flag.tokenizer) else model
        if hub_is_off() and _is_of_the_hub(named):
            raise MissingError(error.what, where=error.where, remedy=error.remedy) from error
        raise


def _counter(model: str, tokenizer: str | None, adapter: str | None) -> TokenCounter:
    if is_endpoint(model):  # its tokenizer is loaded without torch, for which a served run does not wait
        words = load_endpoint_tokenizer(served_name(model), tokenizer, needed_for=None)
        return (
            rough_count if isinstance(words, NoTokenizer) else partial(count_tokens, words, marks=control_marks(words))
        )
    if not is_random(model) and to_convert(model) is None:
        _check_there(find_source(model, adapter).path)
    return load_token_counter(model, tokenizer, adapter)


def find_limit(model: str, adapter: str | None = None) -> int | None:
    """Return a model's longest context by its configuration; None without a limit, or behind a server.

    Args:
        model: As a request names it; `find_counter` has found it.
        adapter: As a request names it.

    Raises:
        UserError: The model is missing.
    """
    if is_endpoint(model):
        return None
    if (file := to_convert(model)) is not None:
        return gguf_context_limit(file)
    from transformers import AutoConfig

    if is_random(model):
        return context_limit(AutoConfig.for_model(**geometry(model)))
    return context_limit(AutoConfig.from_pretrained(find_source(model, adapter).path, trust_remote_code=False))


def _is_of_the_hub(name: str) -> bool:
    """Whether a name is a hub id, and no path."""
    return not name.startswith((".", "/", "~")) and not Path(name).exists()


def _check_there(model: str) -> None:
    """Refuse a model of which there is no configuration: a tokenizer of another model would hide that it is missing."""
    from transformers import AutoConfig

    try:
        AutoConfig.from_pretrained(model, trust_remote_code=False)
    except Exception as error:  # files of others can fail in any way
        if "gated repo" in str(error).lower():
            raise MissingError(
                f"model '{model}' needs a licence or a token",
                where=flag.model,
                remedy="accept its licence on the hub and set HF_TOKEN",
            ) from error
        raise UserError(
            f"model '{model}' cannot be loaded ({first_line(error)})",
            where=flag.model,
            remedy=f"give a folder with config.json, tokenizer and weights, or random:tiny; {NEEDS}",
        ) from error


def check_embedder(name: str) -> None:
    """Refuse an embedder that is not here.

    Args:
        name: A folder, `MINILM` or a hub id; not one behind a server.

    Raises:
        MissingError: It is a hub id whose files are not in the hub's cache; a run fetches them.
        UserError: No such folder, or not a sentence-transformers model.
    """
    if name == MINILM or Path(name).expanduser().exists():
        model_folder(name)
        return
    if not _is_of_the_hub(name):
        remedy = f"name a sentence-transformers model, or use {MINILM}"
        raise UserError("no such folder", where=f"{flag.embedder} {name}", remedy=remedy)
    from huggingface_hub import try_to_load_from_cache

    if not isinstance(try_to_load_from_cache(name, "modules.json"), str):
        remedy = f"a run fetches it if the hub is within reach; {flag.embedder} {MINILM} needs none"
        raise MissingError(f"embedder '{name}' is not on this machine", where=flag.embedder, remedy=remedy)
