"""Intervals and tests on experiments whose truth is known. The quick tests are the slow ones in small."""

import numpy as np
import pytest
from stats_experiments import TRUTH, as_if_independent, bootstrap_interval, paired_draws, scored_draws

from rmtbench.analysis.stats.intervals import estimate_mean
from rmtbench.analysis.stats.power import minimum_detectable_effect
from rmtbench.analysis.stats.resampling import sign_flip_test


def coverage(experiments, clusters, resamples, seed=0):
    """How often each interval holds the truth: by Student's t, by bootstrap, and as if answers were independent."""
    chance, held = np.random.default_rng(seed), np.zeros(3)
    for number in range(experiments):
        draws = scored_draws(chance, clusters)
        student, naive = estimate_mean(draws), estimate_mean(as_if_independent(draws))
        intervals = (
            (student.low, student.high),
            bootstrap_interval(draws, seed=number, resamples=resamples),
            (naive.low, naive.high),
        )
        held += [low <= TRUTH <= high for low, high in intervals]
    return held / experiments


def found(experiments, clusters, advantage=0.0, resamples=2000, seed=0):
    """How often a difference is found at 0.05: by sign flips, and by an interval as if answers were independent."""
    chance, hits = np.random.default_rng(seed), np.zeros(2)
    for number in range(experiments):
        draws = paired_draws(chance, clusters, advantage)
        naive = estimate_mean(as_if_independent(draws))
        p = sign_flip_test(draws, seed=number, resamples=resamples).p
        hits += [p <= 0.05, not naive.low <= 0 <= naive.high]
    return hits / experiments


def mean_and_error(clusters, advantage, experiments=400):
    """Of the difference, as they are over many experiments."""
    chance = np.random.default_rng(1)
    means = [estimate_mean(paired_draws(chance, clusters, advantage)).mean for _ in range(experiments)]
    return np.mean(means), np.std(means, ddof=1)


def test_about_95_of_100_intervals_hold_truth():
    student, bootstrap, naive = coverage(300, clusters=20, resamples=500)
    assert 0.91 <= student <= 0.98
    assert 0.91 <= bootstrap <= 0.98
    assert naive < 0.8


@pytest.mark.parametrize("clusters", [12, 30])  # every pattern, and random ones
def test_few_equal_systems_differ_and_many_if_draws_ignored(clusters):
    flips, naive = found(300, clusters, resamples=500)
    assert flips <= 0.085
    assert naive > 0.2


def test_detectable_difference_is_found_four_times_in_five():
    mean, error = mean_and_error(20, advantage=0.85)
    assert mean == pytest.approx(minimum_detectable_effect(error, 20), rel=0.1)
    assert 0.7 <= found(200, 20, advantage=0.85)[0] <= 0.9


@pytest.mark.slow
@pytest.mark.parametrize(("clusters", "least"), [(8, 0.91), (20, 0.93), (40, 0.93)])
def test_93_to_97_of_100_intervals_hold_truth(clusters, least):
    student, bootstrap, naive = coverage(2000, clusters, resamples=10_000)
    print(f"coverage at {clusters} draws: Student {student:.4f}, bootstrap {bootstrap:.4f}, naive {naive:.4f}")
    assert least <= student <= 0.97
    assert least <= bootstrap <= 0.97
    assert naive < 0.8


@pytest.mark.slow
@pytest.mark.parametrize("clusters", [8, 20, 40])
def test_at_most_6_of_100_equal_systems_are_told_apart(clusters):
    flips, naive = found(2000, clusters, resamples=10_000)
    print(f"false positives at {clusters} draws: sign flips {flips:.4f}, naive {naive:.4f}")
    assert flips <= 0.06
    assert naive > 0.2


@pytest.mark.slow
def test_detectable_difference_is_found_in_four_of_five():
    mean, error = mean_and_error(40, advantage=0.59, experiments=2000)
    power = found(2000, 40, advantage=0.59)[0]
    print(f"true difference {mean:.4f}, detectable {minimum_detectable_effect(error, 40):.4f}, found {power:.4f}")
    assert mean == pytest.approx(minimum_detectable_effect(error, 40), rel=0.05)
    assert 0.74 <= power <= 0.86
