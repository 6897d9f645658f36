"""`rmtbench score`: make all scores anew from the journals."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from rmtbench.cli.progress import next_report, note
from rmtbench.errors import UserError


def score(
    results: Annotated[Path, typer.Argument(help="Folder of all runs, or one run.")] = Path("results"),
    metrics: Annotated[str, typer.Option(help="Comma-separated; 'all' for every metric.")] = "all",
    scorer: Annotated[str, typer.Option(help="BERTScore model: minilm, roberta-large, or a path.")] = "minilm",
) -> None:
    """Score every run of a folder from its journal; no answer is made again."""
    from rmtbench.journal.record import find_runs
    from rmtbench.scoring.kinds import broken_metrics
    from rmtbench.scoring.score import score_runs

    chosen = None if metrics == "all" else tuple(name.strip() for name in metrics.split(","))
    paths = find_runs(results)
    if not paths:
        raise UserError("no runs here", where=str(results), remedy="run something first: rmtbench run --help")
    for why in broken_metrics().values() if chosen is None else ():
        note(f"left out: {why}")
    with show_scoring() as progress:
        score_runs(paths, chosen, scorer, progress)
    note(f"{len(paths)} runs scored; {next_report(results)}")


@contextmanager
def show_scoring() -> Iterator[Callable[[str, int, int], None]]:
    """A callback that shows how far scoring is: a bar on a terminal, one line a metric elsewhere."""
    if not sys.stderr.isatty():

        def line(stage: str, done: int, total: int) -> None:
            if done == total:
                note(f"scored {stage}: {total} distinct texts")

        yield line
        return
    from rich.console import Console
    from rich.progress import Progress, TaskID

    with Progress(console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def bar(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(f"score {stage}", total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield bar
