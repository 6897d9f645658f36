"""The Triton kernel computes what the reference in torch does; without a GPU, Triton's interpreter runs it."""

from __future__ import annotations

import os
import sys

import pytest
import torch
from suffix_cases import SHAPES, by_rows, make_case

from rmtbench.kvcache.exact.suffix_attention import attend_to_suffixes

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    if "triton" in sys.modules and os.environ.get("TRITON_INTERPRET") != "1":
        pytest.skip("Triton is loaded without its interpreter: run this file alone", allow_module_level=True)
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is loaded

pytest.importorskip("triton", reason="Triton is not installed")
suffix_kernel = pytest.importorskip("rmtbench.kvcache.exact.suffix_kernel")
pytestmark = [pytest.mark.gpu] if DEVICE == "cuda" else []
"""Where there is a GPU, `make gpu` runs them there."""


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-6), (torch.bfloat16, 2**-6)])
def test_error_against_float64_is_one_rounding(shape: tuple[int, ...], dtype: torch.dtype, error: float) -> None:
    """Triton's interpreter cuts to bfloat16 where a GPU rounds, so one place of the last bit more is allowed."""
    case = make_case(shape, dtype)
    expected = by_rows(case)
    found = case.to(dtype, DEVICE).answer(suffix_kernel.attend_to_suffixes)
    assert found.dtype == dtype
    off = (found.double().cpu() - expected).abs()[case.stepping] / expected.abs()[case.stepping].clamp_min(1)
    assert off.max() < error


@pytest.mark.parametrize("shape", SHAPES)
def test_it_computes_and_keeps_what_the_reference_does(shape: tuple[int, ...]) -> None:
    made = make_case(shape, torch.float32)
    ours, reference = made.to(torch.float32, DEVICE), made.to(torch.float32, DEVICE)
    found, expected = ours.answer(suffix_kernel.attend_to_suffixes), reference.answer(attend_to_suffixes)
    assert torch.allclose(found[ours.stepping], expected[ours.stepping], atol=1e-6)
    assert all(torch.equal(*both) for both in zip(ours.kept, reference.kept, strict=True))


def test_strides_of_the_prefixs_outputs_are_heeded() -> None:
    """They come head by head: `attend_to_prefix` returns views whose rows do not lie side by side."""
    case = make_case(SHAPES[2], torch.float32).to(torch.float32, DEVICE)
    out, lse = case.prefix
    turned = out.transpose(0, 1).contiguous().transpose(0, 1), lse.t().contiguous().t()
    expected = case.answer(suffix_kernel.attend_to_suffixes)
    given = (case.query, case.new, case.kept, case.slots, turned, 0.2)
    assert torch.equal(suffix_kernel.attend_to_suffixes(*given), expected)
