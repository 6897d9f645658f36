"""The best k of many scores, ties by position: the one rule by which every index ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from rmtbench.retrieval.base import Hit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK = 256
"""Scores of which one maximum is taken at first."""


def top_k(scores: NDArray[np.float64], k: int) -> list[Hit]:
    """Rank chunks by score.

    Args:
        scores: One score a chunk, shape ``[chunks]``, by position.
        k: How many to keep, at least 1.

    Returns:
        The best `k` (all, where there are fewer chunks), best first; of equal scores the lower position first.
    """
    positions = candidates(scores, k)
    order = (-scores[positions]).argsort(kind="stable")[:k]
    return [Hit(int(position), float(scores[position])) for position in positions[order]]


def candidates(scores: NDArray[np.floating], k: int, margin: float = 0.0) -> NDArray[np.intp]:
    """Positions, ascending, of all scores within `margin` of the k-th best: what the best k can be among.

    Args:
        scores: One score a chunk, shape ``[chunks]``.
        k: At least 1.
        margin: How far a score may be off.
    """
    import numpy as np

    if len(scores) <= k:
        return np.arange(len(scores))
    whole = len(scores) // BLOCK * BLOCK
    if whole <= k * BLOCK:
        return np.flatnonzero(scores >= np.partition(scores, -k)[-k] - margin)
    # Of many scores, the k-th best of the blocks' maxima is no more than the k-th best of all, and quickly found.
    maxima = scores[:whole].reshape(-1, BLOCK).max(axis=1)
    near = np.flatnonzero(scores >= np.partition(maxima, -k)[-k] - margin)
    held = scores[near]
    best: NDArray[np.intp] = near[held >= np.partition(held, -k)[-k] - margin]
    return best


def best_by_chunk(hits: Iterable[Hit]) -> list[Hit]:
    """Hits whose positions are those of chunks, a chunk once with its highest score, best first, ties by position."""
    best: dict[int, float] = {}
    for hit in hits:
        best[hit.position] = max(hit.score, best.get(hit.position, hit.score))
    return sorted(
        (Hit(position, score) for position, score in best.items()), key=lambda hit: (-hit.score, hit.position)
    )


def best_of_more(ask: Callable[[int], list[Hit]], k: int, count: int) -> list[Hit]:
    """The best k chunks from an engine that breaks ties as it likes and may find several windows of a chunk.

    It is asked for more until the last hit scores below the k-th chunk: no other chunk can then be among the best.

    Args:
        ask: Gives the best so many windows, in any order, each as a hit on its chunk; fewer where it finds no more.
        k: How many chunks to keep, at least 1.
        count: How many windows there are.

    Returns:
        The best `k` of what is found, each with the score of its best window, best first; of equal scores the lower
        position first.
    """
    asked = min(2 * k, count)
    while True:
        hits = ask(asked)
        best = best_by_chunk(hits)
        enough = len(best) >= k and min(hit.score for hit in hits) < best[k - 1].score
        if asked >= count or len(hits) < asked or enough:
            return best[:k]
        asked = min(4 * asked, count)
