"""The seam of all retrieval: chunks of documents, and an index that ranks them for a query."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

Report = Callable[[int], None]
"""Gets the number of chunks or vectors that are done."""


def silent(_done: int) -> None:
    """Report nothing."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Characters ``[start, end)`` of a document's text, to be shown in a prompt under its title."""

    document_id: str
    title: str
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk's position in the chunk list and its score for one query (higher is better)."""

    position: int
    score: float


class Index(Protocol):
    """Ranks the chunks that it was made from."""

    @property
    def bytes(self) -> int:
        """Memory that the index keeps for searching."""
        ...

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """Return the best k chunks of each query, best first, ties by position. There may be fewer than k chunks."""
        ...
