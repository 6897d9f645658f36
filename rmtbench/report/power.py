"""What the draws at hand can show: which differences stand after Holm, which do not, and how many draws those need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rmtbench.analysis.metrics import LABELS
from rmtbench.analysis.pairs import Pair
from rmtbench.analysis.power import power_of
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
        caption="Significant: below 0.05 after Holm. Detectable: the true difference that four of five experiments "
        f"find, of the middle pair. Needed: {unit}s for the largest difference that is not significant, before Holm.",
        columns=("size", f"{unit}s", "pairs", "significant", "smallest of these", "largest of the others", "detectable",
                 "needed"),
        rows=tuple(_row(grid, size, pairs) for size, pairs in shown),
        labels=1,
    )  # fmt: skip


def _row(grid: Grid, size: str, pairs: Sequence[Pair]) -> tuple[str, ...]:
    power = power_of(pairs)
    stand, others = power.significant, power.others
    return (
        size,
        " or ".join(map(str, power.units)),
        str(len(pairs)),
        str(len(stand)),
        signed(min(abs(pair.difference) for pair in stand)) if stand else MISSING,
        f"{signed(abs(others[0].difference))} {_names(grid, others[0])}" if others else MISSING,
        UNDEFINED if power.detectable is None else f"{power.detectable:.3f}",
        MISSING if not others else UNDEFINED if power.needed is None else f"{power.needed:,}",
    )


def _names(grid: Grid, pair: Pair) -> str:
    return f"({grid.full_label(pair.first[0])}, {grid.full_label(pair.second[0])})"
