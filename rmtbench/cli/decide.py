"""`rmtbench decide`: which system to use, given how many questions, which limits and which prices."""

from __future__ import annotations

import json as json_format
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rmtbench.cli.flags import takes
from rmtbench.errors import UserError
from rmtbench.options.reporting import Deciding

if TYPE_CHECKING:
    from rmtbench.analysis.contest import Contest, Terms
    from rmtbench.analysis.decision import Decided
    from rmtbench.analysis.run_figures import RunFigures
    from rmtbench.analysis.sections import Section
    from rmtbench.report.tables import Table

MOST_QUESTIONS = 10**12
"""Above this a cost has no exact digits."""


@takes(Deciding)
def decide(
    asked: Deciding,
    results: Annotated[Path, typer.Argument(help="Folder of all runs, or one run.")] = Path("results"),
    *,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
) -> None:
    """Say which system to use, how sure that is, and what would change it; one verdict a dataset, size and model."""
    from rmtbench.analysis.candidates import make_contests
    from rmtbench.analysis.decision import decide_all
    from rmtbench.analysis.read import read_figures
    from rmtbench.analysis.sections import make_sections
    from rmtbench.processes import usual_processes

    terms = _terms(asked)
    runs = read_figures(results, processes=usual_processes())
    _check_metric(asked.metric, runs)
    sections = make_sections(runs)
    contests = make_contests(sections, asked.metric, all_pairs=asked.all_pairs)
    wanted = [each for each in contests if _wants(asked, each)]
    if not wanted:
        known = sorted({f"{each.dataset} {each.size} {each.model}" for each in contests})
        raise UserError(
            "no runs of that dataset, size and model", where=str(results), remedy=f"there are: {', '.join(known)}"
        )
    decided = decide_all(wanted, terms)
    if json:
        from rmtbench.report.verdict_records import verdict_record

        verdicts = [verdict_record(contest, terms, verdict) for contest, verdict in decided]
        told = {"schema": 1, "terms": asdict(terms), "verdicts": verdicts}
        typer.echo(json_format.dumps(told, ensure_ascii=False, allow_nan=False))
        return
    _print_verdicts(decided, terms, _matrices(sections, asked) if asked.all_pairs else ())


def _terms(asked: Deciding) -> Terms:
    """Return questions, limits, prices and margin.

    Raises:
        UserError: One of them makes no sense.
    """
    from rmtbench.analysis.contest import Terms
    from rmtbench.measure import parse_bytes

    if asked.questions > MOST_QUESTIONS:
        raise UserError(
            f"at most {MOST_QUESTIONS:,} questions (given: {asked.questions:,})",
            where="--questions",
            remedy="give the number of questions that one corpus will get",
        )
    memory = None if asked.max_memory is None else parse_bytes(asked.max_memory, "--max-memory")
    prices = (asked.price_per_hour, asked.price_input, asked.price_cached, asked.price_output)
    try:
        return Terms(asked.questions, asked.max_seconds, memory, *prices, asked.margin)
    except ValueError as error:
        raise UserError(str(error), where="decide", remedy="see rmtbench decide --help") from error


def _wants(asked: Deciding, contest: Contest) -> bool:
    """Whether a contest is of the data set, size and model that are asked for."""
    wanted = _is_named(asked.dataset, contest.dataset) and _is_named(asked.model, contest.model)
    return wanted and asked.size in (None, contest.size)


def _is_named(wanted: str | None, name: str) -> bool:
    """Whether a name is the wanted one, with or without what is in brackets behind it; None wants any."""
    return wanted in (None, name, name.partition(" (")[0])


def _print_verdicts(decided: Sequence[Decided], terms: Terms, matrices: Sequence[Table]) -> None:
    from rmtbench.cli.screen import table_console
    from rmtbench.cli.tables import draw_table, draw_verdict

    console = table_console()
    for contest, verdict in decided:
        console.print(draw_verdict(contest, terms, verdict))
    for table in matrices:
        console.print(draw_table(table))


def _matrices(sections: Sequence[Section], asked: Deciding) -> list[Table]:
    """Return all pairs of the data sets, sizes and models that are asked for."""
    from rmtbench.analysis.pairs import compare_all
    from rmtbench.report.significance import matrix_table

    tables = [
        matrix_table(grid, size, compare_all(grid, size, asked.metric))
        for section in sections
        if _is_named(asked.model, dict(section.setting)["model"])
        for grid in section.grids
        if _is_named(asked.dataset, grid.name)
        for size in grid.sizes
        if asked.size in (None, size)
    ]
    return [table for table in tables if table is not None]


def _check_metric(metric: str, runs: Sequence[RunFigures]) -> None:
    from rmtbench.analysis.metrics import names_to_decide_by

    names = names_to_decide_by(runs)
    if metric not in names:
        raise UserError(f"no metric {metric!r} to decide by", where="--metric", remedy=f"one of {', '.join(names)}")
