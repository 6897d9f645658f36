"""The clustered standard error against closed forms."""

import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmtbench.analysis.stats.clustered import clustered_standard_error

values = st.floats(0, 1).map(lambda value: round(value, 3))
clusters = st.lists(st.lists(values, min_size=1, max_size=5), min_size=2, max_size=6)


@settings(deadline=None)
@given(st.lists(values, min_size=2, max_size=20))
def test_with_one_value_a_cluster_it_is_ordinary_standard_error(listed):
    expected = statistics.stdev(listed) / math.sqrt(len(listed))
    assert clustered_standard_error([[value] for value in listed]) == pytest.approx(expected, abs=1e-12)


def test_a_case_by_hand():
    # Mean 0.5; the clusters' sums of deviations are 1 - 2 * 0.5 ... : 0.5, -1.0 and 0.5.
    error = clustered_standard_error([[1.0, 0.5], [0.0, 0.0], [1.0, 0.5]])
    assert error == pytest.approx(math.sqrt(3 / 2 * (0.25 + 1.0 + 0.25)) / 6)


def test_clusters_of_unequal_size_weigh_by_their_values():
    # Mean 0.25; sums of deviations 0.75 and -0.75.
    error = clustered_standard_error([[1.0], [0.0, 0.0, 0.0]])
    assert error == pytest.approx(math.sqrt(2 * (0.75**2 + 0.75**2)) / 4)


@settings(deadline=None)
@given(clusters, st.integers(2, 4))
def test_repeating_questions_in_cluster_adds_no_certainty(listed, times):
    again = [cluster * times for cluster in listed]
    assert clustered_standard_error(again) == pytest.approx(clustered_standard_error(listed), abs=1e-12)


@settings(deadline=None)
@given(clusters, st.floats(-3, 3))
def test_a_shift_changes_nothing_and_a_scale_scales(listed, shift):
    shifted = [[2 * value + shift for value in cluster] for cluster in listed]
    assert clustered_standard_error(shifted) == pytest.approx(2 * clustered_standard_error(listed), abs=1e-12)


def test_answers_alike_within_draw_are_less_certain():
    agreeing = [[1.0] * 10, [0.0] * 10, [1.0] * 10, [0.0] * 10]
    independent = [[value] for cluster in agreeing for value in cluster]
    assert clustered_standard_error(agreeing) > 3 * clustered_standard_error(independent)


@pytest.mark.parametrize("listed", [[], [[]], [[0.5]], [[0.0, 1.0]], [[0.0, 1.0], []]])
def test_fewer_than_two_clusters_have_none_and_not_zero(listed):
    assert clustered_standard_error(listed) is None


def test_clusters_that_all_agree_have_an_error_of_zero():
    assert clustered_standard_error([[0.5, 0.5], [0.5]]) == 0.0
