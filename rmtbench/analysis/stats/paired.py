"""Two systems on the same questions: what is hard for both cancels, and small differences show.

Whoever calls sees to it that the two differ in the system alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rmtbench.analysis.stats.intervals import Estimate, estimate_mean
from rmtbench.analysis.stats.power import minimum_detectable_effect
from rmtbench.analysis.stats.resampling import (
    RESAMPLES,
    BootstrapInterval,
    SignFlipTest,
    cluster_bootstrap,
    sign_flip_test,
)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Values of two systems, question by question.

    Attributes:
        clusters: By draw, the value of the first and of the second for each question that both have.
        only_first: Questions that the first alone has a value for; they are in no comparison, and must be told.
        only_second: Those that the second alone has one for.
    """

    clusters: tuple[tuple[tuple[float, float], ...], ...]
    only_first: int
    only_second: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """How two systems differ, the first minus the second.

    Attributes:
        difference: Its mean, clustered error and interval by Student's t.
        bootstrap: Its interval by the cluster bootstrap; None where it is undefined.
        test: Of no difference, by sign flips; None where it is undefined. Its p is of one comparison alone: see
            `rmtbench.analysis.stats.multiple.holm`.
        detectable: The smallest true difference that would be found at 0.05 in four of five such experiments; None
            where it is undefined.
        only_first: Questions left out, because the second has no value for them.
        only_second: Questions left out, because the first has none.
    """

    difference: Estimate
    bootstrap: BootstrapInterval | None
    test: SignFlipTest | None
    detectable: float | None
    only_first: int
    only_second: int


def pair_by_question(first: Mapping[tuple[int, str], float], second: Mapping[tuple[int, str], float]) -> Pairs:
    """Put the values of two systems side by side.

    Args:
        first: Values by draw and question.
        second: The same of the other system, asked the same draws.
    """
    clusters: dict[int, list[tuple[float, float]]] = {}
    for key in sorted(first.keys() & second.keys()):
        clusters.setdefault(key[0], []).append((first[key], second[key]))
    return Pairs(
        tuple(map(tuple, clusters.values())), len(first.keys() - second.keys()), len(second.keys() - first.keys())
    )


def compare(pairs: Pairs, *, seed: int, resamples: int = RESAMPLES, level: float = 0.95) -> Comparison:
    """Compare two systems by the differences on the same questions, as Miller (arXiv 2411.00640) recommends.

    Args:
        pairs: Their values.
        seed: Of the bootstrap and the test.
        resamples: Of either.
        level: Of both intervals.

    Returns:
        The comparison; of one draw it has the mean difference alone.

    Raises:
        ValueError: They have no question in common, or a value is not finite.
    """
    differences = [[first - second for first, second in cluster] for cluster in pairs.clusters]
    estimate = estimate_mean(differences, level=level)
    return Comparison(
        difference=estimate,
        bootstrap=cluster_bootstrap(differences, seed=seed, resamples=resamples, level=level),
        test=sign_flip_test(differences, seed=seed, resamples=resamples),
        detectable=minimum_detectable_effect(estimate.standard_error, estimate.clusters),
        only_first=pairs.only_first,
        only_second=pairs.only_second,
    )
