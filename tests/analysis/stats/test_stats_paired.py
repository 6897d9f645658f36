"""Two systems on the same questions, and the ratio of their times."""

import math
import statistics

import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from rmtbench.analysis.stats.paired import compare, pair_by_question
from rmtbench.analysis.stats.power import minimum_detectable_effect
from rmtbench.analysis.stats.times import time_ratio

scores = st.dictionaries(st.tuples(st.integers(0, 4), st.sampled_from("abcdef")), st.floats(0, 1), min_size=1)


def test_questions_are_paired_by_draw_and_name_and_the_others_counted():
    first = {(1, "a"): 0.5, (0, "b"): 1.0, (0, "a"): 0.0, (2, "a"): 1.0}
    pairs = pair_by_question(first, {(0, "a"): 0.25, (0, "b"): 0.75, (1, "a"): 0.5, (1, "b"): 0.0, (3, "a"): 0.0})
    assert pairs.clusters == (((0.0, 0.25), (1.0, 0.75)), ((0.5, 0.5),))
    assert (pairs.only_first, pairs.only_second) == (1, 2)
    result = compare(pairs, seed=0)
    assert (result.only_first, result.only_second) == (1, 2)


def test_what_is_hard_for_both_cancels():
    # Draws differ by 0.6, the systems by 0.1 or 0.12 in each.
    hard = [0.1, 0.7, 0.2, 0.6, 0.3, 0.5, 0.4]
    first = {(draw, name): ease for draw, ease in enumerate(hard) for name in "ab"}
    second = {key: value + (0.1 if key[1] == "a" else 0.12) for key, value in first.items()}
    result = compare(pair_by_question(first, second), seed=0)
    assert result.difference.mean == pytest.approx(-0.11)
    assert result.difference.standard_error < 1e-9
    assert result.test.p == 2 / 2**7


def test_with_one_question_a_draw_it_is_scipys_paired_interval():
    first = dict(zip([(draw, "q") for draw in range(8)], [0.5, 0.25, 1, 0, 0.75, 1, 0.5, 0.5], strict=True))
    second = dict(zip(first, [0.25, 0.5, 0.5, 0, 0.5, 0.75, 0.5, 0], strict=True))
    result = compare(pair_by_question(first, second), seed=0, level=0.9)
    expected = scipy.stats.ttest_rel(list(first.values()), list(second.values())).confidence_interval(0.9)
    assert (result.difference.low, result.difference.high) == pytest.approx(tuple(expected))
    assert result.detectable == minimum_detectable_effect(result.difference.standard_error, 8)
    assert (result.bootstrap.level, result.bootstrap.clusters, result.test.clusters) == (0.9, 8, 8)


@settings(deadline=None, max_examples=30)
@given(scores, scores)
def test_exchanging_the_systems_turns_the_sign_and_keeps_the_p(first, second):
    if not first.keys() & second.keys():
        with pytest.raises(ValueError, match="no value"):
            compare(pair_by_question(first, second), seed=0)
        return
    one = compare(pair_by_question(first, second), seed=0, resamples=50)
    other = compare(pair_by_question(second, first), seed=0, resamples=50)
    assert other.difference.mean == -one.difference.mean
    assert other.test == one.test
    assert (other.only_first, other.only_second) == (one.only_second, one.only_first)


def test_one_draw_has_a_difference_and_nothing_that_says_how_sure():
    result = compare(pair_by_question({(0, "a"): 1.0, (0, "b"): 1.0}, {(0, "a"): 0.0, (0, "b"): 1.0}), seed=0)
    assert result.difference.mean == 0.5
    known = (result.difference.standard_error, result.difference.low, result.bootstrap, result.test, result.detectable)
    assert known == (None,) * 5


def timed(*draws):
    return {(draw, str(question)): value for draw, values in enumerate(draws) for question, value in enumerate(values)}


def test_a_ratio_of_times_is_geometric_so_that_long_questions_weigh_no_more():
    ratio = time_ratio(pair_by_question(timed([2.0, 800.0], [6.0]), timed([1.0, 100.0], [3.0])))
    assert ratio.ratio == pytest.approx((2 * 8 * 2) ** (1 / 3))
    assert (ratio.questions, ratio.clusters) == (3, 2)


def test_its_interval_is_that_of_the_logarithms():
    first, second = [2.0, 3.0, 5.0, 8.0], [1.0, 2.0, 2.0, 3.0]
    logs = [math.log(a / b) for a, b in zip(first, second, strict=True)]
    low, high = scipy.stats.t.interval(0.95, 3, statistics.fmean(logs), statistics.stdev(logs) / 2)
    found = time_ratio(pair_by_question(timed(*([each] for each in first)), timed(*([each] for each in second))))
    assert (found.low, found.high) == pytest.approx((math.exp(low), math.exp(high)))


def test_exchanging_the_systems_inverts_ratio_and_interval_and_the_unit_does_not_matter():
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
