"""Filling a budget of tokens with the best chunks, so that RAG can be compared at equal tokens instead of equal k."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def most_chunks(tokens: Sequence[int], budget: int) -> int:
    """How many chunks can fit at most: as many as the shortest ones do, and at least 1.

    Args:
        tokens: Tokens of each chunk.
        budget: Most tokens together.
    """
    total, number = 0, 0
    for count in sorted(tokens):
        total += count
        if total > budget:
            break
        number += 1
    return max(1, number)


def fill(
    ranking: Sequence[int], tokens: Sequence[int], budget: int, count: Callable[[Sequence[int]], int]
) -> list[int]:
    """Take chunks, best first, and pass over each that no longer fits.

    Args:
        ranking: Positions of chunks, best first.
        tokens: Tokens of each chunk by itself, by position.
        budget: Most tokens together.
        count: Exact tokens of several chunks one after the other, which can be more than their sum.

    Returns:
        The positions taken, best first; with ``count(taken) <= budget``.
    """
    taken: list[int] = []
    left = budget
    for position in ranking:
        if tokens[position] <= left:
            taken.append(position)
            left -= tokens[position]
    while taken and count(taken) > budget:
        taken.pop()
    return taken
