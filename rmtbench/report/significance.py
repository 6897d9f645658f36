"""Which differences between systems the draws can tell from chance: of the leader from each, and of all pairs."""

from __future__ import annotations

from collections.abc import Sequence

from rmtbench.analysis.contest import Contest
from rmtbench.analysis.decision import Verdict
from rmtbench.analysis.figure_data import Record
from rmtbench.analysis.metrics import FIRST, LABELS
from rmtbench.analysis.pairs import CONFIDENCE, LEVEL, Pair, why_left_out
from rmtbench.analysis.run_figures import RunFigures
from rmtbench.analysis.sections import Grid, Row
from rmtbench.analysis.units import FEWEST_UNITS, Unit
from rmtbench.report.notes import RANDOM, name_of
from rmtbench.report.numbers import MISSING
from rmtbench.report.tables import Table
from rmtbench.report.verdicts import WORDS, metric_label

STAR = "★"
UNDEFINED = "undefined"
MATRIX_METRIC = FIRST
"""Metric of the matrices, as of the verdicts; the files hold all."""


def leader_table(contest: Contest, verdict: Verdict) -> Table | None:
    """The leader against each other that may be chosen: the tests behind the verdict.

    Args:
        contest: What was measured.
        verdict: What the rules made of it.

    Returns:
        The table; None without any other.
    """
    if verdict.leader is None or not verdict.standings:
        return None
    name, metric = contest.candidates[verdict.leader].name, metric_label(contest)
    told = f"Holm over all {contest.family.count} pairs" if contest.family.all_pairs else "for all rows together"
    notes = [
        f"{UNDEFINED}: with one {contest.unit} nothing but the difference is defined; ask for more {contest.unit}s"
    ]
    return Table(
        title=f"{name} against each other in {metric}, {contest.dataset}, {contest.size}",
        caption=f"Difference: the mean of {name} minus the row's, on the same questions. From, to: its 95 % interval "
        f"by the cluster bootstrap, which holds 0 unless p is below {LEVEL}. p: of sign flips, {told}. "
        "Detectable: the true difference that four of five such experiments would find.",
        columns=("system", "verdict", "difference", "from", "to", "p", "detectable"),
        rows=tuple(
            (
                contest.candidates[each.place].name,
                WORDS[each.state],
                signed(each.difference),
                UNDEFINED if each.low is None else signed(each.low),
                UNDEFINED if each.high is None else signed(each.high),
                p_text(each.p),
                UNDEFINED if each.detectable is None else f"{each.detectable:.3f}",
            )
            for each in verdict.standings
        ),
        labels=2,
        notes=tuple(notes if contest.units < 2 else ()),
    )


def leader_records(contest: Contest, verdict: Verdict) -> list[Record]:
    """The same for scripts, one record a candidate that may be chosen; what is undefined is None."""
    if verdict.leader is None:
        return []
    leader = contest.candidates[verdict.leader]
    return [
        {
            "dataset": contest.dataset,
            "size": contest.size,
            "model": contest.model,
            "section": contest.section,
            "metric": contest.metric,
            "leader": leader.name,
            "leader_run_id": leader.run_id,
            "other": contest.candidates[each.place].name,
            "other_run_id": contest.candidates[each.place].run_id,
            "state": each.state,
            "difference": _digits(each.difference),
            **_interval(each.low, each.high),
            "p_adjusted": _digits(each.p),
            "comparisons": verdict.comparisons,
            "detectable": _digits(each.detectable),
            "unit": contest.unit,
            "units": contest.units,
            "questions": contest.questions,
        }
        for each in verdict.standings
    ]


