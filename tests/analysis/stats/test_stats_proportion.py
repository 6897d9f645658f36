"""Exact intervals of proportions: never without width, and true at least as often as they say."""

import math

import pytest
from statsmodels.stats.proportion import proportion_confint

from rmtbench.analysis.stats.proportion import exact_interval


def test_twelve_of_twelve_is_no_certainty():
    assert exact_interval(12, 12) == (pytest.approx(0.025 ** (1 / 12)), 1.0)
    assert exact_interval(0, 12) == (0.0, pytest.approx(1 - 0.025 ** (1 / 12)))


@pytest.mark.parametrize(("right", "trials"), [(0, 1), (1, 1), (3, 10), (10, 10), (57, 438), (499, 500)])
def test_it_is_the_interval_of_clopper_and_pearson(right, trials):
    assert exact_interval(right, trials) == pytest.approx(proportion_confint(right, trials, method="beta"))


@pytest.mark.parametrize("trials", [5, 24])
@pytest.mark.parametrize("rate", [0.01, 0.2, 0.5, 0.9, 0.995])
def test_it_holds_the_truth_at_least_as_often_as_it_says(trials, rate):
    held = sum(
        math.comb(trials, right) * rate**right * (1 - rate) ** (trials - right)
        for right in range(trials + 1)
        if exact_interval(right, trials)[0] <= rate <= exact_interval(right, trials)[1]
    )
    assert held >= 0.95


@pytest.mark.parametrize(("right", "trials", "level"), [(0, 0, 0.95), (3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0)])
def test_what_is_no_proportion_is_refused(right, trials, level):
    with pytest.raises(ValueError, match=r"proportion|level"):
        exact_interval(right, trials, level=level)
