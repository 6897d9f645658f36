"""Published scores at the nearest length beside measured ones: of models over retrieved contexts, and of memories.

What was published is of other models, data and scorers: it tells where a curve falls. Every table says what differs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import median

from rmtbench.analysis.figure_data import Record
from rmtbench.analysis.grid import Grid, Row
from rmtbench.analysis.published import long_context_rag, recurrent_memory
from rmtbench.analysis.published.recurrent_memory import PublishedPoint
from rmtbench.analysis.run_figures import Cell
from rmtbench.analysis.sections import Section
from rmtbench.report import numbers
from rmtbench.report.beside import published_record
from rmtbench.report.notes import mark_notes, marks
from rmtbench.report.numbers import MISSING
from rmtbench.report.tables import Table, score_text

MOST_ROWS = 20
"""Of a table for people; the files hold all."""
FARTHEST = math.sqrt(2)
"""Times shorter or longer that a published length may be: neighbouring ones mostly lie a factor of two apart."""
ONE_MODEL = "llama-3.1-8b-instruct"
"""Told by its name, as the model of "Don't Do RAG"."""
NO_CONTEXT = ("closed-book", "oracle")
"""Read no corpus, whatever its length."""
RECURRENT = "rmt-"
"""How names of systems begin that keep a memory in place of the context."""
JUDGED, EXACT = "f1", "em"
"""What stands beside answers that a judge finds right, and beside exact ones."""


def context_table(section: Section, grid: Grid) -> Table | None:
    """Measured scores by the tokens that a question reads, beside 20 models that read as much of retrieved chunks.

    Args:
        section: The grid's section.
        grid: The runs. Of each system one run a published length is shown: a complete one, on the longest corpus.

    Returns:
        The table; None where no run reads a length of which something was published.
    """
    found = _contexts(grid)
    shown: dict[tuple[str, int], tuple[Row, Cell, int]] = {}
    for row, cell, length in found:
        other = shown.get((row.system, length))
        if other is None or _read(cell) >= _read(other[1]):
            shown[row.system, length] = (row, cell, length)
    ranked = sorted(shown.values(), key=lambda each: (each[0].system not in ("full-context", "cag"), each[0].order))
    rows = []
    for row, cell, length in ranked[:MOST_ROWS]:
        known = long_context_rag.scores_at(length)
        extremes = (min(known.values()), median(known.values()), max(known.values()))
        rows.append(
            (
                cell.spec.size,
                f"{grid.full_label(row)} {marks(cell)}".rstrip(),
                numbers.whole(cell.tokens.prompt),
                score_text(cell, JUDGED),
                numbers.whole(length),
                numbers.score(known[ONE_MODEL]) if ONE_MODEL in known else MISSING,
                *map(numbers.score, extremes),
                str(len(known)),
            )
        )
    if not rows:
        return None
    return Table(
        title=f"Published by length of context, {grid.name}",
        caption=f"{long_context_rag.PAPER}: the nearest published length beside the mean tokens of a question. "
        f"Measured: {JUDGED.upper()}. Published: judged correctness. Two scales: compare how curves run, not heights.",
        columns=(
            "size", "system", "tokens read", "measured", "published at", ONE_MODEL, "lowest", "median", "highest",
            "models",
        ),
        rows=tuple(rows),
        labels=2,
        notes=(
            *context_differences(section, [cell for _, cell, _ in found]),
            *_left_out(len(found) - len(rows)),
            *mark_notes([cell for _, cell, _ in ranked[:MOST_ROWS]]),
        ),
    )  # fmt: skip


def memory_table(section: Section, grids: Sequence[Grid]) -> Table | None:
    """Measured scores of recurrent memories by length of the corpus, beside what was published of others.

    Args:
        section: The grids' section.
        grids: All its runs.

    Returns:
        The table; None without a recurrent memory that was read at a published length.
    """
    found = [(grid, *each) for grid in grids for each in _memories(grid)]
    if not found:
        return None
    points = recurrent_memory.on_running_text()
    systems = list(dict.fromkeys(point.system for point in points))
    rows = []
    for grid, row, cell, length in found[:MOST_ROWS]:
        known = _accuracies(points, length)
        rows.append(
            (
                grid.name,
                cell.spec.size,
                f"{grid.full_label(row)} {marks(cell)}".rstrip(),
                numbers.whole(cell.summary.corpus_tokens),
                score_text(cell, EXACT),
                numbers.whole(length),
                *(numbers.score(known[system]) if system in known else MISSING for system in systems),
            )
        )
    return Table(
        title="Published of recurrent memory beside measured",
        caption=f"{_source(points)}: the nearest published length beside the mean tokens of a corpus. "
        f"Measured: {EXACT.upper()}. Published: accuracy. Other models, texts and questions: compare how curves run.",
        columns=("dataset", "size", "system", "corpus tokens", "measured", "published at", *systems),
        rows=tuple(rows),
        labels=3,
        notes=(
            *memory_differences(section, [cell for _, _, cell, _ in found]),
            *_left_out(len(found) - len(rows)),
            *mark_notes([cell for _, _, cell, _ in found[:MOST_ROWS]]),
        ),
    )


def context_differences(section: Section, cells: Sequence[Cell]) -> tuple[str, ...]:
    """In what the published set-up of contexts differs from the measured one, a sentence each.

    Args:
        section: Of the runs.
        cells: The runs that something published stands beside.
    """
    return (
        f"model: published {len(long_context_rag.MODELS)} models, measured {_model(section)}",
        f"data: published {long_context_rag.SETUP}; measured {_data(section, cells)}",
        f"scorer: published a language model's judgement of answers, measured {_scorers(cells, JUDGED)}",
        "context: published retrieved chunks alone; measured what the system reads: the whole corpus, or its chunks",
    )


def memory_differences(section: Section, cells: Sequence[Cell]) -> tuple[str, ...]:
    """In what the published set-up of recurrent memories differs from the measured one, a sentence each.

    Args:
        section: Of the runs.
        cells: The runs that something published stands beside.
    """
    return (
        f"model: published as the columns are headed, measured {_model(section)}",
        f"data: published BABILong, one to three facts in running text of books; measured {_data(section, cells)}",
        f"scorer: published accuracy by BABILong's own rule, measured {_scorers(cells, EXACT)}",
        "length: published nominal (1k is 1,000), in tokens of that model; measured in tokens of the model under test",
    )


def length_records(section: Section, grid: Grid) -> list[Record]:
    """Both tables' figures for scripts, of every run: one line a run, of memories one a run and published system."""
    records = []
    contexts, memories = _contexts(grid), _memories(grid)
    told = "; ".join(context_differences(section, [cell for _, cell, _ in contexts]))
    for _, cell, length in contexts:
        known = long_context_rag.scores_at(length)
        records.append(
            published_record(
                grid,
                cell,
                table="length of context",
                metric=JUDGED,
                measured_score=_mean(cell, JUDGED),
                measured_tokens=_rounded(cell.tokens.prompt),
                published_system=ONE_MODEL,
                published_tokens=length,
                published_score=known.get(ONE_MODEL),
                published_lowest=min(known.values()),
                published_median=round(median(known.values()), 4),
                published_highest=max(known.values()),
                differences=told,
                source=long_context_rag.PAPER,
            )
        )
    points = recurrent_memory.on_running_text()
    told = "; ".join(memory_differences(section, [cell for _, cell, _ in memories]))
    for _, cell, length in memories:
        records += [
            published_record(
                grid,
                cell,
                table="recurrent memory",
                metric=EXACT,
                measured_score=_mean(cell, EXACT),
                measured_tokens=_rounded(cell.summary.corpus_tokens),
                published_system=system,
                published_tokens=length,
                published_score=accuracy,
                differences=told,
                source=_source(points),
            )
            for system, accuracy in _accuracies(points, length).items()
        ]
    return records


