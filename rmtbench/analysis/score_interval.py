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
    if len(sums) == 1:
        return _of_one_draw(run, metric, sums)
    found = interval_by_cluster(run, metric, sums, run.standard_errors.get(metric))
    return _of_questions(sums) if found is None and _right_or_wrong(run, metric, sums) else found


def interval_by_cluster(run: RunFigures, metric: str, sums: Sums, error: float | None) -> Ends | None:
    """Return the 95 % interval of the mean of these sums by Student's t, or exact where no cluster differs.

    Args:
        run: The run.
        metric: Name of one of its metrics.
        sums: Its sums by cluster: all, or those of a part of its values.
        error: The clustered standard error of their mean; None where it is undefined.

    Returns:
        Both ends; None for one cluster, and where all clusters have the same mean and it is neither 0 nor 1.
    """
    from rmtbench.analysis.stats.intervals import t_interval

    mean = _mean(sums)
    if error is None:
        return None
    if error > _ROUNDING:
        return _on_scale(run, metric, t_interval(mean, error, len(sums)))
    if _from_0_to_1(run, metric) and (_same(mean, 0) or _same(mean, 1)):
        # All or none in every draw: a draw is one trial, whatever depends on whatever within it.
        return _exact(0 if _same(mean, 0) else len(sums), len(sums))
    return None


def _of_one_draw(run: RunFigures, metric: str, sums: Sums) -> Ends | None:
    """The interval over one draw's questions, which says nothing of other documents."""
    from rmtbench.analysis.stats.intervals import t_interval

    if _right_or_wrong(run, metric, sums):
        return _of_questions(sums)
    count, mean = sum(number for _, number in sums.values()), _mean(sums)
    spread = run.squares.get(metric, 0.0) - count * mean**2
    if count < 2 or spread <= _ROUNDING:
        return None
    return _on_scale(run, metric, t_interval(mean, math.sqrt(spread / (count - 1) / count), count))


def _on_scale(run: RunFigures, metric: str, ends: tuple[float | None, float | None]) -> Ends | None:
    """Both ends, within 0 to 1 where the values are. A plugin's metric may count words, or go to 100."""
    low, high = ends
    if low is None or high is None:
        return None
    return (max(0.0, low), min(1.0, high)) if _from_0_to_1(run, metric) else (low, high)


def _from_0_to_1(run: RunFigures, metric: str) -> bool:
    """Whether a metric's values may all be from 0 to 1: no square of such a value is larger than the value."""
    total = math.fsum(total for total, _ in run.by_cluster[metric].values())
    return run.squares.get(metric, 0.0) <= total + _ROUNDING


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
