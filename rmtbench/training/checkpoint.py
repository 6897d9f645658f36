"""A training on disk: all that the next step depends on, whole at every moment, and checked before it is believed."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from rmtbench.errors import UserError, disk_errors
from rmtbench.files import hash_file
from rmtbench.options import flag
from rmtbench.training.base import Recipe

TENSORS = "tensors.pt"
STATE = "state.json"


@dataclass(slots=True)
class LogSums:
    """Sums over the steps since the last line of the log; of a metric also how many steps had it."""

    steps: int = 0
    loss: float = 0.0
    gradient_norm: float = 0.0
    tokens: int = 0
    seconds: float = 0.0
    metrics: dict[str, list[float]] = field(default_factory=dict)

    def add(self, loss: float, gradient_norm: float, metrics: Mapping[str, float], tokens: int, seconds: float) -> None:
        """Count one step."""
        self.steps += 1
        self.loss += loss
        self.gradient_norm += gradient_norm
        self.tokens += tokens
        self.seconds += seconds
        for name, value in metrics.items():
            total, count = self.metrics.get(name, (0.0, 0))
            self.metrics[name] = [total + float(value), count + 1]


@dataclass(slots=True)
class State:
    """Where a training stands, its tensors aside.

    Attributes:
        step: Steps done or left out.
        skipped: Of these, how many promotions left out.
        recent: The last figures that this stage's promotion is decided by.
        tokens: Read in all.
        seconds: Of stepping.
        exported: Names of the folders that are written and whole.
        window: Since the last line of the log.
    """

    step: int = 0
    skipped: int = 0
    recent: list[float] = field(default_factory=list)
    tokens: int = 0
    seconds: float = 0.0
    exported: list[str] = field(default_factory=list)
    window: LogSums = field(default_factory=LogSums)


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """Fill an empty folder under another name, which takes the place of `folder` when the block ends without error."""
    new, old = _beside(folder)
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    yield new
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def save(
    folder: Path,
    recipe: Recipe,
    module: torch.nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    state: State,
) -> None:
    """Write a checkpoint in place of the one before, which stays until this one is whole.

    Raises:
        UserError: The disk is full, or the folder cannot be written.
    """
    with disk_errors(folder, flag.out), replaced(folder) as new:
        tensors = {"module": module.state_dict(), "optimizers": [each.state_dict() for each in optimizers]}
        torch.save(tensors, new / TENSORS)
        described = {
            "recipe": recipe.name,
            "identity": recipe.identity,
            "tensors_sha256": hash_file(new / TENSORS),
            "state": asdict(state),
        }
        (new / STATE).write_text(json.dumps(described, indent=1), encoding="utf-8")
        for name in (TENSORS, STATE):
            with (new / name).open("rb+") as stream:
                os.fsync(stream.fileno())  # else a power cut could leave the new name with the old folder gone


def restore(
    folder: Path, recipe: Recipe, module: torch.nn.Module, optimizers: Sequence[torch.optim.Optimizer]
) -> State | None:
    """Bring module and optimizers to where a checkpoint left them.

    Args:
        folder: The checkpoint.
        recipe: Must be the checkpoint's own.
        module: Gets its parameters and buffers.
        optimizers: As `make_optimizers` makes them for the module.

    Returns:
        The state to go on from, or None without a checkpoint.

    Raises:
        UserError: The checkpoint belongs to another recipe, is damaged, or does not fit the module.
    """
    _, old = _beside(folder)
    if old.exists() and not folder.exists():
        old.rename(folder)  # killed between two renames
    if not folder.exists():
        return None
    described = _described(folder / STATE)
    if described["identity"] != recipe.identity:
        theirs = f"'{described['recipe']}' ({described['identity'][:8]})"
        raise UserError(
            f"the checkpoint is of recipe {theirs}, and this is recipe '{recipe.name}' ({recipe.identity[:8]})",
            where=str(folder),
            remedy=f"choose another folder with {flag.out}, or train with the recipe it began with",
        )
    path = folder / TENSORS
    if not path.is_file() or hash_file(path) != described["tensors_sha256"]:
        raise _damaged(path, "it is not the file that was written")
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise _damaged(path, str(error).splitlines()[0]) from error
    try:
        module.load_state_dict(tensors["module"])
        for optimizer, saved in zip(optimizers, tensors["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"the checkpoint does not fit this model: {' '.join(str(error).split())[:200]}",
            where=str(path),
            remedy=f"choose another folder with {flag.out}, or train with the version that wrote it",
        ) from error
    state: State = described["state"]
    return state


def _described(path: Path) -> dict[str, Any]:
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
        window = LogSums(**row["state"].pop("window"))
        row["state"] = State(**row["state"], window=window)
        return {name: row[name] for name in ("recipe", "identity", "tensors_sha256", "state")}
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from error


def _damaged(path: Path, why: str) -> UserError:
    return UserError(
        f"the checkpoint is damaged ({why})",
        where=str(path),
        remedy=f"remove {path.parent} to train anew, or choose another folder with {flag.out}",
    )


def _beside(folder: Path) -> tuple[Path, Path]:
    return folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
