"""One table to choose by: score, seconds a question, preparation and bytes of every system, side by side."""

from __future__ import annotations

from rmtbench.analysis.run_figures import RunFigures
from rmtbench.analysis.sections import Grid, Row
from rmtbench.report import numbers
from rmtbench.report.notes import preparation_text, score_notes, shared_notes
from rmtbench.report.numbers import MISSING
from rmtbench.report.tables import Table, row_cells, score_text

METRICS = (("em", "EM"), ("f1", "F1"), ("recall", "recall"))


def overview_table(grid: Grid) -> Table:
    """Scores and costs of every system and top-k, in one block a size.

    Args:
        grid: The runs of one data set.
    """
    runs = list(grid.shown.values())
    return Table(
        title=f"Overview, {grid.name}",
        caption="Scores are means over all questions asked, failed answers counting as zero. Median and p90: seconds a "
        "question, without preparation and warm-up. Preparation and bytes kept are means over the draws.",
        columns=("size", "system", "top-k", *(name for _, name in METRICS), "median", "p90", "preparation", "kept"),
        rows=tuple((size, *_figures(grid, row, run)) for size in grid.sizes for row, run in grid.at(size)),
        labels=2,
        notes=tuple(dict.fromkeys([*score_notes(grid), *shared_notes(runs)])),
    )


def _figures(grid: Grid, row: Row, run: RunFigures | None) -> tuple[str, ...]:
    if run is None:
        return (*row_cells(grid, row, run), *[MISSING] * (len(METRICS) + 4))
    summary = run.summary
    return (
        *row_cells(grid, row, run),
        *(score_text(run, metric) for metric, _ in METRICS),
        numbers.seconds(summary.median_seconds["total"]),
        numbers.seconds(summary.p90_seconds["total"]),
        preparation_text(run),
        numbers.size(summary.kept_bytes),
    )
