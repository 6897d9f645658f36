"""`rmtbench score`: make all scores again from the journals."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rmtbench.cli.progress import bars_or_lines, next_report, note
from rmtbench.errors import UserError
from rmtbench.options.judge import Judging
from rmtbench.options.request import all_options
from rmtbench.plural import many

if TYPE_CHECKING:
    from rmtbench.scoring.base import Progress
    from rmtbench.scoring.judge_model import Judge

RARE = (
    "judge_key_variable", "judge_concurrency", "judge_think_tokens", "requests_per_minute", "tokens_per_minute",
    "deadline", "attempts",
)  # fmt: skip
"""Rare options that scoring heeds, all of them of the judge."""


def _help(field: str) -> str:
    return all_options()[field].help


def score(
    results: Annotated[Path, typer.Argument(help="Folder of all runs, or one run.")] = Path("results"),
    metrics: Annotated[str, typer.Option(help="Comma-separated; 'all' for every metric.")] = "all",
    scorer: Annotated[str, typer.Option(help="BERTScore model: minilm, roberta-large, or a path.")] = "minilm",
    judge: Annotated[str | None, typer.Option(help=_help("judge"))] = None,
    judge_base_url: Annotated[str | None, typer.Option(help=_help("judge_base_url"))] = None,
    prices: Annotated[Path | None, typer.Option(help=_help("prices"))] = None,
    rare: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="NAME=VALUE for a rare option of the judge, as in docs/reference/options.md; repeatable."
        ),
    ] = None,
) -> None:
    """Score every run of a folder from its journal; no answer is made again."""
    from rmtbench.cli.judging import say_judgements
    from rmtbench.journal.find import find_runs

    chosen = None if metrics == "all" else tuple(name.strip() for name in metrics.split(","))
    asked = _judge({"judge": judge, "judge_base_url": judge_base_url, "prices": prices}, rare or ())
    paths = find_runs(results)
    if not paths:
        raise UserError("no runs here", where=str(results), remedy="run something first: rmtbench run --help")
    problems = score_and_tell(paths, chosen, scorer, judge=asked)
    failed = say_judgements(paths) if asked is not None else 0
    note(f"{many(len(paths), 'run')} scored; {next_report(results)}")
    raise typer.Exit(1 if problems or failed else 0)


def _judge(given: Mapping[str, Any], rare: list[str] | tuple[str, ...]) -> Judge | None:
    """The judge that the flags name; None where they name none.

    Raises:
        UserError: A value is none of its option's, or means nothing here.
    """
    values = {name: value for name, value in given.items() if value is not None}
    if not values and not rare:
        return None
    from rmtbench.options.check import checked_part
    from rmtbench.scoring.judge_model import find_judge
    from rmtbench.spec import rare_options

    values |= rare_options(rare)
    for name in values:
        option = all_options()[name]
        if option.rare and name not in RARE:
            raise UserError("means nothing for scoring", where=option.flag, remedy="leave it out")
        if name != "judge" and "judge" not in values:
            raise UserError("means nothing without --judge", where=option.flag, remedy="give --judge, or leave it out")
    return find_judge(checked_part(Judging, values), os.environ)


def score_and_tell(
    paths: Sequence[Path],
    metrics: Sequence[str] | None,
    scorer: str,
    told: set[str] | None = None,
    judge: Judge | None = None,
) -> list[str]:
    """Score runs, show how far it is, and say which metrics of other packages are left out or fail.

    Args:
        paths: Run folders.
        metrics: Which metrics; None for all that can be made.
        scorer: The model of BERTScore.
        told: What was said already and is not said again; what is said now is added.
        judge: The model that judges answers; None for none.

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
    if paths:
        note(f"scoring {many(len(paths), 'run')}")
    with show_scoring() as progress:
        problems = score_runs(paths, metrics, scorer, progress, judge)
    for problem in problems:
        note(f"not scored: {problem}")
    return problems


def show_scoring() -> AbstractContextManager[Progress]:
    """Return a callback that shows how far scoring is: a bar on a terminal, one line a metric elsewhere."""
    return bars_or_lines(_bars, lambda: _line)


def _line(stage: str, done: int, total: int) -> None:
    if done == total:
        note(f"scored {stage}: {many(total, 'distinct text')}")


@contextmanager
def _bars() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    with Bars(console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def bar(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(f"score {stage}", total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield bar
