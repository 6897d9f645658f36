"""Differences between systems on the same questions: how hard a question is cancels out.

The one comparison of `rmtbench compare`, `rmtbench decide` and the report. The caller makes sure that the systems
answered the same questions and differ in nothing else.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import combinations

import numpy as np

from rmtbench.analysis.stats.clustered import standard_error_of_sums
from rmtbench.analysis.stats.power import minimum_detectable_effect
from rmtbench.analysis.stats.resampling import (
    RESAMPLES,
    SignFlipTest,
    percentile_interval,
    redrawn_means,
    sign_flip_test,
)

DIGITS = 7
"""Decimals of all figures: no machine's order of additions shows."""


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """The first system's mean minus the second's, over the same questions.

    Attributes:
        difference: In the values' unit.
        standard_error: Clustered; None where it is undefined.
        low: Lower end of the cluster bootstrap's interval; None where it is undefined.
        high: Upper end.
        clusters: How many draws, or whatever else is independent.
        sums: The difference in each cluster, summed over its questions, as doubles: what the sign-flip test needs. Of
            many pairs these are most of the memory, and numbers of their own would take four times as much.
        seed: Of that test.
    """

    difference: float
    standard_error: float | None
    low: float | None
    high: float | None
    clusters: int
    sums: bytes = field(default=b"", repr=False, compare=False)
    seed: int = field(default=0, repr=False, compare=False)

    @property
    def test(self) -> SignFlipTest | None:
        """The sign-flip test of no difference, made when it is asked for; None for fewer than two clusters."""
        return _flip(self.sums, self.seed)

    @property
    def p(self) -> float | None:
        """Of that test."""
        return None if self.test is None else self.test.p

    @property
    def detectable(self) -> float | None:
        """The smallest true difference that would be found at 0.05 in four of five such experiments."""
        return minimum_detectable_effect(self.standard_error, self.clusters)

    @property
    def exchanged(self) -> PairedDifference:
        """The second system's mean minus the first's."""
        low, high = (None, None) if self.low is None or self.high is None else (-self.high, -self.low)
        return replace(self, difference=0.0 - self.difference, low=low, high=high)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Values of two systems, question by question.

    Attributes:
        clusters: By draw, the value of the first and of the second for each question that both have.
        only_first: Questions that only the first has a value for; no comparison uses them.
        only_second: Questions that only the second has a value for.
    """

    clusters: tuple[tuple[tuple[float, float], ...], ...]
    only_first: int
    only_second: int


def pair_by_question(first: Mapping[tuple[int, str], float], second: Mapping[tuple[int, str], float]) -> Pairs:
    """Put the values of two systems side by side.

    Args:
        first: Values by cluster and question.
        second: The same of the other system.
    """
    clusters: dict[int, list[tuple[float, float]]] = {}
    for key in sorted(first.keys() & second.keys()):
        clusters.setdefault(key[0], []).append((first[key], second[key]))
    return Pairs(
        tuple(map(tuple, clusters.values())), len(first.keys() - second.keys()), len(second.keys() - first.keys())
    )


def paired_differences(
    totals: Sequence[Sequence[float]],
    counts: Sequence[int],
    *,
    seed: int,
    resamples: int = RESAMPLES,
    level: float = 0.95,
) -> dict[tuple[int, int], PairedDifference]:
    """Compare every two of several systems that answered the same questions.

    All pairs are held against the same redrawn clusters, so that their intervals agree with each other: exchanging two
    systems mirrors the interval, and a further system leaves it as it is.

    Args:
        totals: For each system, the sum of its values in each cluster, in the order of the clusters' names.
        counts: Questions in each cluster, each above zero.
        seed: Of the bootstrap.
        resamples: How often the clusters are drawn.
        level: Of the intervals, between 0 and 1.

    Returns:
        By the systems' positions, the smaller first; of one cluster only the differences are defined.

    Raises:
        ValueError: The systems do not have one sum a cluster, a cluster has no question, or a sum is not finite.
    """
    values, sizes = np.array(totals, dtype=float), np.array(counts, dtype=float)
    clusters = len(sizes)
    if values.ndim != 2 or values.shape[1] != clusters or not clusters or sizes.min() < 1:
        raise ValueError("every system needs one sum a draw, and every draw a question")
    if not np.isfinite(values).all():
        raise ValueError("a sum is not a finite number")
    means = values.sum(axis=1) / sizes.sum()
    redrawn = redrawn_means(values, sizes, seed=seed, resamples=resamples) if clusters > 1 else None
    found = {}
    for first, second in combinations(range(len(values)), 2):
        difference = round(float(means[first] - means[second]), DIGITS)
        if redrawn is None:
            found[first, second] = PairedDifference(difference, None, None, None, clusters)
            continue
        apart = (values[first] - values[second]).tolist()
        error = standard_error_of_sums(list(zip(apart, counts, strict=True)))
        low, high = percentile_interval(redrawn[first] - redrawn[second], clusters, level=level)
        found[first, second] = PairedDifference(
            difference, None if error is None else round(error, DIGITS), round(low, DIGITS), round(high, DIGITS),
            clusters, array("d", apart).tobytes(), seed,
        )  # fmt: skip
    return found


@lru_cache(maxsize=8192)
def _flip(sums: bytes, seed: int) -> SignFlipTest | None:
    """The test of one pair: verdicts, tables and files ask for the same ones."""
    # It flips whole clusters, so that their sums are all that it needs.
    return sign_flip_test([[each] for each in array("d", sums)], seed=seed)
