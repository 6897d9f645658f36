"""The cluster bootstrap and the sign-flip test against closed forms, enumeration and scipy."""

import math
import statistics

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from stats_experiments import bootstrap_interval

from rmtbench.analysis.stats import resampling
from rmtbench.analysis.stats.resampling import sign_flip_test

values = st.floats(-1, 1).map(lambda value: round(value, 2))
clusters = st.lists(st.lists(values, min_size=1, max_size=4), min_size=2, max_size=8)
UNDEFINED = [[], [[]], [[0.5]], [[0.0, 1.0], []]]


def ends(listed, level=0.95, **changed):
    return bootstrap_interval(listed, level=level, **({"seed": 0, "resamples": 500} | changed))


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 5), min_size=2, max_size=8), values)
def test_the_bootstrap_of_a_constant_has_no_width(sizes, value):
    assert ends([[value] * size for size in sizes]) == pytest.approx((value, value), abs=1e-12)


@settings(deadline=None, max_examples=30)
@given(clusters, st.randoms(use_true_random=False))
def test_neither_order_changes_the_p_by_a_bit(listed, chance):
    shuffled = [chance.sample(cluster, len(cluster)) for cluster in chance.sample(listed, len(listed))]
    assert sign_flip_test(shuffled, seed=0) == sign_flip_test(listed, seed=0)


@settings(deadline=None, max_examples=30)
@given(clusters)
def test_the_interval_stays_within_the_means_of_the_clusters(listed):
    low, high = ends(listed)
    means = [statistics.fmean(cluster) for cluster in listed]
    assert min(means) - 1e-12 <= low <= high <= max(means) + 1e-12


def test_interval_is_scipys_percentile_interval_at_widened_level():
    chance = np.random.default_rng(3)
    means = chance.gamma(2.0, size=12)
    tail = scipy.stats.norm.cdf(scipy.stats.t.ppf(0.025, 11) * math.sqrt(12 / 11))
    expected = scipy.stats.bootstrap(
        (means,), np.mean, n_resamples=40_000, confidence_level=1 - 2 * tail, method="percentile", rng=chance
    ).confidence_interval
    # Three questions a cluster, all alike: the clusters are what is drawn.
    assert ends([[mean] * 3 for mean in means], resamples=40_000) == pytest.approx(tuple(expected), abs=0.04)


def test_unequal_clusters_weigh_by_values():
    # Drawn are both, or either twice: 1 / 4, 1 and 0, the middle half of the time.
    listed = [[1.0], [0.0, 0.0, 0.0]]
    assert ends(listed, level=0.95) == (0.0, 1.0)
    assert ends(listed, level=0.01) == pytest.approx((0.25, 0.25))


def test_with_many_clusters_it_is_the_interval_by_students_t():
    chance = np.random.default_rng(5)
    listed = chance.normal(size=(400, 5)) + chance.normal(size=(400, 1))
    low, high = ends(listed.tolist(), resamples=40_000)
    error = listed.mean(axis=1).std(ddof=1) / 20
    assert (low, high) == pytest.approx(
        (listed.mean() - 1.966 * error, listed.mean() + 1.966 * error), abs=0.05 * error
    )


def test_a_seed_repeats_the_interval_and_p_and_another_does_not():
    listed = np.random.default_rng(1).normal(0.2, 1, size=(30, 3)).tolist()
    assert ends(listed, seed=1) == ends(listed, seed=1) != ends(listed, seed=2)
    assert sign_flip_test(listed, seed=1) == sign_flip_test(listed, seed=1) != sign_flip_test(listed, seed=2)


def test_the_memory_bound_changes_no_figure(monkeypatch):
    listed = np.random.default_rng(1).normal(0.2, 1, size=(30, 3)).tolist()
    whole = (*ends(listed), sign_flip_test(listed, seed=0).p)
    monkeypatch.setattr(resampling, "BLOCK", 30 * 7)
    assert (*ends(listed), sign_flip_test(listed, seed=0).p) == pytest.approx(whole, abs=1e-12)


@pytest.mark.parametrize("listed", UNDEFINED)
def test_fewer_than_two_clusters_have_no_p(listed):
    assert sign_flip_test(listed, seed=0) is None


def test_what_cannot_be_resampled_is_refused():
    with pytest.raises(ValueError, match="finite"):
        sign_flip_test([[1.0], [math.nan]], seed=0)
    with pytest.raises(ValueError, match="resample"):
        ends([[1.0], [0.0]], resamples=0)
    with pytest.raises(ValueError, match="level"):
        ends([[1.0], [0.0]], level=1.0)


@pytest.mark.parametrize("count", [2, 5, 6, 12])
def test_differences_of_one_sign_have_two_patterns_of_all(count):
    test = sign_flip_test([[0.5, 0.1]] * count, seed=0)
    assert test.p == 2 / 2**count
    assert (test.exact, test.patterns) == (True, 2**count)


def test_five_draws_show_nothing_at_five_percent_six_can():
    assert sign_flip_test([[1.0] * 1000] * 5, seed=0).p == 0.0625
    assert sign_flip_test([[1.0] * 1000] * 6, seed=0).p == 0.03125


def test_a_case_by_hand():
    # Sums 3, 2, -1: of the eight patterns, 6, 4, 2 and 0 twice each come out; at least 4 are four of them.
    assert sign_flip_test([[1.0, 2.0], [2.0], [-0.5, -0.5]], seed=0).p == 0.5


@settings(deadline=None, max_examples=30)
@given(clusters)
def test_the_exact_p_is_scipys(listed):
    sums = np.array([math.fsum(cluster) for cluster in listed])
    assume(abs(sums.sum()) > 1e-9)
    expected = scipy.stats.permutation_test((sums,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_test(listed, seed=0).p == pytest.approx(expected.pvalue, abs=1e-12)


def test_random_p_is_close_to_exact_by_rule_of_one(monkeypatch):
    listed = np.random.default_rng(8).normal(0.4, 1, size=(18, 3)).tolist()
    exact = sign_flip_test(listed, seed=0)
    monkeypatch.setattr(resampling, "EXACT_CLUSTERS", 0)
    drawn = sign_flip_test(listed, seed=0, resamples=20_000)
    assert (exact.exact, drawn.exact) == (True, False)
    assert exact.p == pytest.approx(drawn.p, abs=4 * math.sqrt(exact.p / 20_000))
    assert sign_flip_test([[1.0]] * 40, seed=0, resamples=99).p == 1 / 100


@pytest.mark.parametrize("count", [6, 30])
def test_neither_exchanging_systems_nor_order_of_draws_changes_p(count):
    listed = np.random.default_rng(2).normal(0.2, 1, size=(count, 3))
    test = sign_flip_test(listed.tolist(), seed=0)
    assert test == sign_flip_test((-listed).tolist(), seed=0) == sign_flip_test(listed[::-1].tolist(), seed=0)


def test_differences_that_cancel_are_no_evidence():
    assert 0.1 + 0.2 - 0.3 != 0
    assert sign_flip_test([[0.1, 0.2, -0.3], [0.0]] * 10, seed=0).p == 1.0


def test_draws_in_which_nothing_differs_do_not_help():
    differing = [[0.5], [0.25], [1.0], [0.5], [-0.25], [0.5], [1.0]]
    assert sign_flip_test(differing + [[0.0, 0.0]] * 30, seed=0).p == sign_flip_test(differing, seed=0).p
