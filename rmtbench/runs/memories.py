"""Trained memories: which one a run is given, how results name it, and how it is put around the model's weights."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import rmtbench
from rmtbench.core import SHIPPED_MODELS
from rmtbench.errors import UserError
from rmtbench.options import flag
from rmtbench.systems.resources import LoadedMemory

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from rmtbench.models.local import LocalModel

SHIPPED = Path(rmtbench.__file__).parent / "assets" / "rmt"
"""Memories that come with the package: `<model>-<mode>`, or `<model>` where one serves both modes."""


def memory_folder(given: Path | None, model: str, mode: str) -> Path | None:
    """The folder of the memory that is given, else of that shipped for a model and mode, else None.

    Args:
        given: What the user named.
        model: The model's name.
        mode: How a system reads with it.
    """
    if given is not None:
        return given.expanduser()
    names = (f"{model}-{mode}", model) if model in SHIPPED_MODELS else ()
    return next((SHIPPED / name for name in names if (SHIPPED / name).is_dir()), None)


def memory_label(folder: Path) -> str:
    """Return a memory's name in results: its folder's name, and eight digits of its hash.

    Raises:
        UserError: The folder holds no memory, or a damaged one.
    """
    return f"{folder.resolve().name}@{_sha256(folder)[:8]}"


def load_memory(folder: Path, model: LocalModel) -> LoadedMemory:
    """Put a trained memory around a copy of a model's weights, which other systems go on using as they are.

    Args:
        folder: As `rmtbench train rmt` wrote it.
        model: The model that it was trained for.

    Raises:
        UserError: The memory belongs to another model, is damaged, or is an encoder's, which cannot answer.
    """
    from rmtbench.rmt.base import BaseIdentity
    from rmtbench.rmt.decoder import RecurrentDecoder
    from rmtbench.rmt.storage import from_pretrained, read_stored

    stored = read_stored(folder)
    if stored.config.kind != "decoder":
        raise UserError(
            "this memory is an encoder's, which writes no answers",
            where=f"{flag.rmt} {folder}",
            remedy="name a decoder's",
        )
    base = _copied(model.model, weights=stored.config.trained != "memory")
    decoder = from_pretrained(folder, base, BaseIdentity.of(model.provenance)).eval()
    if not isinstance(decoder, RecurrentDecoder):  # pragma: no cover - its kind was checked
        raise TypeError(type(decoder))
    told = {
        "name": folder.resolve().name,
        "sha256": _sha256(folder),
        "weights_sha256": stored.weights_sha256,
        "config": stored.config.described(),
        "base": asdict(stored.base),
        "notes": dict(stored.notes),
    }
    return LoadedMemory(decoder, json.loads(json.dumps(told)))


def _copied(model: PreTrainedModel, *, weights: bool) -> PreTrainedModel:
    """A model with modules of its own: a memory of its layers hooks into them, and other systems would be slowed by it.

    Args:
        model: What is copied.
        weights: Whether to copy the weights, too. A memory that is only tokens changes none of them, so it shares them.
    """
    shared = [] if weights else [*model.parameters(), *model.buffers()]
    return copy.deepcopy(model, {id(each): each for each in shared})


def _sha256(folder: Path) -> str:
    """Hash of what a memory says of itself, the hash of its weights included."""
    from rmtbench.rmt.storage import CONFIG, read_stored

    read_stored(folder)
    return hashlib.sha256((folder / CONFIG).read_bytes()).hexdigest()
