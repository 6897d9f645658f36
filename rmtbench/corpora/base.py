"""The seam of all data sets: opened once (cheap, hashed), then asked for seeded draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from rmtbench.core import Draw, Source

TokenCounter = Callable[[Sequence[str]], Sequence[int]]
"""Tokens of each text, without special tokens, by the tokenizer of the model under test."""

SIZES = ("smoke", "small", "medium", "large")


@dataclass(frozen=True, slots=True)
class DrawRequest:
    """Which draw of a dataset is wanted.

    Attributes:
        size: One of `SIZES`, or a number of tokens such as ``8k``; for own documents, ``all`` is allowed too and
            means every document.
        draw: Number of the draw, from 0; with `seed` it decides everything random.
        seed: Seed of the whole run.
        questions: At most this many questions; None for the size's own number.
    """

    size: str
    draw: int
    seed: int = 0
    questions: int | None = None


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """What `rmtbench data list` and `check` print: counts over the whole source, before any draw.

    Attributes:
        documents: How many there are.
        questions: How many there are.
        notes: Further counts, by what is counted.
        remark: One line on what was left out; empty if nothing was.
    """

    documents: int
    questions: int
    notes: Mapping[str, int]
    remark: str = ""


class Dataset(Protocol):
    """One opened source of documents and questions."""

    @property
    def name(self) -> str:
        """`squad`, `hotpotqa`, `triviaqa`, `handbook`, or the folder's name for own documents."""
        ...

    @property
    def source(self) -> Source:
        """Kind, name and hash of what was opened."""
        ...

    def facts(self) -> DatasetFacts:
        """Counts over the whole source, for people."""
        ...

    def draw(self, request: DrawRequest, count_tokens: TokenCounter) -> Draw:
        """Make one draw; the same request gives the same bytes.

        Args:
            request: Which draw.
            count_tokens: Counts tokens where a size is a token budget.

        Raises:
            UserError: The source is too small for the size, or the size does not exist.
        """
        ...
