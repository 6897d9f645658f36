"""Standard error of a mean over answers that share contexts: the answers of one draw are not independent.

Standard library only: a quick report runs without NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Clusters = Sequence[Sequence[float]]
"""Values, one a question, by draw: dependent within a draw, independent between draws."""


def filled(clusters: Clusters) -> list[Sequence[float]]:
    """Return the clusters that have a value.

    Args:
        clusters: The values of each cluster.

    Raises:
        ValueError: A value is not finite.
    """
    if not all(math.isfinite(value) for values in clusters for value in values):
        raise ValueError("a value is not a finite number")
    return [values for values in clusters if values]


def clustered_standard_error(clusters: Clusters) -> float | None:
    """Return the standard error of the mean of all values; only values of different clusters are independent.

    With n values in C clusters it is ``sqrt(C / (C - 1) * sum_c (sum_{i in c} (s_i - mean))^2) / n``, the
    cluster-robust error of Liang and Zeger (1986) as Miller (arXiv 2411.00640) recommends it for benchmarks, with the
    usual correction for few clusters. With one value a cluster it is the ordinary standard error.

    Args:
        clusters: The values of each cluster; empty clusters are left out.

    Returns:
        The error in the values' unit; None for fewer than two clusters, where it is undefined and not zero.

    Raises:
        ValueError: A value is not finite.
    """
    kept = filled(clusters)
    if len(kept) < 2:
        return None
    count = sum(len(values) for values in kept)
    mean = math.fsum(value for values in kept for value in values) / count
    return _error([math.fsum(value - mean for value in values) for values in kept], count)


def standard_error_of_sums(sums: Sequence[tuple[float, float]]) -> float | None:
    """Return the same error from sums alone.

    Args:
        sums: The sum of each cluster's values and their number, above zero.

    Returns:
        The error in the values' unit; None for fewer than two clusters.
    """
    if len(sums) < 2:
        return None
    count = sum(number for _, number in sums)
    mean = math.fsum(total for total, _ in sums) / count
    return _error([total - number * mean for total, number in sums], count)


def _error(residuals: Sequence[float], count: float) -> float:
    """The clustered error from the sum of each cluster's deviations from the mean."""
    clusters = len(residuals)
    squares = math.fsum(residual**2 for residual in residuals)
    return math.sqrt(squares * clusters / (clusters - 1)) / count
