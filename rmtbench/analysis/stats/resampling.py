"""Intervals and tests by resampling whole clusters: what holds without assuming a normal distribution.

Clusters are added up first, so that the cost depends on draws and not on questions. Seeded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rmtbench.analysis.stats.clustered import Clusters, filled
from rmtbench.analysis.stats.intervals import t_quantile, upper_tail

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES = 10_000
EXACT_CLUSTERS = 20
"""Up to so many clusters every pattern of signs is tried: half a million sums."""
BLOCK = 2**21
"""Numbers drawn at a time, which bounds the memory."""


@dataclass(frozen=True, slots=True)
class SignFlipTest:
    """How surprising a mean difference is if either system could have been the other.

    Attributes:
        p: Two-sided.
        exact: Whether every pattern of signs was tried.
        patterns: How many were.
        clusters: How many there are; those whose differences cancel are among them.
    """

    p: float
    exact: bool
    patterns: int
    clusters: int


def redrawn_means(
    totals: NDArray[np.float64], counts: NDArray[np.float64], *, seed: int, resamples: int = RESAMPLES
) -> NDArray[np.float64]:
    """Return the means of several systems under the same clusters drawn with replacement.

    All values of a cluster are drawn together, and every system gets the same clusters. The draws depend on the seed
    and on the number of clusters alone, so that a pair has the same interval whichever other systems are compared.

    Args:
        totals: The sum of each system's values in each cluster, ``[systems, clusters]``. The order of the clusters
            counts: sort them by their names.
        counts: The number of values in each cluster, ``[clusters]``.
        seed: Of the draws.
        resamples: How often the clusters are drawn.

    Returns:
        The means, ``[systems, resamples]``.

    Raises:
        ValueError: The number of resamples is below one.
    """
    _check(resamples)
    clusters = len(counts)
    chance, means = np.random.default_rng(seed), np.empty((len(totals), resamples))
    for block in blocks(resamples, clusters):
        rows = block.stop - block.start
        drawn = chance.integers(clusters, size=(rows, clusters)) + clusters * np.arange(rows)[:, None]
        # How often each cluster was drawn: [rows, clusters]
        times = np.bincount(drawn.ravel(), minlength=rows * clusters).reshape(rows, clusters)
        means[:, block] = (totals @ times.T) / (counts @ times.T)
    return means


def percentile_interval(means: NDArray[np.float64], clusters: int, *, level: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval of a resampled mean, widened for few clusters.

    The tail ``a`` becomes ``Phi(t_a * sqrt(C / (C - 1)))`` with t of C - 1 degrees of freedom (Hesterberg, arXiv
    1411.5279): the plain percentiles are too narrow by both factors. With many clusters the two agree.

    Args:
        means: The resampled means, ``[resamples]``.
        clusters: C, at least two.
        level: Of the interval, between 0 and 1.

    Raises:
        ValueError: The level is not between 0 and 1.
    """
    from scipy.special import ndtr

    tail = float(ndtr(t_quantile(1 - upper_tail(level), clusters - 1) * math.sqrt(clusters / (clusters - 1))))
    low, high = np.quantile(means, (tail, 1 - tail))
    return float(low), float(high)


def sign_flip_test(clusters: Clusters, *, seed: int, resamples: int = RESAMPLES) -> SignFlipTest | None:
    """Test that paired differences are zero, by exchanging the two systems in whole clusters.

    p is the share of sign patterns over the clusters whose mean difference is at least as far from zero. All ``2^C``
    are tried for up to 20 clusters that differ at all; beyond, m of them at random, and the observed one counts too:
    ``(1 + hits) / (1 + m)``, since p may not be zero (Phipson and Smyth 2010).

    Args:
        clusters: The differences in each cluster; empty clusters are left out.
        seed: Of the random patterns.
        resamples: How many random patterns.

    Returns:
        The test; None for fewer than two clusters, where it is undefined.

    Raises:
        ValueError: A value is not finite, or the number of resamples is none.
    """
    _check(resamples)
    kept = filled(clusters)
    if len(kept) < 2:
        return None
    sums = [math.fsum(values) for values in kept]
    # Patterns that tie with the observed one but for rounding are as far from zero.
    slack = 1e-12 * math.fsum(abs(value) for values in kept for value in values)
    observed = abs(math.fsum(sums)) - slack
    sizes = np.array(sorted(abs(each) for each in sums if abs(each) > slack))
    if len(sizes) <= EXACT_CLUSTERS:
        p = float(np.mean(np.abs(_all_patterns(sizes)) >= observed))
        return SignFlipTest(p, exact=True, patterns=2 ** len(sizes), clusters=len(kept))
    chance = np.random.default_rng(seed)
    hits = 0
    for rows in blocks(resamples, len(sizes)):
        kept_sign = chance.integers(2, size=(rows.stop - rows.start, len(sizes)))
        hits += int(np.count_nonzero(np.abs(2 * (kept_sign @ sizes) - sizes.sum()) >= observed))
    return SignFlipTest((1 + hits) / (1 + resamples), exact=False, patterns=resamples, clusters=len(kept))


def _all_patterns(sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sums under every pattern of signs; the first keeps its own, since the other half mirrors this one."""
    sums = sizes[:1] if len(sizes) else np.zeros(1)
    for size in sizes[1:]:
        sums = np.concatenate((sums + size, sums - size))
    return sums


def blocks(resamples: int, clusters: int) -> Iterator[slice]:
    """Resamples in pieces that fit the memory."""
    rows = max(1, BLOCK // clusters)
    return (slice(start, min(start + rows, resamples)) for start in range(0, resamples, rows))


def _check(resamples: int) -> None:
    if resamples < 1:
        raise ValueError(f"at least one resample is needed, not {resamples}")