def matrix_table(grid: Grid, size: str, pairs: Sequence[Pair]) -> Table | None:
    """Differences of all pairs as a matrix: above the diagonal the difference, below it the adjusted p.

    Args:
        grid: The runs.
        size: The size.
        pairs: All its pairs in one metric.

    Returns:
        The matrix; None without a pair.
    """
    if not pairs:
        return None
    names = list(dict.fromkeys(grid.full_label(row) for pair in pairs for row, _ in (pair.first, pair.second)))
    known = {(grid.full_label(pair.first[0]), grid.full_label(pair.second[0])): pair for pair in pairs}
    ordered = [grid.full_label(row) for row, _ in grid.at(size) if grid.full_label(row) in names]
    rows = tuple((f"{place + 1} {name}", *_matrix_row(ordered, known, place)) for place, name in enumerate(ordered))
    units, unit = {pair.units for pair in pairs}, pairs[0].unit
    notes = []
    if units != {1}:
        notes.append(
            f"{STAR} proven: p below {LEVEL} after Holm's adjustment for {len(pairs)} comparisons, "
            "and an interval without 0"
        )
    if 1 in units:
        notes.append(f"? undefined: with one {unit} nothing but the difference is defined; ask for more {unit}s")
    elif min(units) < FEWEST_UNITS:
        notes.append(f"fewer than six {unit}s can show nothing at 0.05: the smallest p is 2^(1 - {unit}s)")
    if any(run.random_weights for pair in pairs for _, run in (pair.first, pair.second)):
        notes.append(f"{RANDOM} random weights: the scores and their differences mean nothing")
    left = [
        f"{name_of(run)} ({why})"
        for _, run in grid.at(size)
        if run is not None and (why := why_left_out(run, pairs[0].metric))
    ]
    if left:
        notes.append(f"left out: {'; '.join(left)}")
    metric = LABELS.get(pairs[0].metric, pairs[0].metric)
    return Table(
        title=f"Differences in {metric}, {grid.name}, {size}",
        caption="Above the diagonal: the row's mean minus the column's on the same questions. Below: p of the "
        f"sign-flip test after Holm. {_told(units, unit)}; intervals and detectable effects stand in the list of "
        "pairs.",
        columns=("system", *(str(place + 1) for place in range(len(ordered)))),
        rows=rows,
        labels=1,
        notes=tuple(notes),
    )


def pairs_table(grid: Grid, size: str, pairs: Sequence[Pair]) -> Table | None:
    """All pairs as a list, with everything that is known of each; None without a pair."""
    if not pairs:
        return None
    return Table(
        title=f"Pairs in {LABELS.get(pairs[0].metric, pairs[0].metric)}, {grid.name}, {size}",
        caption="Difference: first minus second. 95 % interval by the cluster bootstrap; p by sign flips, then after "
        "Holm; detectable: the true difference that four of five such experiments would find.",
        columns=("first", "second", "difference", "from", "to", "p", "after Holm", "detectable", "draws", "questions"),
        rows=tuple(
            (
                grid.full_label(pair.first[0]),
                grid.full_label(pair.second[0]),
                f"{signed(pair.difference)}{STAR if pair.significant else ''}",
                UNDEFINED if pair.low is None else signed(pair.low),
                UNDEFINED if pair.high is None else signed(pair.high),
                p_text(pair.p),
                p_text(pair.adjusted),
                UNDEFINED if pair.detectable is None else f"{pair.detectable:.3f}",
                str(pair.draws),
                str(pair.questions),
            )
            for pair in pairs
        ),
        labels=2,
    )


def pair_record(grid: Grid, size: str, pair: Pair) -> Record:
    """A pair's figures for scripts; what is undefined is None."""

    def name(prefix: str, row: Row, run: RunFigures) -> Record:
        return {f"{prefix}_system": row.label, f"{prefix}_top_k": row.top_k, f"{prefix}_run_id": run.run_id}

    return {
        "dataset": grid.dataset,
        "size": size,
        "metric": pair.metric,
        **name("first", *pair.first),
        **name("second", *pair.second),
        "difference": _digits(pair.difference),
        **_interval(pair.low, pair.high),
        "p": _digits(pair.p),
        "p_holm": _digits(pair.adjusted),
        "significant": pair.significant,
        "detectable": _digits(pair.detectable),
        "draws": pair.draws,
        "questions": pair.questions,
    }


def signed(value: float) -> str:
    """A difference with its sign and three decimals; what rounds to nothing has none."""
    text = f"{value:+.3f}"
    return "0.000" if float(text) == 0 else text.replace("-", "−")


def p_text(p: float | None) -> str:
    """A p-value with three decimals, ``<.001`` below, or that it is undefined."""
    return UNDEFINED if p is None else "<.001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def _interval(low: float | None, high: float | None) -> Record:
    return {"low": _digits(low), "high": _digits(high), "level": None if low is None else CONFIDENCE}


def _digits(value: float | None) -> float | None:
    return None if value is None else round(value, 5)


def _matrix_row(names: Sequence[str], known: dict[tuple[str, str], Pair], place: int) -> list[str]:
    texts = []
    for column, other in enumerate(names):
        above = column > place
        pair = known.get((names[place], other) if above else (other, names[place]))
        if column == place:
            texts.append("")
        elif pair is None:
            texts.append(MISSING)
        elif above:
            texts.append(f"{signed(pair.difference)}{STAR if pair.significant else ''}")
        else:
            texts.append("?" if pair.adjusted is None else p_text(pair.adjusted))
    return texts


def _told(units: set[int], unit: Unit) -> str:
    return f"{' or '.join(map(str, sorted(units)))} {unit}{'' if units == {1} else 's'}"
