"""`rmtbench train`: make a model by its recipe. The same command again resumes, or says that it is done."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from rmtbench.cli.flags import RenamingCommand
from rmtbench.cli.progress import note
from rmtbench.errors import UserError, nearest

if TYPE_CHECKING:
    from rmtbench.training.base import Progress, Trained

ANYTHING = {"ignore_unknown_options": True, "allow_extra_args": True}
LINE_EVERY_SECONDS = 30.0
"""A training takes hours: its log is read in minutes."""


class RmtCommand(RenamingCommand):
    """`rmtbench train rmt`, with the earlier names of its flags."""

    RENAMED: ClassVar[Mapping[str, str]] = {"--rate": "--learning-rate", "--promote": "--promote-at-accuracy"}


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
def rmt(  # many, long: the command's options, a line or two each
    out: Annotated[Path, typer.Option(help="Folder for checkpoint, log and the trained memory, under model/.")],
    base: Annotated[str, typer.Option(help="Base model: hub id, folder, mini, mini-short, minilm, random:GEOMETRY.")],
    task: Annotated[
        str, typer.Option(help="What to learn: memorize, detect, facts-4, two-hop, reading, key-values, …")
    ],
    segments: Annotated[
        str, typer.Option(help="Segments of a text (key-values: its pairs), stage by stage.")
    ] = "1,2,4,8,16,32",
    curriculum: Annotated[bool, typer.Option(help="Without: the last stage alone, with as much to read.")] = True,
    steps: Annotated[str, typer.Option(help="Most steps of every stage, or of each (300,200,…).")] = "300",
    promote: Annotated[
        float, typer.Option("--promote-at-accuracy", help="Accuracy that ends a stage early; above 1: never.")
    ] = 0.98,
    mode: Annotated[str, typer.Option(help="memory, or query-first: the question follows every segment.")] = "memory",
    names: Annotated[str, typer.Option(help="Names in the texts: seen, held-out or all.")] = "seen",
    segment_tokens: Annotated[int, typer.Option(help="Tokens of a segment.")] = 128,
    memory_tokens: Annotated[int, typer.Option(help="Memory tokens.")] = 16,
    update: Annotated[
        str, typer.Option(help="Memory: latched, gated, overwrite (paper), associative (ARMT).")
    ] = "latched",
    trained: Annotated[str, typer.Option(help="What trains: all, layers, lora or memory alone.")] = "all",
    backprop: Annotated[int | None, typer.Option(help="Segments that a gradient goes back (default: all).")] = None,
    rows: Annotated[int, typer.Option(help="Texts a step; fewer above 8 segments.")] = 16,
    mixed: Annotated[float, typer.Option(help="Share of texts with fewer segments than their stage's.")] = 0.3,
    along: Annotated[int, typer.Option(help="Most earlier segments after which a text is asked about too.")] = 2,
    asked: Annotated[int, typer.Option(help="Most questions about a text of several facts, at its end.")] = 1,
    rate: Annotated[float, typer.Option("--learning-rate", help="Highest learning rate.")] = 1e-3,
    style: Annotated[str, typer.Option("--answer-style", help="bridge or direct.")] = "bridge",
    kind: Annotated[str, typer.Option(help="Of the base model: decoder or encoder.")] = "decoder",
    mixed_precision: Annotated[bool, typer.Option(help="Matrix products in bfloat16.")] = True,
    fused: Annotated[bool, typer.Option(help="Compile the layers (needs a C++ compiler on the CPU).")] = False,
    seed: Annotated[int, typer.Option(help="Decides all that is random.")] = 0,
    start: Annotated[Path | None, typer.Option(help="Folder of a trained memory to begin with.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads (default: torch's own choice).")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda.")] = "auto",
    write: Annotated[str, typer.Option(help="How a segment is written: forward or gradient.")] = "forward",
    memory: Annotated[str, typer.Option(help="What is kept: constant or accumulate.")] = "constant",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="inner-steps=2, inner-rate=1, first-order=on, …; repeatable.")
    ] = None,
) -> None:
    """Train a recurrent memory by a curriculum. An interrupted training resumes with the same command."""
    import torch

    from rmtbench.models.load import choose_device
    from rmtbench.options.memory import MemoryForm
    from rmtbench.options.settings import read_settings
    from rmtbench.rmt.key_value_recipe import make_training
    from rmtbench.rmt.recipes import Plan, whole_numbers
    from rmtbench.training.loop import train

    plan = Plan(
        base=base,
        task=task,
        segments=whole_numbers(segments, "--segments"),
        steps=whole_numbers(steps, "--steps"),
        curriculum=curriculum,
        mode=_one_of(mode, "mode", ("memory", "query-first")),
        names=_one_of(names, "names", ("seen", "held-out", "all")),
        segment_tokens=segment_tokens,
        memory_tokens=memory_tokens,
        update=_one_of(update, "update", ("latched", "gated", "overwrite", "associative")),
        trained=_one_of(trained, "trained", ("all", "layers", "lora", "memory")),
        backprop=backprop,
        rows=rows,
        rate=rate,
        promote=promote,
        mixed=mixed,
        along=along,
        asked=asked,
        style=_one_of(style, "answer-style", ("bridge", "direct")),
        kind=_one_of(kind, "kind", ("decoder", "encoder")),
        seed=seed,
        start=start,
        mixed_precision=mixed_precision,
        form=read_settings(MemoryForm, {"write": write, "memory": memory}, settings or ()),
    )
    if threads is not None:
        torch.set_num_threads(threads)
    objective, recipe = make_training(plan, out, choose_device(device), fused=fused)
    with show_training() as report:
        done = train(objective, recipe, out, report)
    tell_trained(done, recipe.name, out)


@app.command("adapter")
def adapter(  # many: the command's options
    out: Annotated[Path, typer.Option(help="Folder for checkpoint, log and the adapter, under model/.")],
    squad: Annotated[list[Path], typer.Option(help="SQuAD v1.1 file of training articles; repeatable.")],
    hotpotqa: Annotated[list[Path] | None, typer.Option(help="HotpotQA file of training rows; repeatable.")] = None,
    base: Annotated[str, typer.Option(help="Model to adapt: smollm2, a folder, a GGUF file or a hub id.")] = "smollm2",
    tokens: Annotated[int, typer.Option(min=1, help="Tokens to read in all.")] = 800_000,
    rank: Annotated[int, typer.Option(min=1, help="Rank of the changes.")] = 20,
    skip: Annotated[float, typer.Option(min=0, max=0.9, help="Share of first layers that stay as they are.")] = 0.27,
    learning_rate: Annotated[float, typer.Option(help="Highest learning rate.")] = 6e-4,
    mixed_precision: Annotated[bool, typer.Option(help="Frozen weights and matrix products in bfloat16.")] = True,
    seed: Annotated[int, typer.Option(help="Decides every batch.")] = 0,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads (default: torch's own choice).")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda.")] = "auto",
) -> None:
    """Train a LoRA adapter that reads documents. An interrupted training resumes with the same command."""
    import torch

    from rmtbench.training.adapter import AdapterPlan, AdapterShape, make
    from rmtbench.training.loop import train

    if threads is not None:
        torch.set_num_threads(threads)
    shape = AdapterShape(rank, skip)
    plan = AdapterPlan(base, squad, hotpotqa or (), tokens, shape, learning_rate, seed, mixed_precision)
    objective, recipe = make(plan, device)
    with show_training() as report:
        trained = train(objective, recipe, out, report)
    tell_trained(trained, recipe.name, out)


def tell_trained(trained: Trained, recipe: str, out: Path) -> None:
    """Print what a training did, or that it was finished before."""
    if not trained.new_steps:
        note(f"{out}: recipe '{recipe}' was finished before; nothing to do")
    note(f"{trained.folder}: {trained.steps} steps, {trained.tokens} tokens, {trained.seconds:.0f} s")


def _one_of(value: str, option: str, known: Sequence[str]) -> Any:  # noqa: ANN401 - one of a Literal's values
    if value not in known:
        raise UserError(f"no {option} '{value}'", where=f"--{option}", remedy=nearest(value, known))
    return value


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
