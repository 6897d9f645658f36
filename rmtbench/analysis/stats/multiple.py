"""p-values adjusted for the number of comparisons."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Adjust p-values for their number by Holm's step-down method (1979), which allows any dependence between them.

    With m of them, the k-th smallest becomes the largest of ``min(1, (m - j + 1) * p_j)`` over j up to k. The chance
    of any false positive among those below 0.05 afterwards is at most 5 %.

    Args:
        p_values: One a comparison; None where it is undefined, and so neither tested nor counted.

    Returns:
        The adjusted values in the same order, None for None.

    Raises:
        ValueError: A value is no probability.
    """
    defined = [(p, place) for place, p in enumerate(p_values) if p is not None]
    if not all(0 <= p <= 1 for p, _ in defined):
        raise ValueError("a p-value is not between 0 and 1")
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(sorted(defined)):
        highest = max(highest, min(1.0, (len(defined) - rank) * p))
        adjusted[place] = highest
    return tuple(adjusted)
