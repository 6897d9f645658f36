"""A mean with its clustered confidence interval.

Student's t with C - 1 degrees of freedom: with few draws the normal quantile gives too narrow an interval.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from rmtbench.analysis.stats.clustered import Clusters, clustered_standard_error, filled


@dataclass(frozen=True, slots=True)
class MeanEstimate:
    """A mean over questions and what is known of its error.

    Attributes:
        mean: Of all values, so that a cluster with more questions weighs more.
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


def estimate_mean(clusters: Clusters, *, level: float = 0.95) -> MeanEstimate:
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
    low, high = t_interval(mean, error, len(kept), level=level)
    return MeanEstimate(
        mean=mean,
        standard_error=error,
        low=low,
        high=high,
        level=level,
        values=count,
        clusters=len(kept),
    )


def t_interval(
    mean: float, standard_error: float | None, clusters: int, *, level: float = 0.95
) -> tuple[float | None, float | None]:
    """Return ``mean ± t * SE``; two None where the error is undefined.

    Raises:
        ValueError: The level is not between 0 and 1.
    """
    tail = upper_tail(level)
    if standard_error is None or clusters < 2:
        return None, None
    half = t_quantile(tail, clusters - 1) * standard_error
    return mean - half, mean + half


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
