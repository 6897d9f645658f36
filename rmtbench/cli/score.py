"""`rmtbench score`: make all scores anew from the journals."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
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

    chosen = None if metrics == "all" else tuple(name.strip() for name in metrics.split(","))
    paths = find_runs(results)
    if not paths:
        raise UserError("no runs here", where=str(results), remedy="run something first: rmtbench run --help")
    problems = score_and_tell(paths, chosen, scorer)
    note(f"{len(paths)} runs scored; {next_report(results)}")
    raise typer.Exit(1 if problems else 0)


def score_and_tell(
    paths: Sequence[Path], metrics: Sequence[str] | None, scorer: str, told: set[str] | None = None
) -> list[str]:
    """Score runs, show how far it is, and say which metrics of other packages are left out or fail.

    Args:
        paths: Run folders.
        metrics: Which metrics; None for all that can be made.
        scorer: The model of BERTScore.
        told: What was said already and is not said again; what is said now is added.

    Returns:
        One line for each metric that failed; one that cannot even be imported is left out, which is no failure.
    """
    from rmtbench.scoring.kinds import broken_metrics
    from rmtbench.scoring.score import score_runs

    told = set() if told is None else told
    for why in map(str, broken_metrics().values()) if metrics is None else ():
        if why not in told:
            note(f"left out: {why}")
            told.add(why)
    with show_scoring() as progress:
        problems = score_runs(paths, metrics, scorer, progress)
    for problem in problems:
        note(f"not scored: {problem}")
    return problems


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