def nearest(tokens: float | None, lengths: Iterable[int]) -> int | None:
    """The published length that is nearest by its ratio; None where none lies within a factor of `FARTHEST`.

    Args:
        tokens: What was measured at; None where it is not known.
        lengths: What was published.
    """
    if not tokens:
        return None
    ratios = {length: max(length / tokens, tokens / length) for length in lengths if length}
    found = min(ratios, key=lambda length: (ratios[length], length), default=None)
    return found if found is not None and ratios[found] <= FARTHEST else None


def _contexts(grid: Grid) -> list[tuple[Row, Cell, int]]:
    """Runs that read about as much as a published length, and that length; from the few tokens to the many."""
    found = [
        (row, cell, length)
        for row, cell in _scored(grid, JUDGED)
        if row.system not in NO_CONTEXT
        and not row.system.startswith(RECURRENT)
        and (length := nearest(cell.tokens.prompt, long_context_rag.LENGTHS)) is not None
    ]
    return sorted(found, key=lambda each: each[2])


def _memories(grid: Grid) -> list[tuple[Row, Cell, int]]:
    """Runs of recurrent memories on corpora of about a published length, and that length."""
    lengths = {point.tokens for point in recurrent_memory.on_running_text()}
    return [
        (row, cell, length)
        for row, cell in _scored(grid, EXACT)
        if row.system.startswith(RECURRENT) and (length := nearest(cell.summary.corpus_tokens, lengths)) is not None
    ]


def _scored(grid: Grid, metric: str) -> list[tuple[Row, Cell]]:
    """Runs with a score that means something, by size and row."""
    return [
        (row, cell)
        for size in grid.sizes
        for row, cell in grid.at(size)
        if cell is not None
        and cell.scored
        and cell.summary.means.get(metric) is not None
        and not (cell.random_weights or cell.reads_other_english)
    ]


def _accuracies(points: Sequence[PublishedPoint], length: int) -> dict[str, float]:
    return {point.system: point.accuracy for point in points if point.tokens == length}


def _source(points: Sequence[PublishedPoint]) -> str:
    return "; ".join(dict.fromkeys(point.source for point in points))


def _left_out(count: int) -> list[str]:
    return [f"{count} more run(s) stand in published.csv"] if count else []


def _model(section: Section) -> str:
    return dict(section.setting)["model"]


def _data(section: Section, cells: Iterable[Cell]) -> str:
    """The data sets, and of which kind they are: generated data have public names."""
    return f"{dict(section.setting)['data source']} data named {', '.join(sorted({cell.dataset for cell in cells}))}"


def _scorers(cells: Iterable[Cell], metric: str) -> str:
    made = sorted({cell.scorers[metric] for cell in cells if metric in cell.scorers})
    return f"{metric.upper()} ({'; '.join(made)})"


def _read(cell: Cell) -> tuple[bool, float, float]:
    """Sort key: complete, then the longest corpus, then the most tokens that a question reads of it."""
    return cell.complete, cell.summary.corpus_tokens or 0.0, cell.tokens.prompt or 0.0


def _mean(cell: Cell, metric: str) -> float | None:
    mean = cell.summary.means.get(metric)
    return None if mean is None else round(mean, 4)


def _rounded(tokens: float | None) -> int | None:
    return None if tokens is None else round(tokens)
