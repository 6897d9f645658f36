"""A row keeps its new token, and attends to prefix and suffix as to one set of keys, at lengths on the device."""

from __future__ import annotations

import pytest
import torch
from suffix_cases import SHAPES, by_rows, make_case

from rmtbench.kvcache.exact.static_step import find_attention
from rmtbench.kvcache.exact.suffix_attention import attend_to_suffixes


@pytest.mark.parametrize("shape", SHAPES)
def test_ragged_rows_see_prefix_own_tokens_and_no_more(shape: tuple[int, ...]) -> None:
    case = make_case(shape, torch.float64)
    expected = by_rows(case)
    found = case.answer(attend_to_suffixes)
    assert torch.allclose(found[case.stepping], expected[case.stepping], atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_new_tokens_are_kept_for_stepping_rows_alone(shape: tuple[int, ...]) -> None:
    case = make_case(shape, torch.float32).to(torch.float32)
    before = [states.clone() for states in case.kept]
    case.answer(attend_to_suffixes)
    for states, old, new in zip(case.kept, before, case.new, strict=True):
        for row in case.stepping.nonzero()[:, 0].tolist():
            place, slot = int(case.slots.places[row]), int(case.slots.lengths[row])
            assert torch.equal(states[place, :, slot], new[row])
            old[place, :, slot] = new[row]
        assert torch.equal(states, old)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-6), (torch.bfloat16, 2**-7)])
def test_error_against_float64_is_one_rounding(shape: tuple[int, ...], dtype: torch.dtype, error: float) -> None:
    """Scores, weights and sums are float32: in bfloat16 what is lost is the prefix's rounding and the output's."""
    case = make_case(shape, dtype)
    expected = by_rows(case)
    found = case.to(dtype).answer(attend_to_suffixes)
    assert found.dtype == dtype
    off = (found.double() - expected).abs()[case.stepping] / expected.abs()[case.stepping].clamp_min(1)
    assert off.max() < error


def test_the_cpu_attends_by_torch() -> None:
    assert find_attention(torch.device("cpu")) == (attend_to_suffixes, "torch")
