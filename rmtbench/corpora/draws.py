"""What all data sets do alike when they draw: seeded randomness, unique ids, and saying which sizes fit."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import TypeVar

from rmtbench.core import Corpus, Document, Draw, Gold, Question, Source, token_budget
from rmtbench.corpora.base import DrawRequest
from rmtbench.errors import UserError, nearest
from rmtbench.options import flag

T = TypeVar("T")

TOLERANCE = 0.02
"""How far from its budget of tokens a draw may be."""


def generator(dataset: str, request: DrawRequest) -> random.Random:
    """The random numbers of one draw: the same on every machine and in every version of Python 3."""
    return random.Random(f"{dataset}/{request.seed}/{request.draw}")  # noqa: S311 - no secret


def shuffled(items: Sequence[T], chance: random.Random) -> list[T]:
    """The items in random order, without changing the argument."""
    copy = list(items)
    chance.shuffle(copy)
    return copy


def choose_size(sizes: Mapping[str, int], size: str) -> int:
    """How much a size stands for.

    Raises:
        UserError: The data set has no such size.
    """
    if size not in sizes:
        raise UserError(f"no size '{size}' here", where=flag.size, remedy=nearest(size, sizes))
    return sizes[size]


def choose_budget(budgets: Mapping[str, int], size: str) -> int:
    """How many tokens a size stands for: a named one's own, or the number that it is.

    Raises:
        UserError: The data set has no such size.
    """
    return token_budget(size) or choose_size(budgets, size)


def too_small(
    sizes: Mapping[str, int],
    wanted: str,
    there: int,
    noun: str,
    source: Source,
    fitting: Sequence[str] | None = None,
) -> UserError:
    """The error for a source that holds less than a size needs: says how much, and which sizes fit.

    Args:
        sizes: How much each size needs.
        wanted: The size that does not fit.
        there: How much there is.
        noun: Of what.
        source: Where it was looked for.
        fitting: The sizes that fit; None for all that need no more than there is.
    """
    if fitting is None:
        fitting = [name for name, need in sizes.items() if need <= there]
    remedy = f"use more data, or {flag.size} {' or '.join(fitting)}" if fitting else "use more data: no size fits"
    need = sizes[wanted] if wanted in sizes else token_budget(wanted) or 0
    return UserError(f"size '{wanted}' needs {need:,} {noun}; there are {there:,}", where=source.name, remedy=remedy)


def make_draw(
    *,
    dataset: str,
    request: DrawRequest,
    source: Source,
    documents: Sequence[Document],
    asked: Sequence[tuple[Question, Gold]],
) -> Draw:
    """Put a draw together, cut to the number of questions that is wanted."""
    kept = asked[: request.questions]
    corpus = Corpus(
        id=f"{dataset}-{request.size}-seed{request.seed}-draw{request.draw}",
        dataset=dataset,
        size=request.size,
        draw=request.draw,
        documents=tuple(documents),
        questions=tuple(question for question, _ in kept),
        source=source,
    )
    return Draw(corpus, tuple(gold for _, gold in kept))


class DocumentIds:
    """Gives each document an id from its title; a title that comes back with another text gets a number."""

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}

    def new(self, title: str) -> str:
        """An id that was not given before."""
        stem = title.strip() or "untitled"
        count = self._taken.get(stem, 0) + 1
        self._taken[stem] = count
        return self.new(f"{stem} ({count})") if count > 1 else stem
