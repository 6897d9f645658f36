"""Models and texts of the benches of recurrent memory."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch

from rmtbench.core import AnswerStyle
from rmtbench.errors import UserError
from rmtbench.models.load import load_model
from rmtbench.models.local import LocalModel
from rmtbench.options import flag
from rmtbench.rmt.base import BaseIdentity
from rmtbench.rmt.decoder import RecurrentDecoder
from rmtbench.rmt.storage import from_pretrained, read_stored
from rmtbench.rmt.tasks.babilong import Babilong
from rmtbench.rmt.tasks.base import Sample, Task, sample_of

ANSWER_TOKENS = 80
"""Maximum tokens of an answer, including its reasoning."""
DRAWS = 300
"""Number of questions that are drawn to find the longest one, which every segment must leave room for."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What to load, and how.

    Attributes:
        memory: Folder of a trained memory.
        model: Id or path of its base model; None for the id that the memory names.
        style: Answer style of the prompts.
        device: A torch device name.
        dtype: Data type of the weights.
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
    """Texts of one length.

    Attributes:
        label: The length as the user wrote it, such as ``32k``.
        tokens: Minimum tokens of a text, which fills its last segment.
        samples: Number of texts, with one question each.
    """

    label: str
    tokens: int
    samples: int


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts of one length, each with its question.

    Attributes:
        task: Makes the texts.
        piece: Tokens of text in a segment.
        length: Number and length of the texts.
        seed: Decides each text together with its number.
        room: Maximum tokens of a question; None for a full segment.
        rows: What makes each text, where a file holds them; their number is that of `length`.
    """

    task: Task
    piece: int
    length: Length
    seed: int = 0
    room: int | None = None
    rows: Sequence[Callable[[], Sample]] = ()

    @property
    def segments(self) -> int:
        """Number of segments of a text."""
        return -(-self.length.tokens // self.piece)

    @property
    def tokens(self) -> int:
        """Number of tokens of a text."""
        return self.segments * self.piece

    def chance(self, number: int) -> random.Random:
        """Return the random numbers that decide one text."""
        return random.Random(f"{self.seed}/{self.task.name}/{self.segments}/{number}")  # noqa: S311 - no secret

    def draw(self, chance: random.Random) -> Sample:
        """Make any text with its question.

        Raises:
            UserError: The text is too short for the task.
        """
        return sample_of(
            self.task, self.segments, chance, f"{flag.lengths} {self.length.label}", remedy="ask for longer texts"
        )

    def sample(self, number: int) -> Sample:
        """Make one text with its question. A question that has no room is drawn again, as in training.

        Args:
            number: From 0; one below 0 is of a text that is read to warm up.

        Raises:
            UserError: The text is too short for the task, or no question has room.
        """
        if self.rows:
            return self.rows[number]()
        chance, room = self.chance(number), self.room or self.piece
        for _ in range(DRAWS):
            sample = self.draw(chance)
            if len(sample.question) <= room:
                return sample
        raise UserError(
            f"questions of task '{self.task.name}' do not fit a segment",
            where=flag.memory,
            remedy="name a memory with longer segments",
        )

    def longest_question(self) -> int:
        """Return the tokens of the longest question: of all that a file holds, else of many."""
        if isinstance(self.task, Babilong):
            return self.task.longest_question
        chance = random.Random(0)  # noqa: S311 - no secret
        return max(len(self.draw(chance).question) for _ in range(DRAWS))


def load_base(opening: Opening) -> LocalModel:
    """Load the base model as it was before the memory was trained.

    Raises:
        UserError: The memory or model is missing, or the memory belongs to an encoder.
    """
    stored = read_stored(opening.memory)
    if stored.config.kind != "decoder":
        raise UserError(
            "this memory belongs to an encoder, which writes no answers",
            where=f"{flag.memory} {opening.memory}",
            remedy="name a memory of a causal language model",
        )
    if opening.threads is not None:
        torch.set_num_threads(opening.threads)
    model = load_model(
        opening.model or stored.base.id,
        style=opening.style,
        dtype=opening.dtype,
        device=opening.device,
        seed=int(stored.notes.get("seed", 0)),  # random weights are drawn by the seed of the training
    )
    return replace(model, max_answer_tokens=ANSWER_TOKENS)


def load_memory(opening: Opening) -> tuple[LocalModel, RecurrentDecoder]:
    """Load the base model and put the trained memory around it; the memory changes the model in place.

    Raises:
        UserError: One of them is missing, they do not belong together, or the memory belongs to an encoder.
    """
    local = load_base(opening)
    model = from_pretrained(opening.memory, local.model, BaseIdentity.of(local.provenance))
    if not isinstance(model, RecurrentDecoder):  # pragma: no cover - its kind was checked
        raise TypeError(type(model))
    return local, model.eval()


def make_texts(
    make: Callable[[int], Task], length: Length, size: int, *, query_first: bool = False, seed: int = 0
) -> Texts:
    """Return texts whose segments leave room for the question, as in training.

    Where a file holds the texts, those that are no longer are read, each once at most: there may be fewer than asked.

    Args:
        make: Makes the task for a number of tokens in a segment.
        length: Number and length of the texts.
        size: Tokens of a full segment.
        query_first: Whether the question follows the text of every segment.
        seed: Decides each text together with its number.

    Raises:
        UserError: The questions leave no room for text, or every text of a file is longer.
    """
    whole = Texts(make(size), size, length, seed)
    if not query_first:
        return _from_file(whole)
    longest = whole.longest_question()
    if 2 * longest > size:
        raise UserError(
            f"questions of {longest} tokens leave too little of a segment of {size} to its text",
            where=flag.memory,
            remedy="name a memory with longer segments",
        )
    return _from_file(Texts(make(size - longest), size - longest, length, seed, longest))


def _from_file(texts: Texts) -> Texts:
    """Choose the rows of a task that reads a file. Texts of other tasks stay as they are."""
    if not isinstance(texts.task, Babilong):
        return texts
    chance = random.Random(texts.seed)  # noqa: S311 - no secret
    rows = list(islice(texts.task.each(texts.segments, texts.room or texts.piece, chance), texts.length.samples))
    if not rows:
        raise UserError(
            f"no text of {texts.task.name} fits {texts.segments} segments of {texts.piece} tokens",
            where=f"{flag.lengths} {texts.length.label}",
            remedy="ask for longer texts",
        )
    return replace(texts, rows=rows, length=replace(texts.length, samples=len(rows)))
