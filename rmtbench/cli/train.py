"""`rmtbench train`: make a model by its recipe. The same command again resumes, or says that it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from rmtbench.cli.flags import RenamingCommand, earlier_flags, takes
from rmtbench.cli.progress import bars_or_lines, note
from rmtbench.errors import UserError
from rmtbench.options.declare import options_of
from rmtbench.options.training import AdapterTraining, MemoryTraining
from rmtbench.plural import many

if TYPE_CHECKING:
    from rmtbench.training.base import Objective, Progress, Recipe

ANYTHING = {"ignore_unknown_options": True, "allow_extra_args": True}
LINE_EVERY_SECONDS = 30.0
"""Seconds between two lines of a plain log. A training takes hours."""


class RmtCommand(RenamingCommand):
    """`rmtbench train rmt`, with the earlier names of its flags."""

    RENAMED: ClassVar[Mapping[str, str]] = earlier_flags(options_of(MemoryTraining).values())


app = typer.Typer(help="Train a recurrent memory or an adapter.", no_args_is_help=True)


@app.command("lm", hidden=True, context_settings=ANYTHING)
def lm() -> None:
    """Say where the training of the mini model is now."""
    raise UserError(
        "the mini model is trained from the repository, not from the package",
        where="rmtbench train lm",
        remedy="in a clone: python -m experiments.training --recipe mini --out DIR",
    )


@app.command("rmt", cls=RmtCommand)
@takes(MemoryTraining)
def rmt(
    asked: MemoryTraining,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="inner-steps=2, inner-rate=1, first-order=on, memory-last=N, ...; repeatable."),
    ] = None,
) -> None:
    """Train a recurrent memory by a curriculum. An interrupted training resumes with the same command."""
    from rmtbench.options.memory import MemoryForm
    from rmtbench.options.settings import read_settings
    from rmtbench.rmt.key_value_recipe import make_training

    form = read_settings(MemoryForm, {"write": asked.write, "memory": asked.memory}, settings or ())
    plan = replace(asked, **{each.name: getattr(form, each.name) for each in fields(form)})
    _use_threads(asked.threads)
    train_and_tell(*make_training(plan), asked.out)


@app.command("adapter")
@takes(AdapterTraining)
def adapter(asked: AdapterTraining) -> None:
    """Train a LoRA adapter that reads documents. An interrupted training resumes with the same command."""
    from rmtbench.training.adapter_recipe import make

    _use_threads(asked.threads)
    train_and_tell(*make(asked), asked.out)


def _use_threads(threads: int | None) -> None:
    """Limit torch to so many threads; None leaves its own choice."""
    import torch

    if threads is not None:
        torch.set_num_threads(threads)


def train_and_tell(objective: Objective, recipe: Recipe, out: Path) -> None:
    """Train, show the steps, and print what was done or that it had finished before."""
    from rmtbench.training.loop import train

    with show_training() as report:
        trained = train(objective, recipe, out, report)
    if not trained.new_steps:
        note(f"{out}: recipe '{recipe.name}' was finished before; nothing to do")
    note(f"{trained.folder}: {many(trained.steps, 'step')}, {many(trained.tokens, 'token')}, {trained.seconds:.0f} s")


def show_training() -> AbstractContextManager[Callable[[Progress], None]]:
    """Return a callback for `rmtbench.training.loop.train` that shows the steps: a bar on a terminal, else lines."""
    return bars_or_lines(_bar, _lines)


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
