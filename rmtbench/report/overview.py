"""One table to choose by: score, seconds a question, preparation and bytes of every system, side by side."""

from __future__ import annotations

from rmtbench.analysis.grid import Grid, Row
from rmtbench.analysis.run_figures import Cell
from rmtbench.report import numbers
from rmtbench.report.notes import marks, preparation_text, score_notes, shared_notes
from rmtbench.report.numbers import MISSING
from rmtbench.report.tables import Table, score_text

METRICS = (("em", "EM"), ("f1", "F1"), ("recall", "recall"))


def overview_table(grid: Grid) -> Table:
    """Scores and costs of every system and top-k, in one block a size.

    Args:
        grid: The runs of one data set.
    """
    cells = list(grid.shown.values())
    return Table(
        title=f"Overview, {grid.name}",
        caption="Scores are means over all questions asked, failed answers counting as zero. Median and p90: seconds a "
        "question, without preparation and warm-up. Preparation and bytes kept are means over the draws.",
        columns=("size", "system", "top-k", *(name for _, name in METRICS), "median", "p90", "preparation", "kept"),
        rows=tuple((size, *_figures(grid, row, cell)) for size in grid.sizes for row, cell in grid.at(size)),
        labels=2,
        notes=tuple(dict.fromkeys([*score_notes(grid), *shared_notes(cells)])),
    )


def _figures(grid: Grid, row: Row, cell: Cell | None) -> tuple[str, ...]:
    top_k = "" if row.top_k is None else str(row.top_k)
    if cell is None:
        return (grid.label(row), top_k, *[MISSING] * (len(METRICS) + 4))
    summary = cell.summary
    return (
        f"{grid.label(row)} {marks(cell)}".rstrip(),
        top_k,
        *(score_text(cell, metric) for metric, _ in METRICS),
        numbers.seconds(summary.median_seconds["total"]),
        numbers.seconds(summary.p90_seconds["total"]),
        preparation_text(cell),
        numbers.size(summary.kept_bytes),
    )
