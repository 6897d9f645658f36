"""Standard error of a mean over answers that share contexts. Answers of one draw are no independent witnesses.

Standard library only: a report must not need numpy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def clustered_standard_error(clusters: Sequence[Sequence[float]]) -> float | None:
    """Standard error of the mean of all values, when only values of different clusters are independent.

    With n values in C clusters it is ``sqrt(C / (C - 1) * sum_c (sum_{i in c} (s_i - mean))^2) / n``, the
    cluster-robust error of Liang and Zeger (1986) as Miller (arXiv 2411.00640) recommends it for benchmarks. With one
    value a cluster it is the ordinary standard error.

    Args:
        clusters: The values of each cluster; empty clusters are left out.

    Returns:
        The error in the values' unit; None for fewer than two clusters, where it is undefined and not zero.
    """
    filled = [values for values in clusters if values]
    if len(filled) < 2:
        return None
    count = sum(len(values) for values in filled)
    mean = math.fsum(value for values in filled for value in values) / count
    squares = math.fsum(math.fsum(value - mean for value in values) ** 2 for values in filled)
    return math.sqrt(squares * len(filled) / (len(filled) - 1)) / count
