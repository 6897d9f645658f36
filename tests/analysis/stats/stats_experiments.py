"""Made experiments whose truth is known: answers of one draw agree more than answers of two."""

import numpy as np

from rmtbench.analysis.stats.resampling import percentile_interval, redrawn_means

TRUTH = 0.7
"""Mean score of every experiment made by `scored_draws`."""


def scored_draws(chance, clusters, agreement=0.2):
    """Right and wrong answers in draws of 5 to 25 questions; `agreement` is the correlation within a draw."""
    strength = (1 - agreement) / agreement
    rates = chance.beta(TRUTH * strength, (1 - TRUTH) * strength, size=clusters)
    sizes = chance.integers(5, 26, size=clusters)
    return [(chance.random(size) < rate).astype(float).tolist() for size, rate in zip(sizes, rates, strict=True)]


def paired_draws(chance, clusters, advantage=0.0):
    """Differences of two systems' answers; some draws suit one system better, and `advantage` is the first's own.

    Without advantage the two are exchangeable: any difference found is a false positive.
    """
    draws = []
    for size in chance.integers(5, 26, size=clusters):
        ease = 0.5 + chance.normal() + chance.normal(size=size)
        first, second = (ease + 0.7 * (chance.normal() + chance.normal(size=size)) for _ in range(2))
        draws.append(((first + advantage > 0) * 1.0 - (second > 0)).tolist())
    return draws


def as_if_independent(draws):
    """The same values, every one a cluster of its own: the error that most reports make."""
    return [[value] for draw in draws for value in draw]


def bootstrap_interval(draws, *, seed, resamples, level=0.95):
    """The cluster bootstrap's interval of the mean of all values."""
    totals, counts = np.array([[sum(draw) for draw in draws]]), np.array([len(draw) for draw in draws], dtype=float)
    means = redrawn_means(totals, counts, seed=seed, resamples=resamples)
    return percentile_interval(means[0], len(draws), level=level)
