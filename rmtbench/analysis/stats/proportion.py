"""The exact interval of a proportion: what so many right answers among so many questions say of all such questions."""

from __future__ import annotations

from rmtbench.analysis.stats.intervals import upper_tail


def exact_interval(right: int, trials: int, *, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of Clopper and Pearson (1934) for the probability of success in independent trials.

    It holds the true probability at least as often as `level` says, for any number of trials. Twelve successes in
    twelve trials give 0.735 to 1.

    Args:
        right: Successes.
        trials: Trials, at least one.
        level: Between 0 and 1.

    Raises:
        ValueError: There is no trial, the successes are not among the trials, or the level is not between 0 and 1.
    """
    tail = upper_tail(level)
    if trials < 1 or not 0 <= right <= trials:
        raise ValueError(f"{right} of {trials} is no proportion")
    from scipy.special import betaincinv

    low = float(betaincinv(right, trials - right + 1, 1 - tail)) if right else 0.0
    high = float(betaincinv(right + 1, trials - right, tail)) if right < trials else 1.0
    return low, high
