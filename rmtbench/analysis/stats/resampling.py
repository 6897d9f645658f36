"""Intervals and tests by resampling whole clusters: what holds without assuming a normal distribution.

Clusters are added up first, so that the cost depends on draws and not on questions. Seeded; the order of clusters does
not matter.
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
class BootstrapInterval:
    """Where the mean lies when the clusters are drawn again.

    Attributes:
        low: Lower end, in the values' unit and within their range.
        high: Upper end.
        level: How often such intervals hold the true mean.
        resamples: How often the clusters were drawn.
        clusters: How many there are.
    """

    low: float
    high: float
    level: float
    resamples: int
    clusters: int


@dataclass(frozen=True, slots=True)
class SignFlipTest:
    """How surprising a mean difference is if either system could have been the other.

    Attributes:
        p: Two-sided.
        smallest_p: What the largest possible effect would have got: with five clusters 1/16, so that nothing they
            show is significant at 0.05.
        exact: Whether every pattern of signs was tried.
        patterns: How many were.
        clusters: How many there are; those whose differences cancel are among them.
    """

    p: float
    smallest_p: float
    exact: bool
    patterns: int
    clusters: int


def cluster_bootstrap(
    clusters: Clusters, *, seed: int, resamples: int = RESAMPLES, level: float = 0.95
) -> BootstrapInterval | None:
    """Percentile interval of the mean over clusters drawn with replacement, all values of a cluster together.

    The percentiles are widened for few clusters as Hesterberg (arXiv 1411.5279) has it, from the tail ``a`` to
    ``Phi(t_a * sqrt(C / (C - 1)))`` with t of C - 1 degrees of freedom: the plain ones are too narrow by both factors.
    With many clusters the two agree.

    Args:
        clusters: The values of each cluster; empty clusters are left out.
        seed: Of the draws.
        resamples: How many draws.
        level: Of the interval, between 0 and 1.

    Returns:
        The interval; None for fewer than two clusters, where it is undefined.

    Raises:
        ValueError: A value is not finite, or the level or number of resamples is none.
    """
    from scipy.special import ndtr

    _check(resamples)
    kept = filled(clusters)
    tail = 1 - upper_tail(level)
    count = len(kept)
    if count < 2:
        return None
    tail = float(ndtr(t_quantile(tail, count - 1) * math.sqrt(count / (count - 1))))
    totals = np.array(sorted((math.fsum(values), len(values)) for values in kept))
    chance = np.random.default_rng(seed)
    means = np.empty(resamples)
    for rows in blocks(resamples, count):
        drawn = chance.integers(count, size=(rows.stop - rows.start, count))
        means[rows] = totals[:, 0][drawn].sum(axis=1) / totals[:, 1][drawn].sum(axis=1)
    low, high = np.quantile(means, (tail, 1 - tail))
    return BootstrapInterval(float(low), float(high), level, resamples, count)


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
        reached = np.abs(_all_patterns(sizes))
        p, smallest = float(np.mean(reached >= observed)), 1 / len(reached)
        return SignFlipTest(p, smallest, exact=True, patterns=2 ** len(sizes), clusters=len(kept))
    chance = np.random.default_rng(seed)
    hits = 0
    for rows in blocks(resamples, len(sizes)):
        kept_sign = chance.integers(2, size=(rows.stop - rows.start, len(sizes)))
        hits += int(np.count_nonzero(np.abs(2 * (kept_sign @ sizes) - sizes.sum()) >= observed))
    p, smallest = (1 + hits) / (1 + resamples), 1 / (1 + resamples)
    return SignFlipTest(p, smallest, exact=False, patterns=resamples, clusters=len(kept))


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
