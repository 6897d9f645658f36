"""Where the time and the tokens of every run went: the tables that explain tables 2 and 3. No run is left out here."""

from __future__ import annotations

from collections.abc import Sequence

from rmtbench.analysis.agreement import Agreement, agreement, inexact, native_agreement, quantised
from rmtbench.analysis.run_figures import TIMINGS, RunFigures
from rmtbench.analysis.sections import Grid, row_of
from rmtbench.options import flag
from rmtbench.report import numbers
from rmtbench.report.notes import mark_notes, preparation_text, shared_notes
from rmtbench.report.numbers import MISSING
from rmtbench.report.tables import Table, row_cells

PARTS = ("tokenize", "chunk", "embed", "index", "prefill", "save", "load")
"""Order of preparation's parts; a system's own parts follow."""


UNPRICED = f"{MISSING}: no price is known (rmtbench run {flag.prices})"


def anatomy_tables(grid: Grid) -> tuple[Table, ...]:
    """Times of an answer, preparation, memory, tokens with outcomes, and where they are met agreement and cost.

    Args:
        grid: The runs; those that no other table shows are listed too.
    """
    runs = [run for _, run, _ in grid.all()]
    return (
        _answer_table(grid, runs),
        _preparation_table(grid, runs),
        _memory_table(grid, runs),
        _outcome_table(grid, runs),
        *([_inexact_table(grid, runs)] if inexact(runs) else []),
        *([_quantised_table(grid, runs)] if quantised(runs) else []),
        *([_cost_table(grid, runs)] if any("endpoint" in run.model for run in runs) else []),
    )


def parts_of(runs: Sequence[RunFigures]) -> tuple[str, ...]:
    """The parts of preparation that any of the runs had, in their order."""
    met = dict.fromkeys(part for run in runs for part in run.summary.prepare_seconds)
    return (*(part for part in PARTS if part in met), *(part for part in met if part not in PARTS))


WHO = ("size", "system", "run", "top-k")
"""First columns of tables with a row for each run."""


def who(grid: Grid, run: RunFigures) -> tuple[str, ...]:
    """Return the cells of `WHO` for a run."""
    label, top_k = row_cells(grid, row_of(run), run)
    return (run.spec.size, label, run.hash, top_k)


def _answer_table(grid: Grid, runs: Sequence[RunFigures]) -> Table:
    shared = " Each time is a question's share of its batch's." if any(run.spec.batch > 1 for run in runs) else ""
    return Table(
        title=f"Anatomy: time of an answer, {grid.name}",
        caption="Median/90th percentile, without warm-up and failed answers. Total also holds what lies between them."
        + shared,
        columns=(*WHO, *(part.replace("_", " ") for part in TIMINGS)),
        rows=tuple(
            (
                *who(grid, run),
                *(numbers.seconds(run.summary.median_seconds[part], run.summary.p90_seconds[part]) for part in TIMINGS),
            )
            for run in runs
        ),
        labels=3,
        notes=tuple(mark_notes(runs)),
    )


def _preparation_table(grid: Grid, runs: Sequence[RunFigures]) -> Table:
    parts = parts_of(runs)
    rows = []
    for run in runs:
        seconds = run.summary.prepare_seconds
        told = (numbers.seconds(seconds[part]) if part in seconds else "" for part in parts)
        rows.append((*who(grid, run), *told, preparation_text(run)))
    return Table(
        title=f"Anatomy: preparation of a draw, {grid.name}",
        caption="Mean time a draw by part; where it is empty, the system has no such part.",
        columns=(*WHO, *parts, "total"),
        rows=tuple(rows),
        labels=3,
        notes=tuple(mark_notes(runs) + shared_notes(runs)),
    )


def _memory_table(grid: Grid, runs: Sequence[RunFigures]) -> Table:
    return Table(
        title=f"Anatomy: memory, {grid.name}",
        caption="Mean bytes a draw kept for answering, and the most that a process took while it worked.",
        columns=(*WHO, "kept", "peak memory", "peak on device"),
        rows=tuple(
            (*who(grid, run), *(numbers.size(size) for size in (run.summary.kept_bytes, *run.peak_bytes)))
            for run in runs
        ),
        labels=3,
        notes=tuple(mark_notes(runs)),
    )


