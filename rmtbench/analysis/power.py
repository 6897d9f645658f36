"""What the draws at hand can show: which differences are significant after Holm, and how many draws the others need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rmtbench.analysis.pairs import Pair


@dataclass(frozen=True, slots=True)
class Power:
    """All pairs of one size in one metric, as what they could show.

    Attributes:
        units: The numbers of draws, or questions, that the pairs have; mostly one.
        significant: The pairs below 0.05 after Holm.
        others: The other pairs, the largest difference first.
        detectable: Of the middle pair; None where it is undefined for all.
        needed: Draws that would show the first of `others`, before Holm; None where it is undefined.
    """

    units: tuple[int, ...]
    significant: tuple[Pair, ...]
    others: tuple[Pair, ...]
    detectable: float | None
    needed: int | None


def power_of(pairs: Sequence[Pair]) -> Power:
    """Return what a size's pairs could show."""
    others = tuple(sorted((pair for pair in pairs if not pair.significant), key=lambda pair: -abs(pair.difference)))
    found = sorted(pair.detectable for pair in pairs if pair.detectable is not None)
    return Power(
        units=tuple(sorted({pair.units for pair in pairs})),
        significant=tuple(pair for pair in pairs if pair.significant),
        others=others,
        detectable=found[len(found) // 2] if found else None,
        needed=_needed(others[0]) if others else None,
    )


def _needed(pair: Pair) -> int | None:
    """How many units would show a difference as large as the observed one."""
    from rmtbench.analysis.stats.power import clusters_needed, minimum_detectable_effect

    if pair.detectable is None:
        return None
    # The detectable effect is the standard error times this.
    factor = minimum_detectable_effect(1.0, pair.units) or 1.0
    return clusters_needed(pair.difference, pair.detectable / factor, pair.units)
