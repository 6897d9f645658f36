"""Where the time and the tokens of every run went: the tables that explain tables 2 and 3. No run is left out here."""

from __future__ import annotations

from collections.abc import Sequence

from rmtbench.analysis.agreement import agreement, inexact
from rmtbench.analysis.grid import Grid, row_of
from rmtbench.analysis.run_figures import Cell
from rmtbench.analysis.summary import TIMINGS
from rmtbench.report import numbers
from rmtbench.report.notes import mark_notes, marks, preparation_text, shared_notes
from rmtbench.report.numbers import MISSING
from rmtbench.report.tables import Table

PARTS = ("tokenize", "chunk", "embed", "index", "prefill", "save", "load")
"""Order of preparation's parts; a system's own parts follow."""


UNPRICED = f"{MISSING}: no price is known (rmtbench run --prices)"


def anatomy_tables(grid: Grid) -> tuple[Table, ...]:
    """Times of an answer, preparation, memory, tokens with outcomes, and where they are met agreement and cost.

    Args:
        grid: The runs; those that no other table shows are listed too.
    """
    cells = [cell for _, cell, _ in grid.all()]
    return (
        _answer_table(grid, cells),
        _preparation_table(grid, cells),
        _memory_table(grid, cells),
        _outcome_table(grid, cells),
        *([_agreement_table(grid, cells)] if inexact(cells) else []),
        *([_cost_table(grid, cells)] if any("endpoint" in cell.model for cell in cells) else []),
    )


def parts_of(cells: Sequence[Cell]) -> tuple[str, ...]:
    """The parts of preparation that any of the runs had, in their order."""
    met = dict.fromkeys(part for cell in cells for part in cell.summary.prepare_seconds)
    return (*(part for part in PARTS if part in met), *(part for part in met if part not in PARTS))


_WHO = ("size", "system", "run", "top-k")


def _who(grid: Grid, cell: Cell) -> tuple[str, ...]:
    top_k = "" if cell.spec.top_k is None else str(cell.spec.top_k)
    return (cell.spec.size, f"{grid.label(row_of(cell.spec))} {marks(cell)}".rstrip(), cell.hash, top_k)


def _answer_table(grid: Grid, cells: Sequence[Cell]) -> Table:
    return Table(
        title=f"Anatomy: time of an answer, {grid.name}",
        caption="Median/90th percentile, without warm-up and failed answers. Total also holds what lies between them.",
        columns=(*_WHO, *(part.replace("_", " ") for part in TIMINGS)),
        rows=tuple(
            (
                *_who(grid, cell),
                *(
                    numbers.seconds(cell.summary.median_seconds[part], cell.summary.p90_seconds[part])
                    for part in TIMINGS
                ),
            )
            for cell in cells
        ),
        labels=3,
        notes=tuple(mark_notes(cells)),
    )


def _preparation_table(grid: Grid, cells: Sequence[Cell]) -> Table:
    parts = parts_of(cells)
    rows = []
    for cell in cells:
        seconds = cell.summary.prepare_seconds
        told = (numbers.seconds(seconds[part]) if part in seconds else "" for part in parts)
        rows.append((*_who(grid, cell), *told, preparation_text(cell)))
    return Table(
        title=f"Anatomy: preparation of a draw, {grid.name}",
        caption="Mean time a draw by part; where it is empty, the system has no such part.",
        columns=(*_WHO, *parts, "total"),
        rows=tuple(rows),
        labels=3,
        notes=tuple(mark_notes(cells) + shared_notes(cells)),
    )


def _memory_table(grid: Grid, cells: Sequence[Cell]) -> Table:
    return Table(
        title=f"Anatomy: memory, {grid.name}",
        caption="Mean bytes a draw kept for answering, and the most that a process took while it worked.",
        columns=(*_WHO, "kept", "peak memory", "peak on device"),
        rows=tuple(
            (*_who(grid, cell), *(numbers.size(size) for size in (cell.summary.kept_bytes, *cell.peak_bytes)))
            for cell in cells
        ),
        labels=3,
        notes=tuple(mark_notes(cells)),
    )


