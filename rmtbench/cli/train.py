"""`rmtbench train`: make a model by its recipe. The same command again resumes, or says that it is done."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rmtbench.cli.progress import note

if TYPE_CHECKING:
    from rmtbench.training.base import Progress

LINE_EVERY_SECONDS = 30.0
"""A training takes hours: its log is read in minutes."""

app = typer.Typer(help="Train the models that the suite ships.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps `lm` a command of its own while it is the only one."""


@app.command("lm")
def lm(
    out: Annotated[Path, typer.Option(help="Folder for checkpoint, log, snapshots and model.")],
    recipe: Annotated[str, typer.Option(help="Name of the recipe.")] = "mini",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads (default: torch's own choice).")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda.")] = "auto",
) -> None:
    """Train the small language model. An interrupted training resumes with the same command."""
    import torch

    from rmtbench.training.loop import train
    from rmtbench.training.mini_lm import make

    if threads is not None:
        torch.set_num_threads(threads)
    objective, made = make(recipe, device)
    with show_training() as report:
        trained = train(objective, made, out, report)
    if not trained.new_steps:
        note(f"{out}: recipe '{made.name}' was finished before; nothing to do")
    note(f"{trained.folder}: {trained.steps} steps, {trained.tokens} tokens, {trained.seconds:.0f} s")


@contextmanager
def show_training() -> Iterator[Callable[[Progress], None]]:
    """A callback for `rmtbench.training.loop.train` that shows the steps while the block lasts."""
    if sys.stderr.isatty():
        with _bar() as report:
            yield report
    else:
        yield _lines()


@contextmanager
def _bar() -> Iterator[Callable[[Progress], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bars
    from rich.table import Column

    columns = (
        TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    with Bars(*columns, console=Console(stderr=True), expand=True) as bars:
        task = bars.add_task("starting", total=None, figures="")

        def report(progress: Progress) -> None:
            figures = _figures(progress)
            bars.update(
                task, description=progress.stage, total=progress.total, completed=progress.step, figures=figures
            )

        yield report


def _lines() -> Callable[[Progress], None]:
    last = {"at": float("-inf")}

    def report(progress: Progress) -> None:
        now = time.monotonic()
        if progress.step == progress.total or now - last["at"] >= LINE_EVERY_SECONDS:
            note(f"{progress.stage}: step {progress.step} of {progress.total}, {_figures(progress)} left")
            last["at"] = now

    return report


def _figures(progress: Progress) -> str:
    minutes, seconds = divmod(round(progress.seconds_left), 60)
    hours, minutes = divmod(minutes, 60)
    left = f"{hours}:{minutes:02}:{seconds:02}"
    return f"loss {progress.loss:.3f}, {progress.tokens_per_second:.0f} tokens/s, {left}"
