"""Intervals and tests by resampling whole clusters: what holds without assuming a normal distribution.

Clusters are added up first, so that the cost depends on draws and not on questions. Seeded.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
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
_EVERY = 64
"""Of the values in which a quantile is looked for, one in so many tells where the ends are."""


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
    return _quantile(means, tail), _quantile(means, 1 - tail)


def _quantile(values: NDArray[np.float64], share: float) -> float:
    """Return what `numpy.quantile` does, to the last bit; five times as fast near the ends of many values.

    Only the values beyond a bound are ordered. The bound is taken from every 64th value; one that leaves too few
    beyond it costs time and no digit.
    """
    place = (len(values) - 1) * share
    below = math.floor(place)
    ranks = below, min(below + 1, len(values) - 1)
    few = values[::_EVERY]
    left = min(ranks[1], len(values) - 1 - ranks[0]) / len(values) * len(few)  # of the sample beyond the rank
    reach = math.ceil(left + 3 * math.sqrt(left) + 2)
    if reach >= len(few) / 4:
        return float(np.quantile(values, share))
    if share < 0.5:
        beyond, before = values[values <= np.partition(few, reach)[reach]], 0
    else:
        beyond = values[values >= np.partition(few, len(few) - 1 - reach)[len(few) - 1 - reach]]
        before = len(values) - len(beyond)
    if not before <= ranks[0] <= ranks[1] < before + len(beyond):
        return float(np.quantile(values, share))
    ordered = np.partition(beyond, [rank - before for rank in ranks])
    low, high = (float(ordered[rank - before]) for rank in ranks)
    weight = place - below  # from here on as numpy interpolates
    return high - (high - low) * (1 - weight) if weight >= 0.5 else low + (high - low) * weight


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
        patterns = 2 ** len(sizes)
        return SignFlipTest(
            _count_as_far(sizes, observed) / patterns, exact=True, patterns=patterns, clusters=len(kept)
        )
    hits = 0
    for kept_sign in _random_patterns(seed, resamples, len(sizes)):
        hits += int(np.count_nonzero(np.abs(2 * (kept_sign @ sizes) - sizes.sum()) >= observed))
    return SignFlipTest((1 + hits) / (1 + resamples), exact=False, patterns=resamples, clusters=len(kept))


def _random_patterns(seed: int, resamples: int, clusters: int) -> Iterable[NDArray[np.float64]]:
    """Patterns of kept signs, 1 or 0, ``[patterns, clusters]`` at a time: the same ones for every pair."""
    if resamples * clusters <= BLOCK:
        return _one_block(seed, resamples, clusters)
    return _drawn_patterns(seed, resamples, clusters)


@lru_cache(maxsize=4)
def _one_block(seed: int, resamples: int, clusters: int) -> tuple[NDArray[np.float64], ...]:
    """All patterns at once, kept: pairs of one study have as many clusters, and drawing takes longest."""
    return tuple(_drawn_patterns(seed, resamples, clusters))


def _drawn_patterns(seed: int, resamples: int, clusters: int) -> Iterator[NDArray[np.float64]]:
    chance = np.random.default_rng(seed)
    for rows in blocks(resamples, clusters):
        yield chance.integers(2, size=(rows.stop - rows.start, clusters)).astype(np.float64)


def _count_as_far(sizes: NDArray[np.float64], observed: float) -> int:
    """Count the patterns of signs whose sum is at least so far from zero.

    Each half of the sizes has all its sums made. For each sum of one half, those of the other that reach far enough
    are counted by their order (Horowitz and Sahni 1974), so that 20 sizes take 2 * 2^10 sums in place of 2^20.

    Args:
        sizes: The values whose signs change.
        observed: How far.
    """
    if observed <= 0:
        return int(2 ** len(sizes))
    half = len(sizes) // 2
    one, other = _signed_sums(sizes[:half]), np.sort(_signed_sums(sizes[half:]))
    above = len(other) - np.searchsorted(other, observed - one, side="left")
    below = np.searchsorted(other, -observed - one, side="right")
    return int(above.sum() + below.sum())


def _signed_sums(sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums under every pattern of signs, ``[patterns]``."""
    sums = np.zeros(1)
    for size in sizes:
        sums = np.concatenate((sums + size, sums - size))
    return sums


def blocks(resamples: int, clusters: int) -> Iterator[slice]:
    """Resamples in pieces that fit the memory."""
    rows = max(1, BLOCK // clusters)
    return (slice(start, min(start + rows, resamples)) for start in range(0, resamples, rows))


def _check(resamples: int) -> None:
    if resamples < 1:
        raise ValueError(f"at least one resample is needed, not {resamples}")
