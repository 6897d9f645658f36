"""What can be detected, and with how many draws, against closed forms and Miller's normal approximation."""

import math

import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from rmtbench.analysis.stats.power import MOST_CLUSTERS, clusters_needed, minimum_detectable_effect, trials_to_exclude


def test_with_many_clusters_it_is_millers_formula():
    assert minimum_detectable_effect(0.01, 10**6) == pytest.approx(0.01 * (1.959964 + 0.841621), abs=1e-7)


def test_with_few_clusters_it_has_students_quantiles():
    t = scipy.stats.t(4)
    found = minimum_detectable_effect(0.02, 5, significance=0.01, power=0.9)
    assert found == pytest.approx(0.02 * (t.ppf(0.995) + t.ppf(0.9)))
    assert minimum_detectable_effect(0.02, 5) > 1.3 * minimum_detectable_effect(0.02, 500)


def test_one_cluster_detects_nothing_that_can_be_told():
    assert minimum_detectable_effect(None, 1) is None
    assert clusters_needed(0.1, None, 1) is None


def test_without_any_variation_seen_nothing_is_known_of_it():
    assert minimum_detectable_effect(0.0, 10) is None
    assert clusters_needed(0.1, 0.0, 10) is None


@settings(deadline=None)
@given(st.floats(0.005, 0.5), st.floats(0.001, 0.2), st.integers(2, 60))
def test_the_number_needed_is_the_smallest_that_is_enough(effect, error, clusters):
    needed = clusters_needed(-effect, error, clusters)

    def detectable(count):
        return minimum_detectable_effect(error * math.sqrt(clusters / count), count)

    assert detectable(needed) <= effect
    assert needed == 6 or detectable(needed - 1) > effect


def test_sign_flip_test_needs_six_draws_however_large_difference():
    assert clusters_needed(0.9, 0.001, 3) == 6
    assert clusters_needed(0.9, 0.001, 3, significance=0.01) == 8


def test_half_the_difference_needs_four_times_the_draws():
    assert clusters_needed(0.01, 0.02, 50) == pytest.approx(4 * clusters_needed(0.02, 0.02, 50), rel=0.01)


def test_no_number_shows_a_difference_of_zero():
    assert clusters_needed(0.0, 0.02, 50) is None


@pytest.mark.parametrize(("significance", "power"), [(0.0, 0.8), (1.0, 0.8), (0.05, 0.4), (0.05, 1.0)])
def test_what_is_no_significance_or_power_is_refused(significance, power):
    for call in (
        lambda: minimum_detectable_effect(0.1, 5, significance=significance, power=power),
        lambda: clusters_needed(0.1, 0.1, 5, significance=significance, power=power),
    ):
        with pytest.raises(ValueError, match="between 0"):
            call()


@pytest.mark.parametrize(("rate", "trials"), [(0.02, 149), (0.05, 59), (0.5, 5)])
def test_trials_without_event_exclude_a_rate(rate: float, trials: int) -> None:
    assert trials_to_exclude(rate) == trials
    assert (1 - rate) ** trials <= 0.05 < (1 - rate) ** (trials - 1)


@pytest.mark.parametrize("rate", [1e-17, 5e-324])
def test_a_tiny_rate_is_excluded_by_no_number_that_counts(rate: float) -> None:
    assert trials_to_exclude(rate) == MOST_CLUSTERS


def test_a_rate_of_zero_is_excluded_by_no_number_of_trials() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        trials_to_exclude(0.0)
