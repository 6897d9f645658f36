"""The best k of many scores, ties by position: the one rule by which every index ranks."""

from __future__ import annotations

from collections.abc import Callable
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


def best_of_more(ask: Callable[[int], list[Hit]], k: int, count: int) -> list[Hit]:
    """The best k by a search that cuts ties as they come: asked for more, until the last found is no tie of the k-th.

    Args:
        ask: Gives the best so many hits, in any order; fewer where it finds no more.
        k: How many to keep, at least 1.
        count: How many chunks there are.

    Returns:
        The best `k` of what is found, best first; of equal scores the lower position first.
    """
    asked = min(2 * k, count)
    while True:
        hits = sorted(ask(asked), key=lambda hit: (-hit.score, hit.position))
        if asked >= count or len(hits) < asked or hits[-1].score < hits[k - 1].score:
            return hits[:k]
        asked = min(4 * asked, count)
