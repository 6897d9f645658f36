"""What a person sees while runs go on: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Timer
from typing import TYPE_CHECKING, TypeVar

import typer

from rmtbench.cli.plain_text import one_line, plain
from rmtbench.plural import many

if TYPE_CHECKING:
    from pathlib import Path

    from rmtbench.corpora.base import TokenCounter
    from rmtbench.kvcache.watching import ReadProgress
    from rmtbench.runs.loop import Event

Report = TypeVar("Report")

LONG_TEXT = 1_000_000
"""Characters that a tokenizer takes some seconds for on a slow machine."""
SLOW_SECONDS = 3.0
"""From then on a user wonders whether anything is being done."""
LINE_EVERY_SECONDS = 5.0
"""A plain log says where a run is this often, so that it neither floods nor falls silent."""


def next_report(results: Path) -> str:
    """Return the command that prints the report of a folder, quoted for a shell where it needs it."""
    return f"next: rmtbench report {shlex.quote(str(results))}"


def say_next(results: Path, shard: str | None) -> None:
    """Print the command that a user gives next: for the report, or for joining the parts of several machines.

    A process of `--workers` prints none: the command that began it joins the parts.
    """
    from rmtbench.runs.workers import PART_OF_WORKERS

    if shard is None:
        note(next_report(results))
    elif PART_OF_WORKERS not in os.environ:
        note(f"part {shard} is done; to join several machines' parts: rmtbench merge PART1 PART2 ... --results FOLDER")


def resumable(text: str, words: Sequence[str]) -> str:
    """Return a remedy that repeats the command, without ``--fresh`` if the user gave it: that would lose what is done.

    Args:
        text: Speaks of "the same command".
        words: The command as it was given.
    """
    return text.replace("the same command", "the same command without --fresh") if "--fresh" in words else text


def note(text: str) -> None:
    """One line for the person, on stderr: stdout belongs to results."""
    typer.echo(one_line(text), err=True)


@contextmanager
def saying_if_slow(text: str) -> Iterator[None]:
    """Print one line if the block takes longer than `SLOW_SECONDS`. A block that fails sooner prints only its error."""
    timer = Timer(SLOW_SECONDS, note, [text])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def telling_counter(count_tokens: TokenCounter) -> TokenCounter:
    """A token counter that says so before it counts so much text that it takes seconds."""

    def count(texts: Sequence[str]) -> Sequence[int]:
        say_long(len(texts), sum(map(len, texts)))
        return count_tokens(texts)

    return count


def say_long(documents: int, characters: int) -> None:
    """Say that tokens are being counted, if there is so much text that it takes seconds."""
    if characters > LONG_TEXT:
        note(f"counting tokens of {many(documents, 'document')} ({characters / 1e6:,.0f} million characters)")


def bars_or_lines(
    bars: Callable[[], AbstractContextManager[Report]], lines: Callable[[], Report]
) -> AbstractContextManager[Report]:
    """Return what shows progress while a block lasts: bars on a terminal, else lines.

    Args:
        bars: Makes a context whose value is called with the progress.
        lines: Makes what is called in its place.
    """
    return bars() if sys.stderr.isatty() else nullcontext(lines())


def show_runs() -> AbstractContextManager[Callable[[Event], None]]:
    """Return a callback for `rmtbench.runs.loop.execute` that shows the runs' progress while the block lasts."""
    return bars_or_lines(_bars, _lines)


@contextmanager
def _bars() -> Iterator[Callable[[Event], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
    from rich.table import Column

    columns = (
        # On a narrow terminal the run's name gives way, and never the figures.
        TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), expand=True) as progress:
        tasks: dict[str, tuple[TaskID, float, int]] = {}
        reading_tasks: list[TaskID] = []

        def show_reading(reading: ReadProgress) -> None:
            if not reading_tasks:
                reading_tasks.append(progress.add_task("reading the corpus", total=reading.total, speed=""))
            progress.update(reading_tasks[0], completed=reading.done, total=reading.total, speed=_speed(reading))
            if reading.done == reading.total:
                progress.remove_task(reading_tasks.pop())

        def report(event: Event) -> None:
            if event.run_id not in tasks or event.kind == "begin":
                if event.run_id in tasks:
                    progress.update(tasks[event.run_id][0], total=event.total)
                else:
                    task = progress.add_task(event.run_id, total=event.total, completed=event.done, speed="preparing")
                    tasks[event.run_id] = (task, time.perf_counter(), event.done)
            task_id, _, _ = tasks[event.run_id]
            if event.kind == "notice":
                progress.console.print(plain(event.text), highlight=False, markup=False)
            if event.reading is not None:
                show_reading(event.reading)
            if event.kind == "prepared":
                tasks[event.run_id] = (task_id, time.perf_counter(), event.done)
                progress.update(task_id, speed=f"prepared in {event.prepare_seconds:.1f} s")
            if event.kind == "answer":
                rate = _rate(event, tasks[event.run_id][1:], time.perf_counter())
                progress.update(task_id, completed=event.done, total=event.total, speed=f"{rate:.2f} questions/s")

        yield report


def _speed(reading: ReadProgress) -> str:
    return f"{reading.tokens_per_second:,.0f} tokens/s"


def _lines() -> Callable[[Event], None]:
    last = {"at": 0.0}
    began: dict[str, tuple[float, int]] = {}
    first: dict[str, tuple[float, int]] = {}
    told: dict[str, int] = {}

    def report(event: Event) -> None:
        now = time.perf_counter()
        if event.kind == "begin":
            last["at"] = now
        elif event.kind == "notice":
            note(event.text)
        elif event.reading is not None:
            if now - last["at"] > LINE_EVERY_SECONDS and event.reading.done < event.reading.total:
                reading = event.reading
                note(f"{event.run_id}: read {reading.done:,} of {reading.total:,} tokens, {_speed(reading)}")
                last["at"] = now
        elif event.kind == "prepared":
            began[event.run_id] = (now, event.done)
            first.setdefault(event.run_id, began[event.run_id])
            note(f"{event.run_id}: draw {event.draw} prepared in {event.prepare_seconds:.2f} s")
            last["at"] = now
        elif event.kind == "end" and told.get(event.run_id) == event.done:
            pass  # the last answer's line has said it
        elif event.kind == "end" or (event.kind == "answer" and now - last["at"] > LINE_EVERY_SECONDS):
            rate = _rate(event, began[event.run_id], now)
            # What other runs take between the draws, and further preparations, will come again.
            steady = _rate(event, first[event.run_id], now)
            left = (event.total - event.done) / steady if steady else float("inf")
            done = f"{event.done:,} of {many(event.total, 'question')}"
            note(f"{event.run_id}: {done}, {rate:.2f} questions/s, {left:.0f} s left")
            last["at"], told[event.run_id] = now, event.done

    return report


def _rate(event: Event, since: tuple[float, int], now: float) -> float:
    """Questions a second since a moment at which so many were done."""
    return (event.done - since[1]) / max(now - since[0], 1e-9)
