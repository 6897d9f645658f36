"""A mean with its clustered confidence interval.

Student's t with C - 1 degrees of freedom: with few draws the normal quantile would promise too much.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from rmtbench.analysis.stats.clustered import Clusters, clustered_standard_error, filled


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over questions and what is known of its error.

    Attributes:
        mean: Of all values alike, so that a cluster weighs by its questions.
        standard_error: Clustered; None where it is undefined.
        low: Lower end of the interval, in the values' unit and not cut to their range; None where it is undefined.
        high: Upper end.
        level: How often such intervals hold the true mean.
        values: How many values.
        clusters: In how many clusters.
    """

    mean: float
    standard_error: float | None
    low: float | None
    high: float | None
    level: float
    values: int
    clusters: int


def estimate_mean(clusters: Clusters, *, level: float = 0.95) -> Estimate:
    """Mean of all values with the interval ``mean ± t * SE``, t being Student's with C - 1 degrees of freedom.

    Miller (arXiv 2411.00640) writes 1.96 for t, which holds for many clusters.

    Args:
        clusters: The values of each cluster; empty clusters are left out.
        level: Of the interval, between 0 and 1.

    Returns:
        The estimate; with fewer than two clusters it has neither error nor interval.

    Raises:
        ValueError: There is no value, or one is not finite, or the level is none.
    """
    kept = filled(clusters)
    if not kept:
        raise ValueError("there is no value to take a mean of")
    count = sum(len(values) for values in kept)
    mean = math.fsum(value for values in kept for value in values) / count
    error = clustered_standard_error(kept)
    half = None if error is None else t_quantile(upper_tail(level), len(kept) - 1) * error
    return Estimate(
        mean=mean,
        standard_error=error,
        low=None if half is None else mean - half,
        high=None if half is None else mean + half,
        level=level,
        values=count,
        clusters=len(kept),
    )


def upper_tail(level: float) -> float:
    """Probability below the upper end of a two-sided interval: 0.975 for a level of 0.95.

    Args:
        level: Of the interval.

    Raises:
        ValueError: It is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"a level is between 0 and 1, not {level}")
    return (1 + level) / 2


def t_quantile(probability: float, degrees: int) -> float:
    """Quantile of Student's t.

    Args:
        probability: That lies below it.
        degrees: Of freedom.
    """
    from scipy.special import stdtrit  # scipy.stats has the same function and takes ten times as long to import

    return float(stdtrit(degrees, probability))
