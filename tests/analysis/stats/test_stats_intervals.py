"""The clustered confidence interval against closed forms and scipy."""

import math
import statistics
import subprocess
import sys

import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from rmtbench.analysis.stats.intervals import estimate_mean

values = st.floats(0, 1).map(lambda value: round(value, 3))
clusters = st.lists(st.lists(values, min_size=1, max_size=5), min_size=2, max_size=6)


@settings(deadline=None)
@given(st.lists(values, min_size=2, max_size=20), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_with_one_value_a_cluster_it_is_scipys_interval_of_mean(listed, level):
    estimate = estimate_mean([[value] for value in listed], level=level)
    error = statistics.stdev(listed) / math.sqrt(len(listed))
    if error == 0:
        assert estimate.low == pytest.approx(estimate.high, abs=1e-12)
    else:
        expected = scipy.stats.t.interval(level, len(listed) - 1, statistics.fmean(listed), error)
        assert (estimate.low, estimate.high) == pytest.approx(expected, abs=1e-9)


def test_a_case_by_hand():
    # Sums of deviations 0.5, -1.0 and 0.5; t of two degrees of freedom at 0.975 is 4.302653.
    estimate = estimate_mean([[1.0, 0.5], [], [0.0, 0.0], [1.0, 0.5]])
    half = 4.302653 * math.sqrt(3 / 2 * 1.5) / 6
    assert (estimate.mean, estimate.values, estimate.clusters, estimate.level) == (0.5, 6, 3, 0.95)
    assert (estimate.low, estimate.high) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-6)


@settings(deadline=None)
@given(clusters, st.randoms(use_true_random=False))
def test_the_order_of_clusters_and_of_questions_does_not_matter(listed, chance):
    shuffled = [chance.sample(cluster, len(cluster)) for cluster in chance.sample(listed, len(listed))]
    assert estimate_mean(shuffled).low == pytest.approx(estimate_mean(listed).low, abs=1e-12)


@pytest.mark.parametrize("listed", [[[0.25]], [[0.0, 0.5], []]])
def test_one_cluster_has_a_mean_and_neither_error_nor_interval(listed):
    estimate = estimate_mean(listed)
    assert estimate.mean == 0.25
    assert (estimate.standard_error, estimate.low, estimate.high) == (None, None, None)


@pytest.mark.parametrize(
    ("listed", "level", "said"),
    [
        ([], 0.95, "no value"),
        ([[]], 0.95, "no value"),
        ([[0.5], [math.nan]], 0.95, "finite"),
        ([[0.5]] * 2, 95, "level"),
    ],
)
def test_what_has_no_mean_or_level_is_refused(listed, level, said):
    with pytest.raises(ValueError, match=said):
        estimate_mean(listed, level=level)


def test_tables_need_no_numpy_for_their_errors():
    code = "import sys, rmtbench.analysis.stats.clustered, rmtbench.report.write; assert 'numpy' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
