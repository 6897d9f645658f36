"""Reciprocal-rank fusion: several rankings of the same chunks become one that needs no scores to be comparable.

Source: Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning
Methods", SIGIR 2009.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from rmtbench.retrieval.base import Hit, Index

K = 60
"""The paper's constant: how little the first ranks count above the next ones."""

DEPTH = 100
"""Chunks of each ranking that are fused; more where more are asked for. So top-3 are the first three of top-10."""


def fuse(rankings: Iterable[Sequence[int]], k: int) -> list[Hit]:
    """Score every chunk by the sum of ``1 / (60 + rank)`` over the rankings that hold it; ranks begin at 1.

    Args:
        rankings: Positions of chunks, best first; none twice in one ranking.
        k: How many to keep, at least 1.

    Returns:
        The best `k`, best first; of equal scores the lower position first.
    """
    shares: dict[int, list[float]] = {}
    for ranking in rankings:
        for rank, position in enumerate(ranking, start=1):
            shares.setdefault(position, []).append(1 / (K + rank))
    # An exact sum: which ranking comes first must not decide a tie.
    hits = [Hit(position, math.fsum(parts)) for position, parts in shares.items()]
    return sorted(hits, key=lambda hit: (-hit.score, hit.position))[:k]


class FusedIndex:
    """Several indexes over the same chunks, asked together."""

    def __init__(self, indexes: Sequence[Index]) -> None:
        self._indexes = tuple(indexes)

    @property
    def bytes(self) -> int:
        """All indexes together."""
        return sum(index.bytes for index in self._indexes)

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """The best k chunks of each query, best first, ties by position.

        A chunk with score 0 shares no word with the query: BM25 has not found it, and its place tells nothing.
        """
        found = [index.search(queries, max(k, DEPTH)) for index in self._indexes]
        return [
            fuse([[hit.position for hit in hits if hit.score != 0] for hits in rows], k)
            for rows in zip(*found, strict=True)
        ]
