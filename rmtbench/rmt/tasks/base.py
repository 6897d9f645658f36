"""The seam of tasks: a text in segments, of any length, and one question about it that is asked from memory alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from rmtbench.errors import UserError
from rmtbench.options import flag
from rmtbench.rmt.base import Ids


@dataclass(frozen=True, slots=True)
class Sample:
    """One text to read and one question about it, in training maybe others too.

    Attributes:
        segments: Token ids, segment by segment, none longer than the task was made for; may be a generator, which
            makes them as they are read, so that a text of millions of tokens never stands in memory.
        question: Token ids of the question up to where the answer begins.
        answer: Token ids of the answer, end-of-sequence token included.
        told_by: Number of the segment, from 0, after which the answer can be known.
        not_yet: The answer before that ("unknown"), end-of-sequence token included.
        kind: What has to be done to answer, for tables.
        partly: What is right instead of `not_yet` from the segment of this number to `told_by`: the first of two facts
            is known by then. None where no such stretch is.
        judge: Says whether a final answer in words is right, where a benchmark has a rule of its own; None for exact
            match with the answer.
        others: More questions about the same text, from which more is learnt of what was read; they have no segments of
            their own.
    """

    segments: Iterable[Ids]
    question: Ids
    answer: Ids
    told_by: int
    not_yet: Ids
    kind: str = ""
    partly: tuple[int, Ids] | None = None
    judge: Callable[[str], bool] | None = None
    others: Sequence[Sample] = ()

    def right_after(self, number: int) -> Ids:
        """What is to be answered when segment `number`, from 0, has been read, and none behind it."""
        if number >= self.told_by:
            return self.answer
        return self.partly[1] if self.partly is not None and number >= self.partly[0] else self.not_yet


class Task(Protocol):
    """Makes samples. The same random state makes the same sample."""

    @property
    def name(self) -> str:
        """What stands after ``--task``."""
        ...

    def sample(self, segments: int, chance: random.Random) -> Sample:
        """Make one sample.

        Args:
            segments: How many segments its text has, at least one; all are full but for the last.
            chance: Random numbers.

        Raises:
            ValueError: The text cannot be told in so few segments.
        """
        ...


def sample_of(
    task: Task,
    segments: int,
    chance: random.Random,
    where: str = flag.segments,
    remedy: str = f"begin with more segments, or lengthen them with {flag.segment_tokens}",
) -> Sample:
    """Make one sample, or say to the user that the task cannot be told in so few segments.

    Args:
        task: Makes it.
        segments: How many segments its text has.
        chance: Random numbers.
        where: The option that chose their number.
        remedy: What to do.

    Raises:
        UserError: The text cannot be told.
    """
    try:
        return task.sample(segments, chance)
    except ValueError as error:
        what = f"task '{task.name}' cannot be told in {segments} segments ({error})"
        raise UserError(what, where=where, remedy=remedy) from error
