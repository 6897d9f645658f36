"""Large linear layers by oneDNN: the same numbers, only where they serve, and said in a run's provenance."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from rmtbench.models import linear
from rmtbench.models.linear import LEAST_WEIGHTS, ONEDNN, TORCH, OneDnnLinear, use_onednn

IDS = torch.arange(24)[None]


@pytest.fixture
def model() -> LlamaForCausalLM:
    """A model with one large layer, its head, and small ones."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=2 * LEAST_WEIGHTS // 64,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    return LlamaForCausalLM(config).eval()


pytestmark = pytest.mark.skipif(
    not (torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()), reason="torch has no MKL here"
)


@pytest.fixture
def _not_intel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "processor_name", lambda: "AMD EPYC")


@pytest.mark.usefixtures("_not_intel")
@pytest.mark.parametrize("rows", [1, 2, 24])
def test_logits_are_those_of_torch_to_rounding(model: LlamaForCausalLM, rows: int) -> None:
    plain = copy.deepcopy(model)
    assert use_onednn(model) == ONEDNN
    with torch.inference_mode():
        wanted, found = plain(IDS[:, :rows]).logits, model(IDS[:, :rows]).logits
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.usefixtures("_not_intel")
def test_only_large_layers_are_changed(model: LlamaForCausalLM) -> None:
    use_onednn(model)
    changed = [name for name, layer in model.named_modules() if isinstance(layer, OneDnnLinear)]
    assert changed == ["lm_head"]


@pytest.mark.usefixtures("_not_intel")
def test_gradients_are_those_of_torch(model: LlamaForCausalLM) -> None:
    plain = copy.deepcopy(model)
    use_onednn(model)
    for each in (plain, model):
        each(IDS, labels=IDS).loss.backward()
    assert torch.equal(plain.lm_head.weight.grad, model.lm_head.weight.grad)  # type: ignore[arg-type]


@pytest.mark.usefixtures("_not_intel")
def test_in_mixed_precision_torch_multiplies(model: LlamaForCausalLM) -> None:
    use_onednn(model)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert model(IDS).logits.dtype == torch.bfloat16


def test_a_bias_is_added() -> None:
    torch.manual_seed(0)
    layer, row = torch.nn.Linear(512, 600), torch.randn(3, 512)
    with torch.inference_mode():
        wanted = layer(row)
        layer.__class__ = OneDnnLinear
        torch.testing.assert_close(layer(row), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.usefixtures("_not_intel")
def test_another_precision_is_left_as_it_is(model: LlamaForCausalLM) -> None:
    assert use_onednn(model.bfloat16()) == TORCH
    assert not any(isinstance(layer, OneDnnLinear) for layer in model.modules())


def test_on_intel_torch_multiplies(model: LlamaForCausalLM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "processor_name", lambda: "Intel(R) Xeon(R) Platinum 8481C")
    assert use_onednn(model) == TORCH
