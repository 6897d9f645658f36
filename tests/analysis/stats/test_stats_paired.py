"""Systems on the same questions: differences, what is known of their error, and ratios of times."""

import math
import statistics

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from rmtbench.analysis.stats.intervals import estimate_mean
from rmtbench.analysis.stats.paired import pair_by_question, paired_differences
from rmtbench.analysis.stats.power import minimum_detectable_effect
from rmtbench.analysis.stats.times import time_ratio

SIZES = (5, 9, 12, 7, 20, 3, 11)
tables = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(4, 9)), min_size=2, max_size=8)


def scores(systems=3, sizes=SIZES, seed=4):
    """Right and wrong answers of several systems, draw by draw."""
    chance = np.random.default_rng(seed)
    return [[chance.integers(2, size=size).astype(float).tolist() for size in sizes] for _ in range(systems)]


def totals(draws):
    return [sum(draw) for draw in draws]


def compare(*systems, seed=1, **changed):
    """Every pair of systems whose answers are given draw by draw."""
    return paired_differences([*map(totals, systems)], [len(draw) for draw in systems[0]], seed=seed, **changed)


def test_questions_are_paired_by_draw_and_name():
    first = {(1, "a"): 0.5, (0, "b"): 1.0, (0, "a"): 0.0, (2, "a"): 1.0}
    pairs = pair_by_question(first, {(0, "a"): 0.25, (0, "b"): 0.75, (1, "a"): 0.5, (1, "b"): 0.0, (3, "a"): 0.0})
    assert pairs.clusters == (((0.0, 0.25), (1.0, 0.75)), ((0.5, 0.5),))
    assert (pairs.only_first, pairs.only_second) == (1, 2)


def test_mean_and_error_are_those_of_the_differences():
    systems = scores()
    found = compare(*systems)
    assert set(found) == {(0, 1), (0, 2), (1, 2)}
    for (first, second), pair in found.items():
        draws = zip(systems[first], systems[second], strict=True)
        alone = estimate_mean([[one - other for one, other in zip(*draw, strict=True)] for draw in draws])
        assert pair.difference == pytest.approx(alone.mean, abs=1e-7)
        assert pair.standard_error == pytest.approx(alone.standard_error, abs=1e-7)
        assert pair.detectable == minimum_detectable_effect(pair.standard_error, len(SIZES))
        assert pair.clusters == len(SIZES)


def test_what_is_hard_for_both_cancels():
    # Draws differ by 0.6, the systems by 0.1 or 0.12 in each.
    hard = [0.1, 0.7, 0.2, 0.6, 0.3, 0.5, 0.4]
    pair = compare([[ease, ease] for ease in hard], [[ease + 0.1, ease + 0.12] for ease in hard])[0, 1]
    assert pair.difference == pytest.approx(-0.11)
    assert pair.standard_error < 1e-9


def test_further_systems_change_no_digit_of_a_pair():
    systems = scores(4)
    together = compare(*systems)
    assert all(pair == compare(systems[a], systems[b])[0, 1] for (a, b), pair in together.items())


@settings(deadline=None, max_examples=30)
@given(tables)
def test_exchanging_two_systems_mirrors_the_interval(table):
    first, second, counts = zip(*table, strict=True)
    one = paired_differences([first, second], counts, seed=0, resamples=200)[0, 1]
    other = paired_differences([second, first], counts, seed=0, resamples=200)[0, 1].exchanged
    assert (one.difference, one.low, one.high) == pytest.approx((other.difference, other.low, other.high), abs=2e-7)
    assert other.standard_error == pytest.approx(one.standard_error, abs=2e-7)


def test_drawing_clusters_in_pieces_changes_no_digit(monkeypatch):
    systems = scores(2)
    whole = compare(*systems)
    monkeypatch.setattr("rmtbench.analysis.stats.resampling.BLOCK", 35)
    assert compare(*systems) == whole


def test_one_draw_has_a_difference_and_nothing_else():
    pair = compare([[1.0, 1.0, 1.0, 0.0]], [[0.0, 0.0, 1.0, 0.0]])[0, 1]
    known = (pair.difference, pair.standard_error, pair.low, pair.high, pair.detectable)
    assert known == (0.5, None, None, None, None)


@pytest.mark.parametrize(
    ("sums", "counts"), [([[1.0, 2.0]], [3]), ([[1.0]], [0]), ([[float("nan"), 1.0]], [1, 1]), ([], [])]
)
def test_what_cannot_be_compared_is_refused(sums, counts):
    with pytest.raises(ValueError, match=r"one sum a draw|finite"):
        paired_differences(sums, counts, seed=0)


def timed(*draws):
    return {(draw, str(question)): value for draw, values in enumerate(draws) for question, value in enumerate(values)}


def test_time_ratio_is_geometric():
    ratio = time_ratio(pair_by_question(timed([2.0, 800.0], [6.0]), timed([1.0, 100.0], [3.0])))
    assert ratio.ratio == pytest.approx((2 * 8 * 2) ** (1 / 3))
    assert (ratio.questions, ratio.clusters) == (3, 2)


def test_its_interval_is_that_of_the_logarithms():
    first, second = [2.0, 3.0, 5.0, 8.0], [1.0, 2.0, 2.0, 3.0]
    logs = [math.log(a / b) for a, b in zip(first, second, strict=True)]
    low, high = scipy.stats.t.interval(0.95, 3, statistics.fmean(logs), statistics.stdev(logs) / 2)
    found = time_ratio(pair_by_question(timed(*([each] for each in first)), timed(*([each] for each in second))))
    assert (found.low, found.high) == pytest.approx((math.exp(low), math.exp(high)))


def test_exchanging_systems_inverts_ratio_and_interval():
    first, second = timed([2.0, 3.0], [5.0], [4.0]), timed([1.0, 4.0], [2.0], [3.0])
    one = time_ratio(pair_by_question(first, second))
    other = time_ratio(pair_by_question(second, {key: 1000 * value for key, value in first.items()}))
    assert other.ratio == pytest.approx(1 / one.ratio / 1000)
    assert (1000 * other.low, 1000 * other.high) == pytest.approx((1 / one.high, 1 / one.low))


def test_one_draw_has_a_ratio_without_an_interval():
    ratio = time_ratio(pair_by_question(timed([2.0, 2.0]), timed([1.0, 1.0])))
    assert (ratio.ratio, ratio.low, ratio.high) == (pytest.approx(2.0), None, None)


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.nan, math.inf])
def test_a_time_that_is_none_is_refused(wrong):
    with pytest.raises(ValueError, match=r"zero|finite"):
        time_ratio(pair_by_question(timed([1.0], [wrong]), timed([1.0], [1.0])))
