"""The seam of all retrieval: chunks of documents, and an index that ranks them for a query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Chunk:
    """Characters ``[start, end)`` of a document's text, ready to stand in a prompt under its title."""

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
    """Ranks the chunks it was made from."""

    @property
    def bytes(self) -> int:
        """Memory that the index keeps for searching."""
        ...

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """The best k chunks of each query, best first, ties by position; fewer where there are fewer chunks."""
        ...
