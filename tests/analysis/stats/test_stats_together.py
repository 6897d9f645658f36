"""Every pair of several systems at once gives what one pair at a time gives."""

import numpy as np
import pytest

from rmtbench.analysis.stats.paired import compare, pair_by_question
from rmtbench.analysis.stats.together import paired_differences

SIZES = (5, 9, 12, 7, 20, 3, 11)


def scores(systems=3, sizes=SIZES, seed=4):
    chance = np.random.default_rng(seed)
    return [
        {(draw, f"q{n}"): float(chance.integers(2)) for draw, size in enumerate(sizes) for n in range(size)}
        for _ in range(systems)
    ]


def totals(values, sizes=SIZES):
    return [sum(value for (at, _), value in values.items() if at == draw) for draw in range(len(sizes))]


def test_means_and_errors_are_those_of_a_single_comparison_and_intervals_but_for_the_noise_of_resampling():
    systems = scores()
    found = paired_differences([totals(each) for each in systems], SIZES, seed=1)
    assert set(found) == {(0, 1), (0, 2), (1, 2)}
    for (first, second), pair in found.items():
        alone = compare(pair_by_question(systems[first], systems[second]), seed=1)
        assert pair.difference == pytest.approx(alone.difference.mean, abs=1e-7)
        assert pair.standard_error == pytest.approx(alone.difference.standard_error, abs=1e-7)
        width = alone.bootstrap.high - alone.bootstrap.low
        assert pair.low == pytest.approx(alone.bootstrap.low, abs=0.05 * width)
        assert pair.high == pytest.approx(alone.bootstrap.high, abs=0.05 * width)
        assert pair.clusters == len(SIZES)


def test_where_draws_stand_in_the_order_of_their_differences_the_interval_is_the_very_same():
    ordered = [[0.0, 1.0, 2.0, 3.0], [0.0, 0.0, 0.0, 0.0]]
    first = {(draw, f"q{n}"): float(n < draw) for draw in range(4) for n in range(4)}
    alone = compare(pair_by_question(first, dict.fromkeys(first, 0.0)), seed=3)
    found = paired_differences(ordered, [4] * 4, seed=3)[0, 1]
    assert (found.low, found.high) == (round(alone.bootstrap.low, 7), round(alone.bootstrap.high, 7))


def test_many_clusters_are_drawn_in_pieces_and_give_the_same_digits(monkeypatch):
    whole = paired_differences([[3.0, 1.0, 2.0, 2.0, 4.0], [1.0, 1.0, 3.0, 0.0, 2.0]], [4] * 5, seed=2)
    monkeypatch.setattr("rmtbench.analysis.stats.resampling.BLOCK", 35)
    assert paired_differences([[3.0, 1.0, 2.0, 2.0, 4.0], [1.0, 1.0, 3.0, 0.0, 2.0]], [4] * 5, seed=2) == whole


def test_one_draw_has_a_difference_and_nothing_else():
    found = paired_differences([[3.0], [1.0]], [4], seed=0)[0, 1]
    assert (found.difference, found.standard_error, found.low, found.high) == (0.5, None, None, None)


@pytest.mark.parametrize(
    ("sums", "counts"), [([[1.0, 2.0]], [3]), ([[1.0]], [0]), ([[float("nan"), 1.0]], [1, 1]), ([], [])]
)
def test_what_cannot_be_compared_is_refused(sums, counts):
    with pytest.raises(ValueError, match=r"one sum a draw|finite"):
        paired_differences(sums, counts, seed=0)
