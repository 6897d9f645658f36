"""A trained memory on disk: its settings, what was trained, and which base model it belongs to. Never on another one.

The JSON is written last and holds the weights' hash: without it, or with another file beside it, nothing is loaded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from rmtbench.errors import UserError, disk_errors
from rmtbench.files import hash_file
from rmtbench.options import flag
from rmtbench.rmt.base import BaseIdentity
from rmtbench.rmt.config import RmtConfig
from rmtbench.rmt.decoder import RecurrentDecoder
from rmtbench.rmt.encoder import RecurrentEncoder

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CONFIG, WEIGHTS = "rmt.json", "rmt.safetensors"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Stored:
    """What a folder says of itself, before any weights are read.

    Attributes:
        config: Settings.
        base: The base model that it belongs to.
        notes: What its maker wrote down, such as stages and accuracies.
        weights_sha256: Hash of the file of weights.
    """

    config: RmtConfig
    base: BaseIdentity
    notes: Mapping[str, Any]
    weights_sha256: str


def wrap(model: PreTrainedModel, config: RmtConfig, identity: BaseIdentity) -> RecurrentDecoder | RecurrentEncoder:
    """Give a pretrained model a memory that has learned nothing yet.

    Args:
        model: A transformers model, changed in place (weights are frozen, or given adapters): give a copy of one that
            others use too.
        config: Says of which kind.
        identity: Which weights the model has.

    Raises:
        UserError: The model cannot be wrapped so.
    """
    return (RecurrentDecoder if config.kind == "decoder" else RecurrentEncoder)(model, config, identity)


def save_pretrained(
    model: RecurrentDecoder | RecurrentEncoder,
    folder: Path,
    notes: Mapping[str, Any] | None = None,
    *,
    compact: bool = False,
) -> None:
    """Write settings, and the weights that train: memory, and adapters or the whole base model.

    Args:
        model: As it is now.
        folder: Made if need be; files of an earlier saving are replaced.
        notes: What else to keep, as JSON.
        compact: Round the base model's own weights, where they train, to bfloat16: half the bytes, and no longer the
            very weights. Memory and adapters keep float32.

    Raises:
        UserError: The disk is full, or the folder cannot be written.
    """
    from safetensors.torch import save_file

    with disk_errors(folder, flag.out):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG).unlink(missing_ok=True)
        tensors = {name: weight.detach().contiguous() for name, weight in model.trained().items()}
        if compact and model.config.trained in ("layers", "all"):
            tensors |= {name: each.bfloat16() for name, each in tensors.items() if name.startswith("base.")}
        save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
        described = {
            "version": VERSION,
            "config": model.config.described(),
            "base": asdict(model.identity),
            "weights_sha256": hash_file(folder / WEIGHTS),
            "notes": dict(notes or {}),
        }
        (folder / CONFIG).write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")


def read_stored(folder: Path) -> Stored:
    """What a folder says of itself.

    Raises:
        UserError: It holds no memory, one of another version, or a damaged one.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise UserError(
            f"no trained memory here: there is no {CONFIG}",
            where=str(folder),
            remedy="name a folder that `rmtbench train rmt` has written",
        )
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
        version, settings = row["version"], row["config"]
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from error
    if version != VERSION:
        raise UserError(
            f"the memory has version {version}, and this is version {VERSION}",
            where=str(path),
            remedy="use the rmtbench that wrote it, or train the memory again",
        )
    try:
        return Stored(
            RmtConfig.read(settings), BaseIdentity(**row["base"]), dict(row["notes"]), str(row["weights_sha256"])
        )
    except (UserError, ValueError, KeyError, TypeError, IndexError) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from error


def from_pretrained(
    folder: Path, model: PreTrainedModel, identity: BaseIdentity
) -> RecurrentDecoder | RecurrentEncoder:
    """Wrap a base model and give it a trained memory.

    Args:
        folder: As `save_pretrained` wrote it.
        model: The base model, changed in place (give a copy of one that others use too); saved weights take its dtype.
        identity: Which weights it has.

    Raises:
        UserError: The memory belongs to another base model or tokenizer, or a file is missing or damaged.
    """
    stored = read_stored(folder)
    _check_base(stored.base, identity, folder)
    wrapped = wrap(model, stored.config, identity)
    if not _take(stored, folder, wrapped):
        raise _damaged(folder / WEIGHTS, "it holds other weights than its settings say")
    return wrapped


def start_from(folder: Path, model: RecurrentDecoder | RecurrentEncoder) -> Stored:
    """Give a wrapped model the weights of a trained memory, so that a training goes on from them.

    Args:
        folder: As `save_pretrained` wrote it. Its settings may differ where they change no weight's shape; associations
            that it has none of begin anew.
        model: Of the same base model, changed in place.

    Returns:
        What the folder says of itself.

    Raises:
        UserError: The memory belongs to another base model, has other weights, or a file is missing or damaged.
    """
    stored = read_stored(folder)
    _check_base(stored.base, model.identity, folder)
    if not _take(stored, folder, model, may_lack="associations."):
        asked = asdict(model.config)
        own = [f"{name} {value}" for name, value in asdict(stored.config).items() if value != asked[name]]
        raise UserError(
            "this memory has other weights than the one to be trained",
            where=str(folder),
            remedy=f"train with its own settings: {', '.join(own)}",
        )
    return stored


def _take(
    stored: Stored, folder: Path, model: RecurrentDecoder | RecurrentEncoder, may_lack: str | None = None
) -> bool:
    """Copy a folder's weights into a model that has the same ones; False where it has others.

    Args:
        stored: What the folder says of itself.
        folder: Holds the weights.
        model: Gets them.
        may_lack: Begin of the names that the folder need not have any of.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / WEIGHTS
    if not path.is_file():
        raise _damaged(path, "the file is missing")
    if hash_file(path) != stored.weights_sha256:
        raise _damaged(path, "it is not the file that was written")
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise _damaged(path, str(error).splitlines()[0]) from error
    weights = model.trained()
    if may_lack and not any(name.startswith(may_lack) for name in tensors):
        weights = {name: weight for name, weight in weights.items() if not name.startswith(may_lack)}
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if shapes != {name: tuple(weight.shape) for name, weight in weights.items()}:
        return False
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(tensors[name])
    return True


def _check_base(stored: BaseIdentity, given: BaseIdentity, folder: Path) -> None:
    for what, theirs, ours in (
        ("weights", stored.weights_sha256, given.weights_sha256),
        ("tokenizer", stored.tokenizer_sha256, given.tokenizer_sha256),
        ("configuration", stored.configuration_sha256, given.configuration_sha256),
    ):
        unknown = what == "configuration" and None in (theirs, ours)  # memories of before it was recorded
        if theirs != ours and not unknown:
            raise UserError(
                f"the memory belongs to base model '{stored.id}' ({what} {(theirs or 'none')[:8]}), and this is "
                f"'{given.id}' ({what} {(ours or 'none')[:8]})",
                where=str(folder),
                remedy=f"use it with '{stored.id}' as the base model, or train a memory for '{given.id}'",
            )


def _damaged(path: Path, why: str) -> UserError:
    return UserError(
        f"the trained memory is damaged ({why})",
        where=str(path),
        remedy="copy the folder again from where it came, or train the memory again",
    )