def _outcome_table(grid: Grid, cells: Sequence[Cell]) -> Table:
    return Table(
        title=f"Anatomy: tokens and outcomes, {grid.name}",
        caption="Mean tokens an answer: read for it, of these already cached, and written. Then how the answers ended.",
        columns=(*_WHO, "prompt", "cached", "output", "answered", "failed", "cut off", "empty", "warm-ups", "timed"),
        rows=tuple(
            (
                *_who(grid, cell),
                numbers.whole(cell.tokens.prompt),
                numbers.whole(cell.tokens.cached),
                MISSING if cell.tokens.output is None else f"{cell.tokens.output:.1f}",
                f"{cell.summary.answered} of {cell.summary.expected}",
                str(cell.summary.errors),
                str(cell.summary.cut_off),
                str(cell.summary.empty),
                str(cell.warmups),
                str(cell.summary.timed),
            )
            for cell in cells
        ),
        labels=3,
        notes=(*mark_notes(cells), *_reasoning_notes(grid, cells)),
    )


def _reasoning_notes(grid: Grid, cells: Sequence[Cell]) -> list[str]:
    """Say how much of what was written is reasoning, where there is any and it is counted."""
    return [
        f"{grid.label(row_of(cell.spec))} ({cell.hash}): of the tokens written, {cell.tokens.reasoning:,.1f} an answer "
        "were reasoning"
        for cell in cells
        if cell.tokens.reasoning
    ]


def _agreement_table(grid: Grid, cells: Sequence[Cell]) -> Table:
    rows = []
    for cell in inexact(cells):
        found = agreement(grid, cell)
        told: tuple[str, ...] = (MISSING,) * 6
        if found is not None:
            firsts = (cell.summary.median_seconds["first_token"], found.exact.summary.median_seconds["first_token"])
            told = (
                found.exact.hash,
                f"{found.equal:,} of {found.compared:,}",
                f"{found.rate:.3f}",
                *(_signed(found.difference(metric)) for metric in ("em", "f1")),
                f"{numbers.seconds(firsts[0])} / {numbers.seconds(firsts[1])}",
            )
        rows.append((*_who(grid, cell), *told))
    return Table(
        title=f"Anatomy: caches that are not exact, {grid.name}",
        caption="Answers that are token for token those of the exact run over the same questions; scores less the "
        "exact run's; median time to the first token, and the exact run's.",
        columns=(*_WHO, "exact run", "equal answers", "agreement", "EM", "F1", "first token / exact"),
        rows=tuple(rows),
        labels=3,
        notes=tuple(mark_notes(cells)),
    )


def _signed(value: float | None) -> str:
    return MISSING if value is None else f"{value:+.3f}"


def _cost_table(grid: Grid, cells: Sequence[Cell]) -> Table:
    rows, prices = [], dict[str, None]()
    for cell in cells:
        cost, embedder = cell.summary.cost, cell.provenance.get("embedder") or {}
        figures = (cost.per_question, cost.per_corpus) if cost else (None, None)
        rows.append((*_who(grid, cell), *(numbers.money(figure, cost.currency if cost else "") for figure in figures)))
        for price in (cell.model.get("price"), embedder.get("price")) if cost else ():
            if price:
                prices[f"price of {price['model']}: {price['source']}, {price['date']}"] = None
    return Table(
        title=f"Anatomy: cost, {grid.name}",
        caption="Mean cost of an answer and of preparing a draw, by the prices recorded with the run, of the "
        "day that a note names: prices change, so check them.",
        columns=(*_WHO, "a question", "a corpus"),
        rows=tuple(rows),
        labels=3,
        notes=(*mark_notes(cells), *prices, *([UNPRICED] if any(cell.summary.cost is None for cell in cells) else [])),
    )
