"""Holm's correction against cases by hand and its bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmtbench.analysis.stats.multiple import holm

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def test_a_case_by_hand():
    # 4 * .01, 3 * .02, then 2 * .025 = .05 raised to .06, then 1 * .6.
    assert holm([0.6, 0.01, 0.025, 0.02]) == pytest.approx((0.6, 0.04, 0.06, 0.06))


@given(p_values)
def test_it_keeps_order_and_lies_between_value_and_bonferronis(listed):
    adjusted = holm(listed)
    by_value = [after for _, after in sorted(zip(listed, adjusted, strict=True))]
    assert by_value == sorted(by_value)
    for before, after in zip(listed, adjusted, strict=True):
        assert before <= after <= min(1.0, len(listed) * before)
    assert min(adjusted) == min(1.0, len(listed) * min(listed))


@given(p_values, st.randoms(use_true_random=False))
def test_the_order_of_the_comparisons_does_not_matter(listed, chance):
    order = chance.sample(range(len(listed)), len(listed))
    assert holm([listed[place] for place in order]) == tuple(holm(listed)[place] for place in order)


@given(p_values, st.integers(0, 11), st.floats(0, 1))
def test_a_smaller_p_makes_none_larger(listed, place, share):
    smaller = list(listed)
    smaller[place % len(listed)] *= share
    assert all(after <= before for after, before in zip(holm(smaller), holm(listed), strict=True))


def test_undefined_comparison_stays_undefined_and_is_not_counted():
    assert holm([None, 0.01, None, 0.03]) == pytest.approx((None, 0.02, None, 0.03))
    assert holm([]) == ()


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan")])
def test_what_is_no_probability_is_refused(wrong):
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.5, wrong])
