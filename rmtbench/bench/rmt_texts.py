"""What the benches of recurrent memory load, and the texts that they read."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from rmtbench.core import AnswerStyle
from rmtbench.errors import UserError
from rmtbench.models.load import load_model
from rmtbench.models.local import LocalModel
from rmtbench.rmt.base import BaseIdentity
from rmtbench.rmt.decoder import RecurrentDecoder
from rmtbench.rmt.storage import from_pretrained, read_stored
from rmtbench.rmt.tasks.base import Sample, Task

ANSWER_TOKENS = 80
"""Most tokens of an answer, its reasoning included."""
DRAWS = 300
"""Questions whose longest decides how much of a segment is text, where the question follows it."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What is loaded, and how.

    Attributes:
        memory: Folder of a trained memory.
        model: Id or path of its base model; None for the id that the memory names.
        style: Answer style of the prompts.
        device: A torch device name.
        dtype: Of the weights.
        threads: CPU threads; None for torch's own choice.
    """

    memory: Path
    model: str | None = None
    style: AnswerStyle = "bridge"
    device: str = "cpu"
    dtype: str = "float32"
    threads: int | None = None


@dataclass(frozen=True, slots=True)
class Length:
    """How many texts of which length.

    Attributes:
        label: As it was asked for, such as ``32k``.
        tokens: At least so many, to the end of the last segment.
        samples: Texts, one question each.
    """

    label: str
    tokens: int
    samples: int

    def segments(self, size: int) -> int:
        """Segments of `size` tokens that hold it."""
        return -(-self.tokens // size)


def load_base(opening: Opening) -> LocalModel:
    """The base model as it was before the memory was trained.

    Raises:
        UserError: There is no such memory or model, or the memory is an encoder's.
    """
    stored = read_stored(opening.memory)
    if stored.config.kind != "decoder":
        raise UserError(
            "this memory belongs to an encoder, which writes no answers",
            where=f"--memory {opening.memory}",
            remedy="name a memory of a causal language model",
        )
    if opening.threads is not None:
        torch.set_num_threads(opening.threads)
    model = load_model(
        opening.model or stored.base.id,
        style=opening.style,
        dtype=opening.dtype,
        device=opening.device,
        seed=int(stored.notes.get("seed", 0)),  # of random weights, which training drew by the same seed
    )
    return replace(model, max_answer_tokens=ANSWER_TOKENS)


def load_memory(opening: Opening) -> tuple[LocalModel, RecurrentDecoder]:
    """The base model and the trained memory around it, which has changed it in place.

    Raises:
        UserError: One of them is missing, they do not belong together, or the memory is an encoder's.
    """
    local = load_base(opening)
    model = from_pretrained(opening.memory, local.model, BaseIdentity.of(local.provenance))
    if not isinstance(model, RecurrentDecoder):  # pragma: no cover - its kind was checked
        raise TypeError(type(model))
    return local, model.eval()


def make_pieces(make: Callable[[int], Task], length: Length, size: int, *, query_first: bool) -> tuple[Task, int]:
    """A task whose segments leave room for what stands beside them, as in training.

    Args:
        make: Makes the task for a number of tokens a segment.
        length: Of the texts.
        size: Tokens of a full segment.
        query_first: Whether the question follows the text of every segment.

    Returns:
        The task, and how many tokens of text its segments have.

    Raises:
        UserError: The questions leave no room for text.
    """
    task = make(size)
    if not query_first:
        return task, size
    chance = random.Random(0)  # noqa: S311 - no secret
    longest = max(len(draw(task, length.segments(size), chance, length).question) for _ in range(DRAWS))
    if 2 * longest > size:
        raise UserError(
            f"questions of {longest} tokens leave too little of a segment of {size} to its text",
            where="--memory",
            remedy="name a memory with longer segments",
        )
    return make(size - longest), size - longest


def chance_of(task: Task, segments: int, seed: int, number: int) -> random.Random:
    """The random numbers that decide one text of a length."""
    return random.Random(f"{seed}/{task.name}/{segments}/{number}")  # noqa: S311 - no secret


def draw(task: Task, segments: int, chance: random.Random, length: Length) -> Sample:
    """Make one text with its question.

    Raises:
        UserError: The task cannot be told in so short a text.
    """
    try:
        return task.sample(segments, chance)
    except ValueError as error:
        raise UserError(
            f"task '{task.name}' cannot be told in {segments} segments ({error})",
            where=f"--lengths {length.label}",
            remedy="ask for longer texts",
        ) from error
