"""What the draws at hand can show: which differences are significant after Holm, and how many draws others need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rmtbench.analysis.metrics import LABELS
from rmtbench.analysis.pairs import Pair
from rmtbench.analysis.sections import Grid
from rmtbench.analysis.units import FEWEST_UNITS
from rmtbench.report.numbers import MISSING
from rmtbench.report.significance import UNDEFINED, signed
from rmtbench.report.tables import Table


def power_table(grid: Grid, compared: Iterable[tuple[str, Sequence[Pair]]]) -> Table | None:
    """Observed differences against those that could have been detected, a row a size.

    Args:
        grid: The runs.
        compared: All pairs of each size in one metric.

    Returns:
        The table; None where no size has draws enough to show anything.
    """
    shown = [(size, pairs) for size, pairs in compared if pairs and min(pair.units for pair in pairs) >= FEWEST_UNITS]
    if not shown:
        return None
    unit = shown[0][1][0].unit
    return Table(
        title=f"What these {unit}s can show in {LABELS[shown[0][1][0].metric]}, {grid.name}",
        caption="Significant: below 0.05 after Holm, and an interval without 0. Detectable: the true difference that "
        f"four of five experiments find, of the middle pair. Needed: {unit}s for the largest difference that is not "
        "significant, before Holm.",
        columns=("size", f"{unit}s", "pairs", "significant", "smallest of these", "largest of the others", "detectable",
                 "needed"),
        rows=tuple(_row(grid, size, pairs) for size, pairs in shown),
        labels=1,
    )  # fmt: skip


def _row(grid: Grid, size: str, pairs: Sequence[Pair]) -> tuple[str, ...]:
    significant = [abs(pair.difference) for pair in pairs if pair.significant]
    other = max((pair for pair in pairs if not pair.significant), key=lambda pair: abs(pair.difference), default=None)
    detectable = sorted(pair.detectable for pair in pairs if pair.detectable is not None)
    largest = needed = MISSING
    if other is not None:
        names = f"({grid.full_label(other.first[0])}, {grid.full_label(other.second[0])})"
        largest = f"{signed(abs(other.difference))} {names}"
        needed = UNDEFINED if other.needed is None else f"{other.needed:,}"
    return (
        size,
        " or ".join(map(str, sorted({pair.units for pair in pairs}))),
        str(len(pairs)),
        str(len(significant)),
        signed(min(significant)) if significant else MISSING,
        largest,
        f"{detectable[len(detectable) // 2]:.3f}" if detectable else UNDEFINED,
        needed,
    )
