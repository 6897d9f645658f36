"""Many comparisons at once: the chance that any of them misleads must stay what one comparison's is."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """p-values adjusted for their number by Holm's step-down method (1979); dependence between them does no harm.

    With m of them, the k-th smallest becomes the largest of ``min(1, (m - j + 1) * p_j)`` over j up to k. Those below
    0.05 afterwards have together a chance of 5 % to hold any false positive.

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
