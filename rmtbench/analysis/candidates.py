"""From runs to contests: what may be chosen between, and who is out whatever the limits. Pools no sections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeVar

from rmtbench.analysis.contest import Candidate, Contest, Family
from rmtbench.analysis.judging import JUDGED
from rmtbench.analysis.metrics import values_made
from rmtbench.analysis.pairs import compare_all, compare_each, compare_sums
from rmtbench.analysis.run_figures import RunFigures, Sums, spared
from rmtbench.analysis.score_interval import score_interval
from rmtbench.analysis.sections import Grid, Row, Section
from rmtbench.core import MetricValue
from rmtbench.options import flag
from rmtbench.plural import many

_Value = TypeVar("_Value")


def make_contests(sections: Sequence[Section], metric: str, *, all_pairs: bool = False) -> tuple[Contest, ...]:
    """Every section's contests, one a dataset and size.

    Args:
        sections: Runs that may be compared.
        metric: What decides.
        all_pairs: Correct for the number of all pairs, and not only for those of the leader with each other.

    Returns:
        In the order of the tables; a run that another one replaces there is in none.
    """
    return tuple(
        _contest(section, grid, size, metric, all_pairs=all_pairs)
        for section in sections
        for grid in section.grids
        for size in grid.sizes
    )


def _contest(section: Section, grid: Grid, size: str, metric: str, *, all_pairs: bool) -> Contest:
    runs = [(row, run) for row, run in grid.at(size) if run is not None]
    made = values_made(section.runs)
    value = made.get(metric, MetricValue(metric, ""))
    able = [run for _, run in runs if not _unusable(run, value)]
    asked = _most(_rank_of_questions(run) for run in able)
    alike = [run for run in able if _rank_of_questions(run) == asked]
    scorer = _most(run.scorers.get(metric, "") for run in alike)
    counts = _most(_counts(run, metric) for run in alike if run.scorers.get(metric, "") == scorer)
    reasons = [_unfit(run, value, asked, scorer, counts) for _, run in runs]
    candidates = tuple(
        _candidate(grid, row, run, metric, unfit) for (row, run), unfit in zip(runs, reasons, strict=True)
    )
    fit = [place for place, unfit in enumerate(reasons) if not unfit]
    sums = [runs[place][1].by_cluster[metric] for place in fit]
    pairs = compare_sums(sums, sums[0]) if sums else {}
    return Contest(
        section=section.title,
        dataset=grid.name,
        size=size,
        model=dict(section.setting)["model"],
        metric=metric,
        unit=runs[fit[0]][1].unit if fit else "draw",
        units=len(sums[0]) if sums else 0,
        questions=sum(count for _, count in sums[0].values()) if sums else 0,
        candidates=candidates,
        pairs={(fit[first], fit[second]): pair for (first, second), pair in pairs.items()},
        label=value.label,
        family=_all_pairs(grid, size, metric, candidates) if all_pairs else _each(sums, fit),
    )


def _each(sums: Sequence[Sums], fit: Sequence[int]) -> Family:
    """Whichever leads against each other that may be chosen, whatever the limits."""
    found = compare_each(sums, sums[0]) if sums else {}
    adjusted: dict[tuple[int, int], float | None] = {(fit[one], fit[two]): p for (one, two), p in found.items()}
    return Family(max(1, len(fit) - 1), adjusted)


def _all_pairs(grid: Grid, size: str, metric: str, candidates: Sequence[Candidate]) -> Family:
    """All pairs of runs, those that cannot be chosen included, with p as the matrices of the report have it."""
    places = {candidate.run_id: place for place, candidate in enumerate(candidates)}
    found = compare_all(grid, size, metric)
    adjusted = {(places[pair.first[1].run_id], places[pair.second[1].run_id]): pair.adjusted for pair in found}
    return Family(len(found), adjusted | {(two, one): p for (one, two), p in adjusted.items()}, all_pairs=True)


def _unfit(run: RunFigures, value: MetricValue, asked: object, scorer: object, counts: object) -> str:
    """Why a run cannot be chosen here, whatever the limits; empty where it can."""
    name, summary = value.name, run.summary
    if why := _unusable(run, value):
        return why
    if _rank_of_questions(run) != asked:
        return f"asked other questions ({summary.expected} in {many(summary.draws, 'draw')})"
    if run.scorers.get(name, "") != scorer:
        return f"{name} made by another scorer"
    return "" if _counts(run, name) == counts else f"{name} does not apply to the same questions"


def _candidate(grid: Grid, row: Row, run: RunFigures, metric: str, unfit: str) -> Candidate:
    summary = run.summary
    device, resident = run.peak_bytes[1], run.peak_bytes[0]
    peak = device if device is not None else resident
    tokens = run.tokens
    prompt, cached = tokens.prompt or 0.0, tokens.cached or 0.0
    low, high = score_interval(run, metric) or (None, None)
    return Candidate(
        name=grid.full_label(row),
        run_id=run.run_id,
        unfit=unfit,
        score=summary.means.get(metric) if run.scored else None,
        error=run.standard_errors.get(metric) if run.scored and run.complete else None,
        preparation=run.preparation or 0.0,
        seconds=run.machine_seconds,
        slow=summary.p90_wait,
        memory=None if peak is None else float(peak),
        kept=summary.kept_bytes or 0.0,
        tokens=(prompt - cached, cached, tokens.output or 0.0),
        prepared_tokens=_prepared_tokens(run, cached),
        spared=bool(spared(run)),
        low=low,
        high=high,
    )


def _prepared_tokens(run: RunFigures, cached: float) -> float:
    """Tokens read to get a corpus ready: as the system or the server counted them, else what questions find cached."""
    counts, draws = run.summary.prepared_counts, run.summary.draws
    if "read_tokens" in counts and draws:
        return (counts["read_tokens"] + counts.get("reused_tokens", 0)) / draws
    if "warming_prompt_tokens" in counts and draws:
        return counts["warming_prompt_tokens"] / draws
    return cached


def _lacking(run: RunFigures) -> str:
    """Say what a run lacks: draws that were not begun, or answers."""
    summary = run.summary
    if summary.draws < run.spec.draws:
        return f"{summary.draws} of {many(run.spec.draws, 'draw')}"
    return f"{summary.answered} of {many(summary.expected, 'question')} answered"


def _unusable(run: RunFigures, value: MetricValue) -> str:
    """Why a run can be chosen under no terms; empty where it can. To judge retrieval no model need read."""
    summary, name = run.summary, value.name
    finds = value.of == "retrieval"
    made, applicable = summary.means.get(name), summary.applicable.get(name, 0)
    makes = f"rmtbench score {flag.judge} MODEL" if name == JUDGED else "rmtbench score"
    missing = f"{name} does not apply to it" if finds and run.scored else f"no {name} yet: {makes} makes it"
    reasons = (
        (run.random_weights and not finds, "random weights: its scores mean nothing"),
        (run.reads_other_english and not finds, f"{run.spec.model} knows the miniature alone: no score counts"),
        (run.system.sees_gold, "reads the gold evidence: a ceiling, not a system to use"),
        (not run.complete, f"incomplete: {_lacking(run)}"),
        (not run.scored or made is None, missing),
        (not finds and applicable != summary.expected, f"{name} does not apply to all its questions"),
        (summary.mean_seconds["total"] is None, _untimed(run)),
    )
    return next((reason for holds, reason in reasons if holds), "")


def _untimed(run: RunFigures) -> str:
    """Why no answer of a complete run was timed: a process's first batch warms up, and failed answers do not count."""
    if run.summary.errors == run.summary.answered:
        return "every answer failed"
    if run.warmups < run.summary.answered:
        return "no timed answer: all but the warm-up answers failed"
    return f"no timed answer, only warm-ups: ask more than {many(run.spec.at_once, 'question')}, or more draws"


def _rank_of_questions(run: RunFigures) -> tuple[int, tuple[tuple[int, str], ...]]:
    return (len(run.asked), tuple(sorted(run.asked)))


def _counts(run: RunFigures, metric: str) -> tuple[tuple[int, int, int], ...]:
    """How many questions of each cluster have a value, and which have none: not all have one of retrieval."""
    lacking = run.lacking.get(metric, {})
    counts = ((cluster, count, lacking.get(cluster, 0)) for cluster, (_, count) in run.by_cluster[metric].items())
    return tuple(sorted(counts))


def _most(values: Iterable[_Value]) -> _Value | None:
    """The most frequent value; of several the largest; None of none."""
    counted = Counter(values)
    return max(counted, key=lambda value: (counted[value], value), default=None)
