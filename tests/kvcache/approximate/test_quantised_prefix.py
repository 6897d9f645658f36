"""A prefix in few bits: no number is off by more than half a step, and memory is counted with all its scales."""

from __future__ import annotations

import pytest
import torch
from stored_caches import context

from rmtbench.errors import UserError
from rmtbench.kvcache.approximate.quantised import KEY_GROUP, encode, quantise
from rmtbench.kvcache.base import PrefixKV
from rmtbench.kvcache.exact.prefill import prefill
from rmtbench.kvcache.exact.shared import shared_prefix
from rmtbench.models.local import LocalModel

QUESTIONS = ["Who is it?", "Who is the mayor of Arden, please, and why?", "Where?"]


def numbers(tokens: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Two heads of sixteen channels, of which some are far out, as keys' are."""
    made = torch.randn(2, tokens, 16, generator=torch.Generator().manual_seed(seed))
    return (made * torch.logspace(-1, 2, 16) + torch.linspace(-50, 50, 16)).to(dtype)


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("by_channel", [True, False])
@pytest.mark.parametrize("tokens", [1, KEY_GROUP, KEY_GROUP * 2 + 7])
def test_no_number_is_further_off_than_half_step_of_own_group(bits: int, by_channel: bool, tokens: int) -> None:
    exact = numbers(tokens)
    group = KEY_GROUP if by_channel else 1
    codes = encode(exact, bits, group, by_channel=by_channel)
    read = codes.read()
    assert read.shape == exact.shape
    assert read.dtype == exact.dtype
    if by_channel:
        spans = [exact[:, start : start + group] for start in range(0, tokens, group)]
        steps = torch.cat([(s.amax(1, True) - s.amin(1, True)).expand_as(s) for s in spans], 1) / (2**bits - 1)
    else:
        steps = (exact.amax(2, True) - exact.amin(2, True)) / (2**bits - 1)
    assert bool(((read - exact).abs() <= steps / 2 + 2e-5).all())
    assert bits == 8 or tokens == 1 or not torch.allclose(read, exact, rtol=0, atol=1e-3)


def test_equal_numbers_come_back_as_they_were() -> None:
    assert torch.equal(encode(torch.full((1, 3, 4), 7.5), 4, 1, by_channel=False).read(), torch.full((1, 3, 4), 7.5))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_comes_back_as_half_precision(dtype: torch.dtype) -> None:
    exact = numbers(70, dtype=dtype)
    read = encode(exact, 8, KEY_GROUP, by_channel=True).read()
    assert read.dtype == dtype
    assert torch.allclose(read.float(), exact.float(), rtol=0.01, atol=2.0)


@pytest.mark.parametrize(("bits", "code_bytes"), [(8, 1), (4, 0.5)])
def test_bytes_are_of_codes_scales_and_one_layer(bits: int, code_bytes: float) -> None:
    tokens, layers, heads, width = KEY_GROUP * 3, 5, 2, 16
    states = tuple(numbers(tokens, seed) for seed in range(2 * layers))
    tensors = PrefixKV(states[:layers], states[layers:], tuple(range(tokens)))
    key_scales, value_scales = 2 * 4 * heads * 3 * width, 2 * 4 * heads * tokens
    held = layers * (2 * heads * tokens * width * code_bytes + key_scales + value_scales)
    assert quantise(tensors, bits).bytes == held + 2 * heads * tokens * width * 4
    assert quantise(tensors, bits).tokens == tokens


def test_other_numbers_of_bits_and_odd_pairs_are_refused() -> None:
    tensors = PrefixKV((numbers(3),), (numbers(3),), (1, 2, 3))
    odd = PrefixKV((numbers(3)[..., :15],), (numbers(3),), (1, 2, 3))
    with pytest.raises(ValueError, match="5 bits"):
        quantise(tensors, 5)
    with pytest.raises(UserError, match="heads of 15 numbers cannot be put in pairs") as refused:
        quantise(odd, 4)
    assert (refused.value.where, refused.value.remedy) == ("--set kv-bits=4", "use --set kv-bits=8 with this model")
    assert torch.allclose(quantise(odd, 8).keys[0], odd.keys[0], rtol=0.01, atol=2.0)


@pytest.mark.parametrize("bits", [8, 4])
def test_answers_equal_exact_attention_over_decoded_numbers(tiny_model: LocalModel, bits: int) -> None:
    few = quantise(prefill(tiny_model.model, context(150)), bits)
    plain = PrefixKV([*few.keys], [*few.values], few.token_ids)
    longest = max(len(tiny_model.question_ids(question)) for question in QUESTIONS)
    found = []
    for tensors in (few, plain):
        with shared_prefix(tiny_model, tensors, longest=longest, batch=2) as held:
            found.append([answer.output_ids for answer in held.generate(QUESTIONS)])
    assert found[0] == found[1]


def test_eight_bits_are_nearer_than_four(tiny_model: LocalModel) -> None:
    exact = prefill(tiny_model.model, context(150))
    off = {}
    for bits in (8, 4):
        few = quantise(exact, bits)
        pairs = zip((*few.keys, *few.values), (*exact.keys, *exact.values), strict=True)
        off[bits] = max(float((one - other).norm() / other.norm()) for one, other in pairs)
    assert 0 < off[8] < 0.01 < off[4] < 0.2
