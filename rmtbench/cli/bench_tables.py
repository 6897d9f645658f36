"""How the benches by length look: a bar or lines while they run, and a table when they are done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from rmtbench.cli.progress import LINE_EVERY_SECONDS, bars_or_lines, note
from rmtbench.plural import many
from rmtbench.report.numbers import MISSING, score, seconds, size, whole
from rmtbench.report.tables import Table

if TYPE_CHECKING:
    from rmtbench.bench.retrieval_quality import QualityFigures
    from rmtbench.bench.rmt import LengthProgress, RmtFigures


def show_reading() -> AbstractContextManager[Callable[[LengthProgress], None]]:
    """Return a callback for the benches by length that shows how far they are while the block lasts."""
    return bars_or_lines(_bars, _lines)


@contextmanager
def _bars() -> Iterator[Callable[[LengthProgress], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn(), TextColumn("tokens"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def report(reading: LengthProgress) -> None:
            if reading.name not in tasks:
                tasks[reading.name] = bars.add_task(reading.name, total=reading.total)
            bars.update(tasks[reading.name], completed=reading.done, total=reading.total)
            if reading.row is not None:
                bars.console.print(_finished(reading.name, reading.row), highlight=False, markup=False)

        yield report


def _lines() -> Callable[[LengthProgress], None]:
    last = {"at": time.monotonic()}

    def report(reading: LengthProgress) -> None:
        if reading.row is not None:
            note(_finished(reading.name, reading.row))
        elif time.monotonic() - last["at"] > LINE_EVERY_SECONDS:
            last["at"] = time.monotonic()
            note(f"{reading.name}: {reading.done:,} of {reading.total:,} tokens")

    return report


def _finished(name: str, row: Mapping[str, Any]) -> str:
    """A row as it is made: what is known by then stays on the screen whatever comes after."""
    if row["error"]:
        return f"{name}: {row['error']}"
    right = f"{row['accuracy']:.3f} of {row['samples']} right"
    return f"{name}: {right}, {row['tokens_per_second']:.0f} tokens/s, {size(row['peak_memory_bytes'])}"


def rmt_table(figures: RmtFigures) -> Table:
    """One row a length, the published points of about that length at its end."""
    systems = list(dict.fromkeys(point["system"] for point in figures.published))
    base = {row["length"]: row for row in figures.base_rows}
    columns = ["length", "accuracy", "n", "tokens/s", "time per M tokens", "peak memory"]
    columns += ["base model", "its time per M"] if base else []
    rows = []
    for row in figures.rows:
        texts = [row["length"], *([MISSING] * 5 if row["error"] else _cells(row))]
        if base:
            other = base[row["length"]]
            texts += [MISSING, MISSING] if other["error"] else [score(other["accuracy"], other["standard_error"])]
            texts += [] if other["error"] else [seconds(other["seconds_per_token"] * 1e6)]
        rows.append((*texts, *(_published(figures.published, system, row["tokens"]) for system in systems)))
    ratios = {name: getattr(figures, name) for name in _RATIOS}
    notes = [f"{name}: {MISSING if ratio is None else f'{ratio:.3f}'}" for name, ratio in ratios.items()]
    for name, read in (("memory", figures.rows), ("base model", figures.base_rows)):
        notes += [f"{name}, {row['length']}: {row['error']}" for row in read if row["error"]]
    notes += [f"published: {source}" for source in dict.fromkeys(point["source"] for point in figures.published)]
    caption = (
        "Exact match of final answers, ± standard error. Published points are of other models, texts and machines."
    )
    return Table(f"Task {figures.task} by length", caption, (*columns, *systems), tuple(rows), 1, tuple(notes))


_RATIOS = ("memory_ratio_2m_to_32k", "time_per_token_ratio_2m_to_32k")


def _cells(row: Mapping[str, Any]) -> list[str]:
    return [
        score(row["accuracy"], row["standard_error"]),
        whole(row["samples"]),
        whole(row["tokens_per_second"]),
        seconds(row["seconds_per_token"] * 1e6),
        size(row["peak_memory_bytes"]),
    ]


def _published(points: Sequence[Mapping[str, Any]], system: str, tokens: int) -> str:
    """The system's accuracy at the nearest published length, if that is within a tenth."""
    near = [point for point in points if point["system"] == system and abs(point["tokens"] - tokens) <= tokens / 10]
    nearest = min(near, key=lambda point: abs(point["tokens"] - tokens), default=None)
    return MISSING if nearest is None else score(nearest["accuracy"])


def quality_table(figures: QualityFigures) -> Table:
    """One row a retriever."""
    rows = tuple(
        (
            row.retriever,
            *(f"{row.recall[depth]:.3f}" for depth in (1, 3)),
            score(row.recall[5], row.standard_error),
            f"{row.recall[10]:.3f}",
            f"{row.mrr:.3f}",
        )
        for row in figures.rows
    )
    columns = ("retriever", "recall@1", "recall@3", "recall@5", "recall@10", "MRR")
    caption = (
        f"{many(figures.questions, 'question')} in {many(figures.draws, 'draw')}, {many(figures.chunks, 'chunk')} "
        f"of at most {figures.chunk_tokens} tokens; standard errors are clustered by draw."
    )
    over = figures.hybrid_over_better
    error = "" if over.standard_error is None else f" ±{over.standard_error:.3f}"
    note = f"recall@5 of hybrid is {over.difference:+.3f}{error} above that of {over.better}, its better part"
    return Table(f"Evidence found: {figures.dataset}, {figures.source}", caption, columns, rows, 1, (note,))
