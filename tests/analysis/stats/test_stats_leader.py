"""One system against each other by one resampling: six draws are enough, and chance is held for all rows together."""

import numpy as np
import pytest

from rmtbench.analysis.stats.leader import against_each
from rmtbench.analysis.stats.resampling import sign_flip_test


def test_of_two_systems_it_is_the_sign_flip_test():
    one, other = [3, 1, 4, 1, 5, 9, 2], [2, 7, 1, 8, 2, 8, 1]
    alone = sign_flip_test([[a - b] for a, b in zip(one, other, strict=True)], seed=0).p
    assert against_each([one, other], seed=0) == {(0, 1): pytest.approx(alone), (1, 0): pytest.approx(alone)}


def test_six_draws_can_show_any_number_of_differences():
    worse = [[9 - step, 8 - step, 9 - step, 9 - step, 8 - step, 9 - step] for step in range(12)]
    found = against_each(worse, seed=0)
    assert {found[0, other] for other in range(1, 12)} == {2 / 2**6}
    assert set(against_each([row[:5] for row in worse], seed=0).values()) == {2 / 2**5}


def test_a_smaller_difference_is_never_surer_than_a_larger_one():
    chance = np.random.default_rng(3)
    totals = chance.normal(size=(6, 9)) + chance.normal(size=9)
    found, means = against_each(totals.tolist(), seed=0), totals.sum(axis=1)
    for one in range(6):
        others = sorted((j for j in range(6) if j != one), key=lambda j: -abs(means[one] - means[j]))
        p = [found[one, j] for j in others]
        assert p == sorted(p)
        assert all(found[one, j] >= sign_flip_test([[d] for d in totals[one] - totals[j]], seed=0).p for j in others)


def test_draws_in_which_all_are_alike_change_nothing():
    totals = [[5, 4, 5, 3, 4, 5], [3, 2, 4, 1, 1, 3], [1, 2, 1, 0, 1, 2]]
    more = [row + [2] * 30 for row in totals]
    assert against_each(more, seed=0) == against_each(totals, seed=0)
    assert set(against_each([[1, 2, 3]] * 3, seed=0).values()) == {1.0}


@pytest.mark.parametrize("totals", [[[1.0], [2.0]], [[1.0, 2.0]]])
def test_of_one_draw_or_one_system_nothing_is_known(totals):
    assert against_each(totals, seed=0) == {}


@pytest.mark.parametrize("draws", [8, 24])
def test_equal_systems_are_told_apart_five_times_in_100(draws):
    chance, experiments, wrong = np.random.default_rng(1), 400, 0
    for _ in range(experiments):
        totals = chance.normal(size=draws) + chance.normal(size=(6, draws))
        found = against_each(totals.tolist(), seed=0, resamples=999)
        wrong += min(found[0, other] for other in range(1, 6)) < 0.05
    assert wrong / experiments < 0.05 + 3 * (0.05 * 0.95 / experiments) ** 0.5
