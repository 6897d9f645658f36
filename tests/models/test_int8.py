"""Weights in 8 bits: how far they are off, by either way of multiplying, and what they take."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from rmtbench.models.int8 import FEW_ROWS, Int8Linear, encode, multiply, quantise_weights


def weights(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_a_weight_is_off_by_half_a_step_at_most() -> None:
    weight = weights(6, 40)
    codes, scale = encode(weight)
    assert (codes.float() * scale[:, None] - weight).abs().max() <= scale.max() / 2 + 1e-6
    assert torch.allclose(scale, weight.abs().amax(1) / 127)


def test_a_channel_of_zeros_stays_zero() -> None:
    codes, scale = encode(torch.zeros(2, 8))
    assert not codes.any()
    assert torch.equal(scale, torch.ones(2))


@pytest.mark.parametrize("rows", [1, 5, FEW_ROWS, FEW_ROWS + 1, 200])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_few_rows_and_many_are_multiplied_alike(rows: int, dtype: torch.dtype) -> None:
    codes, scale = encode(weights(48, 64))
    given = weights(rows, 64, seed=1).to(dtype)
    exact = given.double() @ (codes.double() * scale.to(dtype).double()[:, None]).t()
    found = multiply(given, codes, scale.to(dtype))
    assert found.dtype == dtype
    assert torch.allclose(found.double(), exact, atol=1e-4 if dtype == torch.float32 else 0.5)


def test_a_layer_keeps_its_bias_and_its_shape() -> None:
    torch.manual_seed(0)
    layer = torch.nn.Linear(64, 48)
    given = weights(2, 3, 64, seed=1)
    found, expected = Int8Linear(layer)(given), layer(given)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < 0.05


def test_every_linear_layer_of_a_model_is_changed_and_no_other() -> None:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=300, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        tie_word_embeddings=True,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    ids = torch.tensor([[5, 9, 20, 41]])
    with torch.inference_mode():
        before = model(ids).logits
        assert quantise_weights(model) == 2 * 7 + 1
        after = model(ids).logits
    assert 0 < (after - before).abs().max() < 0.1 * before.std()
    assert model.get_input_embeddings().weight.dtype == torch.float32
