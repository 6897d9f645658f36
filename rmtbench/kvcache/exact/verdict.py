"""Which ways of reading a model are exact, tried once for each identity of the model and kept on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
import transformers

import rmtbench
from rmtbench.files import write_atomically
from rmtbench.kvcache.exact.trial import try_ways
from rmtbench.measure import computing_unit
from rmtbench.models.identity import canonical
from rmtbench.models.local import LocalModel

ROOMS = ("kvcache", "kvcache/exact", "models", "models/native")
"""Packages whose code reads a model."""


def verdicts(model: LocalModel, ways: Sequence[str], folder: Path) -> dict[str, str]:
    """Why each way of reading cannot be used, tried now or before.

    Args:
        model: The model.
        ways: See `rmtbench.kvcache.exact.trial`.
        folder: Where verdicts are kept; one that cannot be read or written is tried again each time.

    Returns:
        A reason for each way; empty where the way is exact.
    """
    known = _read(path := folder / f"{_key(model)}.json")
    missing = [way for way in ways if way not in known]
    if missing:
        known |= try_ways(model, missing)
        if len(str(model.provenance.get("weights_sha256"))) == 64:  # else another model could have the same key
            _write(path, known)
    return {way: known[way] for way in ways}


def _key(model: LocalModel) -> str:
    """The model as its provenance has it, the machine's processors, the libraries, and our own code."""
    settings = model.model.config.to_dict()
    identity = {
        "provenance": dict(model.provenance),
        "config": {name: value for name, value in settings.items() if name != "_name_or_path"},
        "unit": computing_unit(model.model.device),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__, "triton": _triton()},
        "code": _code(),
    }
    return hashlib.sha256(canonical(identity).encode()).hexdigest()


def _triton() -> str:
    try:
        return version("triton")
    except PackageNotFoundError:
        return ""


def _code() -> str:
    digest, root = hashlib.sha256(), Path(rmtbench.__file__).parent
    for path in sorted(path for room in ROOMS for path in (root / room).iterdir() if path.suffix in {".py", ".cpp"}):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _read(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    whole = isinstance(found, dict) and all(isinstance(reason, str) for reason in found.values())
    return found if whole else {}


def _write(path: Path, known: dict[str, str]) -> None:
    """Whole or not at all: two processes may write the same verdict at once."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(known, indent=1).encode())
    except OSError:
        return
