"""The paper's three tables from one section's runs, as texts in rows and columns.

How they are drawn is for `markdown` and the command line; figures for scripts are in `csv_files`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rmtbench.analysis.corpora import corpora_of
from rmtbench.analysis.metrics import PAPER_METRIC, shown_values
from rmtbench.analysis.recorded import Facts
from rmtbench.analysis.run_figures import RunFigures
from rmtbench.analysis.sections import Grid, Row, Section, cache_comparison
from rmtbench.report import numbers
from rmtbench.report.notes import mark_notes, marks, preparation_text, question_notes, score_notes, shared_notes
from rmtbench.report.numbers import MISSING


@dataclass(frozen=True, slots=True)
class Table:
    """A table ready to be drawn.

    Attributes:
        title: Its heading.
        caption: What its figures are, one or two sentences.
        columns: Headings.
        rows: One text a column.
        labels: How many leading columns are words; the others are figures.
        notes: What a reader must know of single rows.
        less: Columns that a narrow terminal drops first, in this order.
        grouped: Whether a terminal shows a repeated first column only once.
    """

    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    labels: int
    notes: tuple[str, ...] = ()
    less: tuple[str, ...] = ()
    grouped: bool = True


@dataclass(frozen=True, slots=True)
class Chapter:
    """One section with its tables: the paper's, and those that explain them."""

    section: Section
    tables: tuple[Table, ...]
    anatomy: tuple[Table, ...]

    @property
    def title(self) -> str:
        """Its section's."""
        return self.section.title

    @property
    def provenance(self) -> Facts:
        """What produced its tables."""
        return self.section.provenance


def corpora_table(section: Section) -> Table:
    """Table 1: what was read and asked, one row a dataset and size."""
    tokenizer = dict(section.setting)["tokenizer"]
    return Table(
        title="Table 1: corpora",
        caption=f"Documents and tokens are means over the draws; tokens are counted with the tokenizer {tokenizer}.",
        columns=("dataset", "size", "source", "draws", "documents a draw", "tokens a draw", "questions in all"),
        rows=tuple(
            (
                corpus.dataset,
                corpus.size,
                corpus.kind or MISSING,
                str(corpus.draws),
                numbers.whole(corpus.documents),
                numbers.whole(corpus.tokens),
                numbers.whole(corpus.questions),
            )
            for corpus in corpora_of(section)
        ),
        labels=3,
    )


def model_table(section: Section) -> Table:
    """What was measured with: the model and everything about it that the runs have in common."""
    setting = dict(section.setting)
    recorded = section.runs[0].model
    facts = [
        ("model", setting["model"]),
        ("architecture", recorded.get("class")),
        ("parameters", _count(recorded.get("parameters"))),
        ("context", _count(recorded.get("context_limit"))),
        *((name, setting[name]) for name in ("dtype", "device", "attention", "threads", "mode")),
        ("answers", setting["answer style"]),
    ]
    told = [(name, str(value)) for name, value in facts if value is not None]
    return Table(
        title="Model and settings",
        caption="What all runs under this heading have in common; hashes and versions stand above.",
        columns=tuple(name for name, _ in told),
        rows=(tuple(value for _, value in told),),
        labels=len(told),
    )


def _count(value: object) -> str | None:
    return f"{value:,}" if isinstance(value, int) else None


def score_table(grid: Grid) -> Table:
    """Table 2: scores of every system and top-k, in one block a size."""
    values = shown_values(list(grid.shown.values()))
    return Table(
        title=f"Table 2: scores, {grid.name}",
        caption="Means over all questions asked, failed answers counting as zero. "
        f"{MISSING}: nothing was run; n/a: the metric does not apply.",
        columns=("size", "system", "top-k", *(value.label for value in values), "answered", "failed"),
        rows=tuple(
            (size, *row_cells(grid, row, run), *(score_text(run, value.name) for value in values), *_outcome(run))
            for size in grid.sizes
            for row, run in grid.at(size)
        ),
        labels=2,
        notes=tuple(score_notes(grid)),
    )


def paper_table(grid: Grid) -> Table | None:
    """Table 2 in the paper's shape, sizes side by side; None where there is nothing to set side by side."""
    scored = [run for run in grid.shown.values() if run.scored and run.summary.means.get(PAPER_METRIC) is not None]
    if len(grid.sizes) < 2 or not scored:
        return None
    return Table(
        title=f"Table 2 in the paper's shape: MiniLM cosine, {grid.name}",
        caption="The score that Don't Do RAG (arXiv 2412.15605v1) calls BERT-Score.",
        columns=("system", *grid.sizes),
        rows=tuple(
            (
                grid.full_label(row),
                *(score_text(grid.shown.get((size, row)), PAPER_METRIC) for size in grid.sizes),
            )
            for row in grid.rows
        ),
        labels=1,
        notes=tuple(mark_notes(list(grid.shown.values()))),
    )


def time_table(grids: Sequence[Grid]) -> Table | None:
    """Table 3: seconds a question with and without the cache, preparation beside it; None without either system."""
    rows = []
    notes = []
    for grid in grids:
        compared = cache_comparison(grid)
        rows += [
            (grid.name, size, row_cells(grid, row, run)[0], *_times(run, base)) for size, row, run, base in compared
        ]
        shown = [run for _, _, run, _ in compared if run is not None]
        told = mark_notes(shown) + shared_notes(shown) + (question_notes(grid) if compared else [])
        notes += [f"{grid.name}: {note}" for note in told]
    if not rows:
        return None
    return Table(
        title="Table 3: generation time with and without cache",
        caption="Time of a question, warm-up answers left out; preparation of a draw, and the mean with it shared over "
        "the questions answered. Faster: full-context's mean over the row's, without and with preparation.",
        columns=(
            "dataset",
            "size",
            "system",
            "mean",
            "median",
            "faster",
            "preparation",
            "mean with it",
            "faster with it",
            "timed",
        ),
        rows=tuple(rows),
        labels=3,
        notes=tuple(notes),
    )


def score_text(run: RunFigures | None, metric: str) -> str:
    """One score with its marks; why there is none, where there is none."""
    if run is None:
        return MISSING
    if not run.scored or metric not in run.summary.means:
        return "not scored"
    mean = run.summary.means[metric]
    if mean is None:
        return "n/a"
    # Zeros for what was not asked yet would make the error of an incomplete run's mean look like a measurement.
    error = run.standard_errors.get(metric) if run.complete else None
    return numbers.score(mean, error, marks(run))


def row_cells(grid: Grid, row: Row, run: RunFigures | None) -> tuple[str, str]:
    """Return the cells that name a row: its label with its run's marks, and its top-k."""
    signs = marks(run) if run is not None else ""
    return (f"{grid.label(row)} {signs}".rstrip(), "" if row.top_k is None else str(row.top_k))


def _outcome(run: RunFigures | None) -> tuple[str, str]:
    if run is None:
        return (MISSING, MISSING)
    summary = run.summary
    answered = str(summary.answered) if run.complete else f"{summary.answered} of {summary.expected}*"
    return (answered, str(summary.errors))


def _times(run: RunFigures | None, base: RunFigures | None) -> tuple[str, ...]:
    if run is None:
        return (MISSING,) * 7
    mean = run.summary.mean_seconds["total"]
    both = run.seconds_with_preparation
    return (
        numbers.seconds(mean),
        numbers.seconds(run.summary.median_seconds["total"]),
        numbers.times(base.summary.mean_seconds["total"] if base else None, mean),
        preparation_text(run),
        numbers.seconds(both),
        numbers.times(base.seconds_with_preparation if base else None, both),
        str(run.summary.timed),
    )
