"""Paired differences of many systems at once, from sums by draw: every pair under the same redrawn draws.

A page on which people change their limits must know every pair; one bootstrap for all costs what one pair does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from rmtbench.analysis.stats.intervals import t_quantile, upper_tail
from rmtbench.analysis.stats.resampling import RESAMPLES, blocks


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """The first system's mean minus the second's, over the same questions.

    Attributes:
        difference: In the values' unit.
        standard_error: Clustered by draw; None where it is undefined.
        low: Lower end of the cluster bootstrap's interval; None where it is undefined.
        high: Upper end.
        clusters: Draws.
    """

    difference: float
    standard_error: float | None
    low: float | None
    high: float | None
    clusters: int


def paired_differences(
    totals: Sequence[Sequence[float]],
    counts: Sequence[int],
    *,
    seed: int,
    resamples: int = RESAMPLES,
    level: float = 0.95,
) -> dict[tuple[int, int], PairedDifference]:
    """Compare every two of several systems that answered the same questions.

    The mean, its error and its interval are those of `rmtbench.analysis.stats.paired.compare`, whose bootstrap orders
    the draws by their difference and therefore redraws others: the ends differ by the noise of resampling. All figures
    are rounded to seven decimals, so that no machine's order of additions shows.

    Args:
        totals: For each system, the sum of its values in each draw.
        counts: Questions in each draw, each above zero.
        seed: Of the draws.
        resamples: How many.
        level: Of the intervals, between 0 and 1.

    Returns:
        By the systems' positions, the smaller first.

    Raises:
        ValueError: The systems do not have one sum a draw, a draw has no question, or a sum is not finite.
    """
    values, sizes = np.array(totals, dtype=float), np.array(counts, dtype=float)
    clusters = len(sizes)
    if values.ndim != 2 or values.shape[1] != clusters or not clusters or sizes.min() < 1:
        raise ValueError("every system needs one sum a draw, and every draw a question")
    if not np.isfinite(values).all():
        raise ValueError("a sum is not a finite number")
    means = values.sum(axis=1) / sizes.sum()
    if clusters < 2:
        return {
            (first, second): PairedDifference(round(float(means[first] - means[second]), 7), None, None, None, clusters)
            for first, second in combinations(range(len(values)), 2)
        }
    from scipy.special import ndtr

    chance, redrawn = np.random.default_rng(seed), np.empty((len(values), resamples))
    for block in blocks(resamples, clusters):
        rows = block.stop - block.start
        places = chance.integers(clusters, size=(rows, clusters)) + clusters * np.arange(rows)[:, None]
        times = np.bincount(places.ravel(), minlength=rows * clusters).reshape(rows, clusters)
        redrawn[:, block] = (values @ times.T) / (sizes @ times.T)
    tail = float(ndtr(t_quantile(1 - upper_tail(level), clusters - 1) * math.sqrt(clusters / (clusters - 1))))
    found = {}
    for first, second in combinations(range(len(values)), 2):
        difference = float(means[first] - means[second])
        residuals = values[first] - values[second] - sizes * difference
        error = math.sqrt(float(residuals @ residuals) * clusters / (clusters - 1)) / float(sizes.sum())
        low, high = np.quantile(redrawn[first] - redrawn[second], (tail, 1 - tail))
        found[first, second] = PairedDifference(
            round(difference, 7), round(error, 7), round(float(low), 7), round(float(high), 7), clusters
        )
    return found
