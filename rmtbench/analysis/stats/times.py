"""How many times as long one system takes as another, on the same questions.

Times are skewed and scale with the question, so their logarithms are compared. The caller leaves out warm-ups and pairs
only rows of the same batch size, concurrency and engine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from rmtbench.analysis.stats.intervals import estimate_mean
from rmtbench.analysis.stats.paired import Pairs


@dataclass(frozen=True, slots=True)
class TimeRatio:
    """The first system's time over the second's.

    Attributes:
        ratio: Geometric mean over the questions.
        low: Lower end of its interval, above zero; None where it is undefined.
        high: Upper end.
        level: How often such intervals hold the true ratio.
        questions: How many.
        clusters: In how many draws.
    """

    ratio: float
    low: float | None
    high: float | None
    level: float
    questions: int
    clusters: int


def time_ratio(pairs: Pairs) -> TimeRatio:
    """Return the ratio of times, ``exp(mean ± t * SE)`` of ``log(first / second)``, with its 95 % interval by clusters.

    Args:
        pairs: Seconds of the two systems, in any unit they share.

    Returns:
        The ratio; of one draw it has no interval.

    Raises:
        ValueError: They have no question in common, or a time is not above zero and finite.
    """
    if not all(seconds > 0 for cluster in pairs.clusters for pair in cluster for seconds in pair):
        raise ValueError("a time is not above zero")
    logs = estimate_mean(
        [[math.log(first) - math.log(second) for first, second in cluster] for cluster in pairs.clusters]
    )
    return TimeRatio(
        ratio=math.exp(logs.mean),
        low=None if logs.low is None else math.exp(logs.low),
        high=None if logs.high is None else math.exp(logs.high),
        level=logs.level,
        questions=logs.values,
        clusters=logs.clusters,
    )
