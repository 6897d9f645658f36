"""From runs to contests: what may be chosen between, and who is out whatever the limits. Pools no sections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeVar

from rmtbench.analysis.decision import Candidate, Contest
from rmtbench.analysis.grid import Grid, Row, make_grids
from rmtbench.analysis.metrics import values_made
from rmtbench.analysis.pairs import compare_sums
from rmtbench.analysis.run_figures import RunFigures, spared
from rmtbench.analysis.sections import Section

_Value = TypeVar("_Value")


def make_contests(sections: Sequence[Section], metric: str) -> tuple[Contest, ...]:
    """Every section's contests, one a dataset and size.

    Args:
        sections: Runs that may be compared.
        metric: What decides.

    Returns:
        In the order of the tables; a run that another one replaces there is in none.
    """
    return tuple(
        _contest(section, grid, size, metric)
        for section in sections
        for grid in make_grids(section.runs)
        for size in grid.sizes
    )


def _contest(section: Section, grid: Grid, size: str, metric: str) -> Contest:
    runs = [(row, run) for row, run in grid.at(size) if run is not None]
    able = [run for _, run in runs if not _unusable(run, metric)]
    asked = _most(_rank_of_questions(run) for run in able)
    scorer = _most(run.scorers.get(metric, "") for run in able if _rank_of_questions(run) == asked)
    candidates = tuple(_candidate(grid, row, run, metric, asked, scorer) for row, run in runs)
    fit = [place for place, candidate in enumerate(candidates) if not candidate.unfit]
    sums = [runs[place][1].by_cluster[metric] for place in fit]
    pairs = compare_sums(sums, sums[0]) if sums else {}
    made = values_made(section.runs)
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
        label=made[metric].label if metric in made else "",
    )


def _candidate(grid: Grid, row: Row, run: RunFigures, metric: str, asked: object, scorer: object) -> Candidate:
    summary = run.summary
    unfit = _unusable(run, metric)
    if not unfit and _rank_of_questions(run) != asked:
        unfit = f"asked other questions ({summary.expected} in {summary.draws} draws)"
    if not unfit and run.scorers.get(metric, "") != scorer:
        unfit = f"{metric} made by another scorer"
    slow = summary.p90_seconds["total"]
    device, resident = run.peak_bytes[1], run.peak_bytes[0]
    peak = device if device is not None else resident
    tokens = run.tokens
    prompt, cached = tokens.prompt or 0.0, tokens.cached or 0.0
    return Candidate(
        name=grid.full_label(row),
        run_id=run.run_id,
        unfit=unfit,
        score=summary.means.get(metric) if run.scored else None,
        error=run.standard_errors.get(metric) if run.scored and run.complete else None,
        preparation=run.preparation or 0.0,
        seconds=run.machine_seconds,
        # In a batch a row's time is its share; whoever asked waits for the whole.
        slow=None if slow is None else slow * run.spec.batch,
        memory=None if peak is None else float(peak),
        kept=summary.kept_bytes or 0.0,
        tokens=(prompt - cached, cached, tokens.output or 0.0),
        prepared_tokens=_prepared_tokens(run, cached),
        spared=bool(spared(run)),
    )


def _prepared_tokens(run: RunFigures, cached: float) -> float:
    """Tokens read to get a corpus ready: as the system counted them, else what each question finds in a cache."""
    counts = run.summary.prepared_counts
    if "read_tokens" in counts and run.summary.draws:
        return (counts["read_tokens"] + counts.get("reused_tokens", 0)) / run.summary.draws
    return cached


def _unusable(run: RunFigures, metric: str) -> str:
    """Why a run can be chosen under no terms; empty where it can."""
    summary = run.summary
    reasons = (
        (run.random_weights, "random weights: its scores mean nothing"),
        (run.reads_other_english, f"{run.spec.model} knows the miniature alone: no score counts"),
        (run.system.sees_gold, "reads the gold evidence: a ceiling, not a system to use"),
        (not run.complete, f"incomplete: {summary.answered} of {summary.expected} questions answered"),
        (not run.scored or summary.means.get(metric) is None, f"no {metric} yet: rmtbench score makes it"),
        (summary.applicable.get(metric) != summary.expected, f"{metric} does not apply to all its questions"),
        (summary.mean_seconds["total"] is None, "no timed answer: ask more than one question"),
    )
    return next((reason for holds, reason in reasons if holds), "")


def _rank_of_questions(run: RunFigures) -> tuple[int, tuple[tuple[int, str], ...]]:
    return (len(run.asked), tuple(sorted(run.asked)))


def _most(values: Iterable[_Value]) -> _Value | None:
    """The most frequent value; of several the largest; None of none."""
    counted = Counter(values)
    return max(counted, key=lambda value: (counted[value], value), default=None)
