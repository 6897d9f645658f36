"""The seam of training: a recipe says how long and how fast, an objective what is learnt. The loop knows no model."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

CHECKPOINT = "checkpoint"
LOG = "log.jsonl"
MODEL = "model"


@dataclass(frozen=True, slots=True)
class Promotion:
    """When a stage has taught what it is to teach, so that the next one begins.

    Attributes:
        metric: Which of the objective's figures counts.
        threshold: What its mean must reach.
        steps: Over how many steps, those that had the figure; all of the same stage.

    Raises:
        ValueError: There are no steps to take a mean over.
    """

    metric: str
    threshold: float
    steps: int

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"a promotion by {self.metric} over {self.steps} steps")


@dataclass(frozen=True, slots=True)
class Stage:
    """Steps that share their settings: the objective's own numbers, such as tokens of context or rows a batch.

    With a promotion, `steps` are the most that it takes. Those left out count as done: the rate goes on from the
    stage's end, and so does the numbering of steps.
    """

    name: str
    steps: int
    settings: Mapping[str, float] = field(default_factory=dict)
    promotion: Promotion | None = None

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"stage {self.name} has {self.steps} steps")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train: all that decides the result, the objective and its data aside.

    Attributes:
        name: What people call it.
        stages: In order; their names differ.
        learning_rate: The highest rate.
        warmup_steps: Steps over which the rate rises linearly from nothing.
        decay_from: Fraction of all steps after which the rate falls linearly.
        floor: Fraction of the rate to which it falls.
        settle_steps: Last steps of all, over which the rate falls again, from the floor to nothing. They need a floor
            above 0, and a `decay_from` below 1.
        gradient_clip: Largest norm of the gradient over all parameters.
        seed: Decides every batch, and the random numbers of every step.
        data: Names what is learnt from, where it can change; part of the identity.
        snapshots: Stage names to names of folders, written when that stage ends.

    Raises:
        ValueError: A field makes no sense.
    """

    name: str
    stages: tuple[Stage, ...]
    learning_rate: float
    warmup_steps: int = 0
    decay_from: float = 1.0
    floor: float = 0.0
    settle_steps: int = 0
    gradient_clip: float = 1.0
    seed: int = 0
    data: str = ""
    snapshots: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [stage.name for stage in self.stages]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"recipe {self.name}: stages must have names of their own, not {names}")
        if not set(self.snapshots) <= set(names):
            raise ValueError(f"recipe {self.name}: a snapshot of a stage that is none of {names}")
        folders = list(self.snapshots.values())
        plain = all(folder == Path(folder).name and not folder.startswith(".") for folder in folders)
        if not plain or len({*folders, CHECKPOINT, LOG, MODEL}) != len(folders) + 3:
            raise ValueError(f"recipe {self.name}: snapshots need plain folder names of their own, not {folders}")
        if not 0 <= self.settle_steps < self.steps:
            raise ValueError(f"recipe {self.name}: {self.settle_steps} of {self.steps} steps cannot all settle")
        if self.settle_steps and not (self.decay_from < 1 and self.floor > 0):
            raise ValueError(f"recipe {self.name}: to settle, the rate must have fallen to a floor above 0")
        if not (0 <= self.decay_from <= 1 and 0 <= self.floor <= 1 and self.gradient_clip > 0):
            raise ValueError(f"recipe {self.name}: decay_from and floor are fractions, gradient_clip is above 0")

    @property
    def steps(self) -> int:
        """Steps of all stages, promotions aside."""
        return sum(stage.steps for stage in self.stages)

    @property
    def identity(self) -> str:
        """SHA-256 over every field: equal recipes have equal identities, in every process."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        fields["stages"] = [_identity(stage) for stage in self.stages]
        fields["snapshots"] = dict(self.snapshots)
        if not self.settle_steps:
            del fields["settle_steps"]  # recipes from before there were such steps keep their identity
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()

    def ends(self) -> Iterator[tuple[Stage, int]]:
        """Each stage with the number of steps done when it ends."""
        end = 0
        for stage in self.stages:
            end += stage.steps
            yield stage, end


def _identity(stage: Stage) -> list[Any]:
    """A stage's fields. Without a promotion, those it had before there were any: checkpoints of then are still good."""
    fields: list[Any] = [stage.name, stage.steps, {key: float(value) for key, value in stage.settings.items()}]
    rule = stage.promotion
    return fields if rule is None else [*fields, [rule.metric, float(rule.threshold), rule.steps]]


class Objective(Protocol):
    """What is learnt. It holds no state between steps but the module's: the loop saves nothing else."""

    @property
    def module(self) -> torch.nn.Module:
        """The parameters to train, and their buffers."""
        ...

    def sample(self, stage: Stage, chance: random.Random) -> Any:  # noqa: ANN401 - the objective's own affair
        """Make one batch.

        Args:
            stage: Its settings say of what size.
            chance: The one source of Python's randomness: the same chance makes the same batch.
        """
        ...

    def loss(self, batch: Any) -> tuple[torch.Tensor, Mapping[str, float], int]:  # noqa: ANN401 - as above
        """Score a batch.

        Returns:
            The loss (a scalar to differentiate), figures for the log by name, and how many tokens were read.
        """
        ...

    def export(self, folder: Path) -> None:
        """Write the model, as it is now, into an empty folder."""
        ...


def share_right(names: Sequence[str], right: Sequence[bool]) -> dict[str, float]:
    """Return the share of right answers under each name, such as a question's kind."""
    by_name: dict[str, list[bool]] = {}
    for name, each in zip(names, right, strict=True):
        by_name.setdefault(name, []).append(each)
    return {name: sum(each) / len(each) for name, each in by_name.items()}


@dataclass(frozen=True, slots=True)
class Progress:
    """One step, told when it is done: `step` counts it, and what a promotion left out.

    Speeds are running means of this process.
    """

    step: int
    total: int
    stage: str
    loss: float
    metrics: Mapping[str, float]
    tokens_per_second: float
    seconds_left: float


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished training: its steps, seconds of stepping and tokens in all, and the model's folder.

    Steps that promotions left out are not among them. `new_steps` are those that this call took; 0 says that the
    training was finished before.
    """

    steps: int
    seconds: float
    tokens: int
    folder: Path
    new_steps: int
