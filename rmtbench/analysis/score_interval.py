"""The 95 % interval of a run's score: by draws where there are several, else exact or by questions."""

from __future__ import annotations

import math

from rmtbench.analysis.run_figures import RunFigures, Sums

_ROUNDING = 1e-9


Ends = tuple[float, float]
"""Where a score may lie, from 0 to 1 if its values do, if the same system answered more questions of this kind."""


def score_interval(run: RunFigures, metric: str) -> Ends | None:
    """Return the 95 % interval of a run's mean by the rules of `docs/explanation/decision.md`. NumPy is loaded here.

    Args:
        run: The run.
        metric: Name of one of its metrics.

    Returns:
        Both ends; None for a run that is incomplete or not scored, and where no variation was seen between values
        that are not just right or wrong.
    """
    sums = run.by_cluster.get(metric)
    if not sums or not run.complete or not run.scored:
        return None
    if run.unit == "question" and all(_same(total, 0) or _same(total, count) for total, count in sums.values()):
        # The same question has the same outcome in every draw: it is one trial.
        return _exact(sum(not _same(total, 0) for total, _ in sums.values()), len(sums))
    if len(sums) > 1:
        return _clustered(run, metric, sums)
    return _of_one_draw(run, metric, sums)


def _clustered(run: RunFigures, metric: str, sums: Sums) -> Ends | None:
    from rmtbench.analysis.stats.intervals import t_interval

    error, mean = run.standard_errors.get(metric), _mean(sums)
    if error and error > _ROUNDING:
        return _on_scale(run, metric, sums, t_interval(mean, error, len(sums)))
    if _same(mean, 0) or _same(mean, 1):
        # All or none in every draw: a draw is one trial, whatever depends on whatever within it.
        return _exact(0 if _same(mean, 0) else len(sums), len(sums))
    return _of_questions(sums) if _right_or_wrong(run, metric, sums) else None


def _of_one_draw(run: RunFigures, metric: str, sums: Sums) -> Ends | None:
    """The interval over one draw's questions, which says nothing of other documents."""
    from rmtbench.analysis.stats.intervals import t_interval

    if _right_or_wrong(run, metric, sums):
        return _of_questions(sums)
    count, mean = sum(number for _, number in sums.values()), _mean(sums)
    spread = run.squares.get(metric, 0.0) - count * mean**2
    if count < 2 or spread <= _ROUNDING:
        return None
    return _on_scale(run, metric, sums, t_interval(mean, math.sqrt(spread / (count - 1) / count), count))


def _on_scale(run: RunFigures, metric: str, sums: Sums, ends: tuple[float | None, float | None]) -> Ends | None:
    """Both ends, within 0 to 1 where the values are. A plugin's metric may count words, or go to 100."""
    low, high = ends
    if low is None or high is None:
        return None
    # Of values from 0 to 1 no square is larger than the value.
    if run.squares.get(metric, 0.0) > math.fsum(total for total, _ in sums.values()) + _ROUNDING:
        return low, high
    return max(0.0, low), min(1.0, high)


def _of_questions(sums: Sums) -> Ends:
    return _exact(round(math.fsum(total for total, _ in sums.values())), sum(n for _, n in sums.values()))


def _right_or_wrong(run: RunFigures, metric: str, sums: Sums) -> bool:
    """Whether every value is 0 or 1: only then their squares add up to what they do."""
    return metric in run.squares and _same(run.squares[metric], math.fsum(total for total, _ in sums.values()))


def _mean(sums: Sums) -> float:
    return math.fsum(total for total, _ in sums.values()) / sum(count for _, count in sums.values())


def _exact(right: int, trials: int) -> Ends:
    from rmtbench.analysis.stats.proportion import exact_interval

    return exact_interval(right, trials)


def _same(one: float, other: float) -> bool:
    return abs(one - other) < _ROUNDING