def _outcome_table(grid: Grid, runs: Sequence[RunFigures]) -> Table:
    return Table(
        title=f"Anatomy: tokens and outcomes, {grid.name}",
        caption="Mean tokens an answer: read for it, of these already cached, and written. Then how the answers ended.",
        columns=(*WHO, "prompt", "cached", "output", "answered", "failed", "cut off", "empty", "warm-ups", "timed"),
        rows=tuple(
            (
                *who(grid, run),
                numbers.whole(run.tokens.prompt),
                numbers.whole(run.tokens.cached),
                MISSING if run.tokens.output is None else f"{run.tokens.output:.1f}",
                f"{run.summary.answered} of {run.summary.expected}",
                str(run.summary.errors),
                str(run.summary.cut_off),
                str(run.summary.empty),
                str(run.warmups),
                str(run.summary.timed),
            )
            for run in runs
        ),
        labels=3,
        notes=(*mark_notes(runs), *_reasoning_notes(grid, runs)),
    )


def _reasoning_notes(grid: Grid, runs: Sequence[RunFigures]) -> list[str]:
    """Say how much of what was written is reasoning, where there is any and it is counted."""
    return [
        f"{grid.label(row_of(run))} ({run.hash}): of the tokens written, {run.tokens.reasoning:,.1f} an answer "
        "were reasoning"
        for run in runs
        if run.tokens.reasoning
    ]


def _inexact_table(grid: Grid, runs: Sequence[RunFigures]) -> Table:
    return Table(
        title=f"Anatomy: caches that are not exact, {grid.name}",
        caption="Answers that are token for token those of the exact run over the same questions; scores less the "
        "exact run's; median time to the first token, and the exact run's.",
        columns=(*WHO, "exact run", "equal answers", "agreement", "EM", "F1", "first token / exact"),
        rows=_agreement_rows(grid, [(run, agreement(grid, run)) for run in inexact(runs)]),
        labels=3,
        notes=tuple(mark_notes(runs)),
    )


def _quantised_table(grid: Grid, runs: Sequence[RunFigures]) -> Table:
    return Table(
        title=f"Anatomy: int8 weights, {grid.name}",
        caption="Answers that are token for token those of the same system with native weights over the same "
        "questions; scores less those of that run; median time to the first token, and that run's.",
        columns=(*WHO, "native run", "equal answers", "agreement", "EM", "F1", "first token / native"),
        rows=_agreement_rows(grid, [(run, native_agreement(grid, run)) for run in quantised(runs)]),
        labels=3,
        notes=tuple(mark_notes(runs)),
    )


def _agreement_rows(grid: Grid, compared: Sequence[tuple[RunFigures, Agreement | None]]) -> tuple[tuple[str, ...], ...]:
    rows = []
    for run, found in compared:
        told: tuple[str, ...] = (MISSING,) * 6
        if found is not None:
            firsts = (run.summary.median_seconds["first_token"], found.exact.summary.median_seconds["first_token"])
            told = (
                found.exact.hash,
                f"{found.equal:,} of {found.compared:,}",
                f"{found.rate:.3f}",
                *(_signed(found.difference(metric)) for metric in ("em", "f1")),
                f"{numbers.seconds(firsts[0])} / {numbers.seconds(firsts[1])}",
            )
        rows.append((*who(grid, run), *told))
    return tuple(rows)


def _signed(value: float | None) -> str:
    return MISSING if value is None else f"{value:+.3f}"


def _cost_table(grid: Grid, runs: Sequence[RunFigures]) -> Table:
    rows, prices = [], dict[str, None]()
    for run in runs:
        cost, embedder = run.summary.cost, run.provenance.get("embedder") or {}
        figures = (cost.per_question, cost.per_corpus) if cost else (None, None)
        rows.append((*who(grid, run), *(numbers.money(figure, cost.currency if cost else "") for figure in figures)))
        for price in (run.model.get("price"), embedder.get("price")) if cost else ():
            if price:
                prices[f"price of {price['model']}: {price['source']}, {price['date']}"] = None
    return Table(
        title=f"Anatomy: cost, {grid.name}",
        caption="Mean cost of an answer and of preparing a draw, by the prices recorded with the run, of the "
        "day that a note names: prices change, so check them.",
        columns=(*WHO, "a question", "a corpus"),
        rows=tuple(rows),
        labels=3,
        notes=(*mark_notes(runs), *prices, *([UNPRICED] if any(run.summary.cost is None for run in runs) else [])),
    )
