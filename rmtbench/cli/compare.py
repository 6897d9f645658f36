"""`rmtbench compare`: two runs question by question, for people and for continuous integration."""

from __future__ import annotations

import json as json_format
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rmtbench.cli.folders import in_a_folder
from rmtbench.errors import UserError, nearest
from rmtbench.plural import many

if TYPE_CHECKING:
    from rmtbench.analysis.run_comparison import RunComparison
    from rmtbench.journal.record import RunRecord
    from rmtbench.report.tables import Table


def _margin(value: float | None) -> float | None:
    if value is not None and not 0 <= value <= 1:
        remedy = "give the smallest loss of the mean that matters, such as 0.02"
        raise UserError(f"must be a number from 0 to 1 (given: {value:g})", where="--fail-if-worse", remedy=remedy)
    return value


def compare(
    first: Annotated[
        str, typer.Argument(help="What to compare with: a folder, a run's name, its beginning, or its hash.")
    ],
    second: Annotated[str, typer.Argument(help="The run that is compared.")],
    *,
    metric: Annotated[str, typer.Option(help="em, f1, minilm_cosine, bertscore_f1, recall, ...")] = "em",
    fail_if_worse: Annotated[
        float | None,
        typer.Option(callback=_margin, help="Exit with 1 if the second mean is lower by more than this, from 0 to 1."),
    ] = None,
    results: Annotated[Path, typer.Option(help="Folder of the runs that are named by name.")] = Path("results"),
    flips: Annotated[int, typer.Option(min=0, help="Most flipped questions to print; the JSON has all.")] = 20,
    json: Annotated[
        Path | None, typer.Option("--json", help="Write everything to this file, too.", callback=in_a_folder)
    ] = None,
) -> None:
    """Compare two runs on the questions that both answered: difference, certainty, what changed, what flipped."""
    from rmtbench.analysis.run_comparison import as_record, check_finished, compare_runs
    from rmtbench.journal.find import find_run
    from rmtbench.journal.record import read_run

    _check_words(first, second)
    before, after = (read_run(find_run(name, results)) for name in (first, second))
    _check_metric(metric, (before, after))
    made = compare_runs(before, after, metric)
    if fail_if_worse is not None:
        check_finished(made)
    for line in _lines(made):
        typer.echo(line)
    _print(_changes_table(made))
    if made.flips and flips:
        _print(_flips_table(made, flips))
    worse = fail_if_worse is not None and made.worse_by(fail_if_worse)
    if fail_if_worse is not None:
        typer.echo()
        told = "worse by more than" if worse else "not worse by more than"
        among = " on the questions that both are asked" if any(made.left_out) else ""
        among = f" on the questions that {made.metric} has a value for in both" if any(made.valued_alone) else among
        typer.echo(f"{told} {fail_if_worse:g}{among}; {made.certainty(fail_if_worse)}")
    if json is not None:
        from rmtbench.journal.lines import write_whole

        record = {**as_record(made), "fail_if_worse": fail_if_worse, "worse": worse}
        text = json_format.dumps(record, ensure_ascii=False, indent=1) + "\n"
        write_whole(json, text.encode("utf-8", "replace"), option="--json")
    if worse:
        raise typer.Exit(1)


def _check_words(first: str, second: str) -> None:
    """Refuse what names nothing, before any run is read."""
    for place, name in (("FIRST", first), ("SECOND", second)):
        if not name.strip():
            raise UserError("names no run", where=place, remedy="give a folder, a run's name, or its hash")


def _check_metric(metric: str, runs: Sequence[RunRecord]) -> None:
    from rmtbench.analysis.metrics import USUAL

    scored = [name for run in runs for name in next(iter(run.scores.values()), {})]
    known = dict.fromkeys([*(value.name for value in USUAL), *(value.name for run in runs for value in run.values)])
    known |= dict.fromkeys(scored)
    if metric not in known:
        raise UserError(f"no metric '{metric}'", where="--metric", remedy=nearest(metric, known))


def _lines(made: RunComparison) -> list[str]:
    from rmtbench.report.significance import UNDEFINED, p_text, signed

    scores = made.scores
    told = UNDEFINED if scores.low is None or scores.high is None else f"{signed(scores.low)} to {signed(scores.high)}"
    p = UNDEFINED if made.test is None else p_text(made.test.p)
    found = UNDEFINED if scores.detectable is None else f"{scores.detectable:.3f}"
    lines = [
        f"first   {made.first}",
        f"second  {made.second}",
        "",
        (
            f"{made.metric}: {made.means[0]:.3f}, then {made.means[1]:.3f}: {signed(scores.difference)} over "
            + many(made.questions, "question")
            + (f" in {many(scores.clusters, 'draw')}" if made.unit == "draw" else ", clustered by question")
        ),
        f"95 % interval {told}, p {p}, detectable difference {found}",
    ]
    if scores.low is None:
        lines.append(f"with one {made.unit} nothing but the difference is defined: ask for more {made.unit}s")
    if any(made.left_out + made.unanswered + made.valued_alone):
        lines.append(f"left out: {_left_out(made)}")
    if made.other_documents:
        lines.append(f"in {many(made.other_documents, 'draw')} the documents or the other questions are not the same")
    if made.times is None:
        lines.append(made.no_times)
    else:
        ratio = made.times
        span = UNDEFINED if ratio.low is None or ratio.high is None else f"{ratio.low:.3g} to {ratio.high:.3g}"
        lines.append(
            f"time: the second takes {ratio.ratio:.3g} times as long (95 % interval {span}, "
            f"{many(ratio.questions, 'question')})"
        )
    right = sum(flip.better for flip in made.flips)
    lines.append(f"flipped: {len(made.flips) - right} right to wrong, {right} wrong to right")
    return lines


def _left_out(made: RunComparison) -> str:
    counts = (*made.left_out, *made.unanswered, *made.valued_alone)
    valued = f"{made.metric} has a value for in the"
    told = ("the first alone is asked", "the second alone is asked", "the first has not answered",
            "the second has not answered", f"{valued} first alone", f"{valued} second alone")  # fmt: skip
    pairs = zip(counts, told, strict=True)
    return ", ".join(f"{many(count, 'question')} that {what}" for count, what in pairs if count)


def _changes_table(made: RunComparison) -> Table:
    from rmtbench.report.tables import Table

    return Table(
        title="What changed",
        caption="Fields of spec and provenance that differ." if made.changes else "Nothing in spec and provenance.",
        columns=("field", "first", "second"),
        rows=tuple((change.field, change.first, change.second) for change in made.changes),
        labels=3,
    )


def _flips_table(made: RunComparison, most: int) -> Table:
    from rmtbench.report.tables import Table

    rest = len(made.flips) - most
    return Table(
        title="Questions that flipped",
        caption=f"Right is a value of at least 0.5; those that became wrong stand first. {made.metric}",
        columns=("flip", "draw", "question", "accepted", "first", "second"),
        rows=tuple(
            (
                "wrong → right" if flip.better else "right → wrong",
                str(flip.draw),
                flip.question,
                " / ".join(flip.references),
                flip.first,
                flip.second,
            )
            for flip in made.flips[:most]
        ),
        labels=6,
        grouped=False,
        notes=(f"{rest} more; --flips N prints more, --json writes all",) if rest > 0 else (),
    )


def _print(table: Table) -> None:
    from rmtbench.cli.screen import table_console
    from rmtbench.cli.tables import draw_table

    table_console().print(draw_table(table))
