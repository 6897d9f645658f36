"""One system against each of several others, by one resampling for all: what Dunnett's test is for normal data.

Holm's method over separate tests needs nine draws to show anything of twelve comparisons; this needs six.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from rmtbench.analysis.stats.resampling import RESAMPLES, blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

EXACT_CLUSTERS = 15
"""Up to so many clusters in which any two systems differ, every pattern of signs is tried."""


def against_each(
    totals: Sequence[Sequence[float]], *, seed: int, resamples: int = RESAMPLES
) -> dict[tuple[int, int], float]:
    """Test each system against each other, corrected for the number of others, by step-down maxima over sign flips.

    Under each pattern of signs over the clusters, all differences from one system are flipped together. The others are
    taken from the largest difference to the smallest; p is the share of patterns under which the largest difference of
    those not yet taken is at least the observed one, and never less than the p before it (Westfall and Young 1993;
    Romano and Wolf 2005). For a system that was chosen beforehand, the chance to call any other different that is not
    stays below 0.05, however the systems depend on each other.

    Args:
        totals: For each system, the sum of its values in each cluster, in the order of the clusters' names.
        seed: Of the random patterns, where there are too many to try all.
        resamples: How many of these.

    Returns:
        The adjusted p, by the positions of the one system and of the other; empty for fewer than two clusters.
    """
    values = np.array(totals, dtype=float)
    if values.ndim != 2 or len(values) < 2 or values.shape[1] < 2:
        return {}
    values = values[:, np.ptp(values, axis=0) > 0]
    exact = values.shape[1] <= EXACT_CLUSTERS
    flipped = np.concatenate([signs @ values.T for signs in _patterns(values.shape[1], seed, resamples)])
    sums = np.ascontiguousarray(flipped.T)  # [systems, patterns]
    found = {}
    for one in range(len(values)):
        observed = np.abs((values[one] - values).sum(axis=1))
        others = sorted((place for place in range(len(values)) if place != one), key=lambda at: (-observed[at], at))
        hits = _hits(sums, one, others, observed)
        highest = 0.0
        for other, count in zip(others, hits, strict=True):
            highest = max(highest, count / sums.shape[1] if exact else (1 + count) / (1 + sums.shape[1]))
            found[one, other] = highest
    return found


def _hits(sums: NDArray[np.float64], one: int, others: Sequence[int], observed: NDArray[np.float64]) -> list[int]:
    """For each of the others, patterns whose largest difference of it and those behind it is as large as observed.

    Args:
        sums: Of each system under each pattern, ``[systems, patterns]``.
        one: The system that the others are held against.
        others: From the largest observed difference to the smallest.
        observed: The difference of each system, ``[systems]``.
    """
    hits = []
    largest = np.zeros(sums.shape[1])
    for other in reversed(others):
        apart = sums[one] - sums[other]
        np.maximum(largest, np.abs(apart, out=apart), out=largest)
        # Patterns that tie with the observed one but for rounding are as far from zero.
        hits.append(int(np.count_nonzero(largest >= observed[other] - 1e-9 * (1 + observed[other]))))
    return hits[::-1]


def _patterns(clusters: int, seed: int, resamples: int) -> Iterator[NDArray[np.float64]]:
    """Patterns of signs, ``[patterns, clusters]``; the last cluster keeps its own where all are tried."""
    if clusters <= EXACT_CLUSTERS:
        # The bits of each number are one pattern; the last cluster's bit is never set.
        numbers = np.arange(2 ** max(0, clusters - 1))[:, None]
        yield (1 - 2 * ((numbers >> np.arange(clusters)) & 1)).astype(np.float64)
        return
    chance = np.random.default_rng(seed)
    for rows in blocks(resamples, clusters):
        yield (2 * chance.integers(2, size=(rows.stop - rows.start, clusters)) - 1).astype(np.float64)
