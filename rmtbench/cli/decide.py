"""`rmtbench decide`: which system to use, given how many questions, which limits and which prices."""

from __future__ import annotations

import json as json_format
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rmtbench.errors import UserError

if TYPE_CHECKING:
    from rmtbench.analysis.decision import Contest, Terms, Verdict
    from rmtbench.analysis.run_figures import RunFigures

MOST_QUESTIONS = 10**12
"""More of one corpus nobody asks, and beyond some more a cost has no exact digits."""


def decide(
    results: Annotated[Path, typer.Argument(help="Folder of all runs, or one run.")] = Path("results"),
    *,
    questions: Annotated[int, typer.Option(help="Questions that one corpus will get.")] = 200,
    max_seconds: Annotated[float | None, typer.Option(help="Longest wait for nine of ten answers.")] = None,
    max_memory: Annotated[str | None, typer.Option(help="Most memory, such as 8GB or 7.5GiB.")] = None,
    price_per_hour: Annotated[float, typer.Option(help="Of the machine.")] = 0.0,
    price_input: Annotated[float, typer.Option(help="Of a million tokens read.")] = 0.0,
    price_cached: Annotated[float, typer.Option(help="Of a million tokens read from a cache.")] = 0.0,
    price_output: Annotated[float, typer.Option(help="Of a million tokens written.")] = 0.0,
    margin: Annotated[float, typer.Option(help="Smallest difference of the metric that matters.")] = 0.02,
    metric: Annotated[
        str, typer.Option(help="em, f1, minilm_cosine, bertscore_f1, or another that the runs were scored with.")
    ] = "em",
    dataset: Annotated[str | None, typer.Option(help="Only this dataset.")] = None,
    size: Annotated[str | None, typer.Option(help="Only this size.")] = None,
    model: Annotated[str | None, typer.Option(help="Only this model.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
) -> None:
    """Say which system to use, how sure that is, and what would change it; one verdict a dataset, size and model."""
    from rmtbench.analysis.candidates import make_contests
    from rmtbench.analysis.decision import Terms
    from rmtbench.analysis.decision import decide as judge
    from rmtbench.analysis.read import read_figures
    from rmtbench.analysis.sections import make_sections
    from rmtbench.measure import parse_bytes

    _check_questions(questions)
    try:
        terms = Terms(
            questions, max_seconds, None if max_memory is None else parse_bytes(max_memory, "--max-memory"),
            price_per_hour, price_input, price_cached, price_output, margin,
        )  # fmt: skip
    except ValueError as error:
        raise UserError(str(error), where="decide", remedy="see rmtbench decide --help") from error
    runs = read_figures(results)
    _check_metric(metric, runs)
    contests = make_contests(make_sections(runs), metric)
    wanted = [each for each in contests if _wanted(each, dataset, size, model)]
    if not wanted:
        known = sorted({f"{each.dataset} {each.size} {each.model}" for each in contests})
        raise UserError(
            "no runs of that dataset, size and model", where=str(results), remedy=f"there are: {', '.join(known)}"
        )
    judged = [(contest, judge(contest, terms)) for contest in wanted]
    if json:
        told = {"schema": 1, "terms": asdict(terms), "verdicts": [_record(*each, terms) for each in judged]}
        typer.echo(json_format.dumps(told, ensure_ascii=False, allow_nan=False))
    else:
        _print_verdicts(judged, terms)


def _check_questions(questions: int) -> None:
    if questions > MOST_QUESTIONS:
        raise UserError(
            f"at most {MOST_QUESTIONS:,} questions (given: {questions:,})",
            where="--questions",
            remedy="give the number of questions that one corpus will get",
        )


def _print_verdicts(judged: Sequence[tuple[Contest, Verdict]], terms: Terms) -> None:
    from rich.console import Console

    from rmtbench.cli.tables import draw_verdict

    console = Console() if sys.stdout.isatty() else Console(width=120)
    for contest, verdict in judged:
        console.print(draw_verdict(contest, terms, verdict))


def _check_metric(metric: str, runs: Sequence[RunFigures]) -> None:
    from rmtbench.analysis.metrics import names_to_decide_by

    names = names_to_decide_by(runs)
    if metric not in names:
        raise UserError(f"no metric {metric!r} to decide by", where="--metric", remedy=f"one of {', '.join(names)}")


def _wanted(contest: Contest, dataset: str | None, size: str | None, model: str | None) -> bool:
    names = {contest.dataset, contest.dataset.partition(" (")[0]}
    return (
        (dataset is None or dataset in names)
        and size in (None, contest.size)
        and (model is None or model in {contest.model, contest.model.partition(" (")[0]})
    )


def _record(contest: Contest, verdict: Verdict, terms: Terms) -> dict[str, Any]:
    from rmtbench.report.verdicts import verdict_lines

    def name(place: int | None) -> str | None:
        return None if place is None else contest.candidates[place].name

    why = dict(verdict.out)
    return {
        "section": contest.section, "dataset": contest.dataset, "size": contest.size, "model": contest.model,
        "metric": contest.metric, "unit": contest.unit, "units": contest.units,
        "questions": contest.questions, "kind": verdict.kind, "use": name(verdict.choice),
        "leader": name(verdict.leader), "rival": name(verdict.rival),
        "alike": [name(place) for place in verdict.alike], "units_needed": verdict.units_needed,
        "units_needed_is_a_lower_bound": verdict.at_least,
        "detectable": verdict.detectable,
        "lines": verdict_lines(contest, terms, verdict),
        "candidates": [
            {**asdict(candidate), "cost": cost, "out": (candidate.unfit or why.get(place)) or None}
            for place, (candidate, cost) in enumerate(zip(contest.candidates, verdict.costs, strict=True))
        ],
        "changes": [
            {**asdict(change), "system": name(change.system), "other": name(change.other)} for change in verdict.changes
        ],
    }  # fmt: skip
