"""How the benches by length look: a bar or lines while they run, and a table when they are done."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from rmtbench.cli.progress import LINE_EVERY_SECONDS, note
from rmtbench.report.numbers import MISSING, score, seconds, size, whole
from rmtbench.report.tables import Table


class Reading(Protocol):
    """How far one length or one text is: see `rmtbench.bench.rmt.Reading`."""

    @property
    def name(self) -> str:
        """Who reads what."""
        ...

    @property
    def done(self) -> int:
        """Tokens read so far."""
        ...

    @property
    def total(self) -> int:
        """Tokens to read."""
        ...

    @property
    def row(self) -> Mapping[str, Any] | None:
        """The finished row; None until then."""
        ...


@contextmanager
def show_reading() -> Iterator[Callable[[Reading], None]]:
    """A callback for the benches by length that shows how far they are while the block lasts."""
    if sys.stderr.isatty():
        with _bars() as report:
            yield report
    else:
        yield _lines()


@contextmanager
def _bars() -> Iterator[Callable[[Reading], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn(), TextColumn("tokens"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def report(reading: Reading) -> None:
            if reading.name not in tasks:
                tasks[reading.name] = bars.add_task(reading.name, total=reading.total)
            bars.update(tasks[reading.name], completed=reading.done, total=reading.total)
            if reading.row is not None:
                bars.console.print(_finished(reading.name, reading.row), highlight=False, markup=False)

        yield report


def _lines() -> Callable[[Reading], None]:
    last = {"at": time.monotonic()}

    def report(reading: Reading) -> None:
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


def rmt_table(figures: Mapping[str, Any]) -> Table:
    """The figures of `rmtbench.bench.rmt.run`: one row a length, the published points of about that length at its end.

    Args:
        figures: As the bench gives them.
    """
    systems = list(dict.fromkeys(point["system"] for point in figures["published"]))
    base = {row["length"]: row for row in figures["base_rows"]}
    columns = ["length", "accuracy", "n", "tokens/s", "time per M tokens", "peak memory"]
    columns += ["base model", "its time per M"] if base else []
    rows = []
    for row in figures["rows"]:
        texts = [row["length"], *_cells(row)]
        if base:
            other = base[row["length"]]
            texts += [MISSING, MISSING] if other["error"] else [score(other["accuracy"], other["standard_error"])]
            texts += [] if other["error"] else [seconds(other["seconds_per_token"] * 1e6)]
        rows.append((*texts, *(_published(figures["published"], system, row["tokens"]) for system in systems)))
    notes = [f"{name}: {_quotient(figures[name])}" for name in _RATIOS]
    notes += [f"base model, {row['length']}: {row['error']}" for row in base.values() if row["error"]]
    notes += [f"published: {source}" for source in dict.fromkeys(point["source"] for point in figures["published"])]
    caption = (
        "Exact match of final answers, ± standard error. Published points are of other models, texts and machines."
    )
    return Table(f"Task {figures['task']} by length", caption, (*columns, *systems), tuple(rows), 1, tuple(notes))


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


def _quotient(value: float | None) -> str:
    return MISSING if value is None else f"{value:.3f}"


def perplexity_table(figures: Mapping[str, Any]) -> Table:
    """The figures of `rmtbench.bench.perplexity.run`: one row a reader.

    Args:
        figures: As the bench gives them.
    """
    rows = tuple(
        (
            row["reader"],
            f"{row['perplexity']:.3f}",
            score(row["nll"], row["standard_error"]),
            score(row["nll_above_memory"], row["nll_above_memory_standard_error"]),
            whole(row["tokens"]),
            whole(row["tokens_per_second"]),
        )
        for row in figures["rows"]
    )
    columns = ("reader", "perplexity", "nats a token", "above memory", "tokens", "tokens/s")
    caption = f"{figures['texts']} texts; the base model's window has {figures['window']} tokens."
    return Table("Perplexity of long text", caption, columns, rows, 1)


def kv_store_table(figures: Mapping[str, Any]) -> Table:
    """The figures of `rmtbench.bench.kv_store.run`: one row a model and length.

    Args:
        figures: As the bench gives them.
    """
    rows = tuple(
        (
            row["model"],
            whole(row["tokens"]),
            size(row["bytes"]),
            *(seconds(row[f"{part}_seconds"]) for part in ("compute", "save", "cold_load", "warm_load")),
            f"{row['compute_over_cold_load']:,.0f}x",
            f"{row['compute_over_warm_load']:,.0f}x",
        )
        for row in figures["rows"]
    )
    columns = ("model", "tokens", "cache", "compute", "save", "load, cold", "load, warm", "cold gains", "warm gains")
    damage = figures["damage"]
    caption = "Loads check every byte. Cold: the disk's pages were forgotten; warm: they were in memory."
    notes = (f"damaged caches detected: {damage['detected']} of {damage['damaged']}", *damage["missed"])
    return Table("A kept key-value cache", caption, columns, rows, 1, notes)


def kv_quality_table(figures: Mapping[str, Any]) -> Table:
    """The figures of `rmtbench.bench.kv_quality.run`: one row a style and way.

    Args:
        figures: As the bench gives them.
    """
    rows = tuple(
        (
            row["style"],
            row["way"],
            score(row["em"]),
            f"{row['em_difference']:+.3f}",
            f"{row['agreement']:.3f}",
            seconds(row["prepare_seconds"]),
            MISSING if row["change_seconds"] is None else seconds(row["change_seconds"]),
            MISSING if row["change_tokens"] is None else whole(row["change_tokens"]),
            seconds(row["question_seconds"]),
            size(row["bytes"]),
            whole(row["documents"]),
            whole(row["questions"]),
        )
        for row in figures["rows"]
    )
    columns = ("style", "cache", "EM", "less exact", "agreement", "preparation", "one changed", "tokens read",
               "a question", "kept", "documents", "n")  # fmt: skip
    caption = "Agreement: answers that are token for token the exact cache's. One changed: in the middle."
    return Table(f"Caches that are not exact, miniature {figures['size']}", caption, columns, rows, 2)


def reading_table(figures: Mapping[str, Any]) -> Table:
    """The figures of `rmtbench.bench.reading.run`: one row a style and size, one column a kind of question.

    Args:
        figures: As the bench gives them.
    """
    kinds = list(dict.fromkeys(row["kind"] for row in figures["rows"]))
    cells: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for row in figures["rows"]:
        cells.setdefault((row["style"], row["size"]), {})[row["kind"]] = row
    rows = tuple(
        (
            style,
            size,
            whole(sum(row["tokens"] for row in by_kind.values()) / len(by_kind)),
            *(
                score(by_kind[kind]["em"], by_kind[kind]["standard_error"]) if kind in by_kind else MISSING
                for kind in kinds
            ),
        )
        for (style, size), by_kind in cells.items()
    )
    caption = f"Exact match by kind of question; names: {figures['names']}; ± clustered by context."
    return Table(
        f"Reading the miniature, {figures['model']['id']}", caption, ("style", "size", "tokens", *kinds), rows, 3
    )
