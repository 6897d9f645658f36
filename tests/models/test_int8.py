"""Weights of 8 bits: the product of the quantised weights, half a scale from the full ones, and another model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_models import save_adapter, save_model, write_gguf
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from rmtbench.errors import UserError
from rmtbench.kvcache.exact.trial import OWN, OWN_BATCH, PLAIN, PLAIN_BATCH, SHARED, SHARED_BATCH, try_ways
from rmtbench.models import int8, linear
from rmtbench.models.base import Passage, Prompt
from rmtbench.models.identity import identity_here
from rmtbench.models.int8 import FEW_ROWS, Int8Linear, quantise, stored_bytes, use_int8
from rmtbench.models.llama_step import find_step
from rmtbench.models.load import load_model
from rmtbench.models.local import LocalModel
from rmtbench.models.readers import OwnPrompts

WAYS = (OWN, OWN_BATCH, PLAIN, PLAIN_BATCH, SHARED, SHARED_BATCH)
FIELDS = {"vocab_size": 300, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3,
          "num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.15}  # fmt: skip
IDS = torch.arange(2, 26)[None]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RMTBENCH_CACHE", str(tmp_path / "cache"))


def llama(**more: Any) -> PreTrainedModel:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return LlamaForCausalLM(LlamaConfig(**{**FIELDS, **more})).eval()


def dequantised(model: PreTrainedModel) -> PreTrainedModel:
    """The same model by transformers alone, with the float32 numbers that the 8 bits stand for."""
    plain = copy.deepcopy(model)
    for name, layer in model.named_modules():
        if isinstance(layer, Int8Linear):
            whole = torch.nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None)
            whole.weight.data = layer.integers * layer.scale[:, None]
            whole.bias = layer.bias
            parent, _, last = name.rpartition(".")
            setattr(plain.get_submodule(parent), last, whole)
    return plain


def layer_of(outputs: int, inputs: int, dtype: torch.dtype, *, bias: bool = False) -> torch.nn.Linear:
    torch.manual_seed(outputs)
    return torch.nn.Linear(inputs, outputs, bias=bias).to(dtype)


@pytest.mark.parametrize("shape", [(48, 33), (7, 30), (1024, 576), (3000, 400)])
@pytest.mark.parametrize("rows", [1, FEW_ROWS, 70])
@pytest.mark.parametrize("onednn", [False, True])
def test_product_is_that_of_dequantised_weights(shape: tuple[int, int], rows: int, onednn: bool) -> None:
    layer = Int8Linear(layer_of(*shape, torch.float32, bias=True), by_onednn=onednn)
    given = torch.randn(2, rows, shape[1])
    with torch.inference_mode():
        found = layer(given)
    exact = given.double() @ (layer.integers.double() * layer.scale.double()[:, None]).T + layer.bias.double()
    torch.testing.assert_close(found.double(), exact, atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize("rows", [1, FEW_ROWS, FEW_ROWS + 1, 70])
@pytest.mark.parametrize("width", [64, 16, 36, 40, 33])
def test_product_in_bfloat16_is_exact_to_its_rounding(rows: int, width: int) -> None:
    """Also of widths that torch's operator for few rows reads beyond their end."""
    layer = Int8Linear(layer_of(96, width, torch.bfloat16), by_onednn=False)
    given = torch.randn(rows, width).bfloat16()
    with torch.inference_mode():
        found = layer(given)
    exact = given.double() @ (layer.integers.double() * layer.scale.double()[:, None]).T
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), exact, atol=2**-7 * float(exact.abs().max()), rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_each_weight_is_within_half_a_scale_of_its_own(dtype: torch.dtype) -> None:
    weight = layer_of(200, 300, dtype).weight.detach()
    weight[3], weight[4], weight[5] = 0, weight[4] * 1e-6, weight[5] * 1e-37
    integers, scale = quantise(weight)
    assert integers.dtype == torch.int8
    assert scale.dtype == dtype
    error = (integers.double() * scale.double()[:, None] - weight.double()).abs()
    assert bool((error <= scale.double()[:, None] * 0.5000001).all())
    assert not integers[3].any()


def test_each_channel_uses_its_whole_range() -> None:
    integers, _ = quantise(layer_of(200, 300, torch.float32).weight.detach())
    assert integers.abs().amax(-1).tolist() == [127] * 200


@pytest.mark.parametrize("tied", [False, True])
def test_float_weights_are_freed(tied: bool) -> None:
    model = llama(tie_word_embeddings=tied)
    embedding = model.get_input_embeddings().weight
    before, kept = embedding.clone(), embedding.numel() + (2 * 3 + 1) * 64  # with the norms
    linears = sum(each.weight.numel() for each in model.modules() if type(each) is torch.nn.Linear)
    channels = sum(each.out_features for each in model.modules() if type(each) is torch.nn.Linear)
    told = use_int8(model)
    assert told["bytes"] == stored_bytes(model) == linears + 4 * (channels + kept)
    assert told["bytes_before"] == 4 * (kept + linears - (embedding.numel() if tied else 0))
    assert told["head"] == ("its own 8 bits beside the tied embedding" if tied else "8 bits")
    assert not any(type(each) is torch.nn.Linear for each in model.modules())
    assert torch.equal(model.get_input_embeddings().weight, before)
    assert type(model.get_output_embeddings()) is Int8Linear


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt_neox", "phi"])
def test_logits_are_those_of_the_dequantised_model(kind: str) -> None:
    torch.manual_seed(5)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **FIELDS)).eval()
    full = copy.deepcopy(model)
    use_int8(model)
    with torch.inference_mode():
        found, wanted, native = (each(IDS).logits for each in (model, dequantised(model), full))
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    assert float((found - native).abs().max()) > 1e-4


@pytest.mark.parametrize(("onednn", "sizes"), [
    (False, {}), (False, {"hidden_size": 36, "intermediate_size": 50, "head_dim": 16}),
    (True, {"hidden_size": 512, "intermediate_size": 640, "initializer_range": 0.05}),
])  # fmt: skip
def test_the_step_of_few_operators_serves_int8(
    onednn: bool, sizes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear, "processor_name", lambda: "AMD EPYC" if onednn else "Intel(R) Xeon(R)")
    model = llama(**sizes)
    use_int8(model)
    plain, held = dequantised(model), stored_bytes(model)
    assert find_step(model) is not None
    assert stored_bytes(model) == held
    prompts = OwnPrompts(model, [(list(range(20, 60)), [5, 9, 14])], 8)
    found, said = [prompts.read()], [*range(20, 60), 5, 9, 14]
    for token in (7, 8):
        said.append(token)
        found.append(prompts.step([0], torch.tensor([token])))
    with torch.inference_mode():
        wanted = plain(torch.tensor([said])).logits[0, -3:]
    torch.testing.assert_close(torch.cat(found), wanted, atol=1e-4, rtol=1e-4)


def test_a_layer_that_was_replaced_since_ends_the_step() -> None:
    model = llama()
    use_int8(model)
    assert find_step(model) is not None
    model.model.layers[0].mlp.gate_proj = torch.nn.Linear(64, 96, bias=False)
    assert find_step(model) is None


@pytest.fixture(scope="module")
def tiny() -> LocalModel:
    return replace(load_model("random:tiny", weights="int8"), max_answer_tokens=8)


@pytest.fixture(scope="module")
def tiny_in_bfloat16() -> LocalModel:
    return load_model("random:tiny", weights="int8", dtype="bfloat16")


def test_every_way_of_reading_is_exact(tiny: LocalModel) -> None:
    assert try_ways(tiny, WAYS) == dict.fromkeys(WAYS, "")


def test_ways_differ_by_rounding_alone_in_bfloat16(tiny_in_bfloat16: LocalModel) -> None:
    assert try_ways(tiny_in_bfloat16, WAYS) == dict.fromkeys(WAYS, "")


def prompts(*questions: str) -> Sequence[Prompt]:
    passages = (Passage("Towns", "Arlen lies north of Bren. Corva is the largest town, and Bren the oldest."),)
    return [Prompt(passages, question) for question in questions]


def test_a_batch_answers_as_single_prompts(tiny: LocalModel) -> None:
    asked = prompts("Which town is the oldest?", "Where is Arlen?", "Which town is the largest of all of them?")
    together = tiny.generate(asked)
    alone = [tiny.generate([each])[0] for each in asked]
    assert [each.output_ids for each in together] == [each.output_ids for each in alone]


def test_provenance_says_what_is_quantised_from_what(tmp_path: Path) -> None:
    gguf = load_model(str(write_gguf(tmp_path / "small.gguf")), weights="int8").provenance
    assert gguf["weights"]["source"] == "gguf"
    assert gguf["quantised"]["weights"] == "int8"
    assert gguf["quantised"]["of"] == gguf["dtype"] == "float32"
    assert gguf["linear"].endswith("by blocks of int8")
    assert gguf["quantised"]["bytes"] < gguf["quantised"]["bytes_before"]


def test_native_weights_say_nothing_of_it() -> None:
    native = load_model("random:tiny").provenance
    assert "quantised" not in native
    assert native == load_model("random:tiny", weights="native").provenance


def test_int8_is_another_model_of_the_same_files(tmp_path: Path) -> None:
    folder = str(save_model(tmp_path / "model"))
    native, few = (load_model(folder, weights=weights).provenance for weights in ("native", "int8"))
    assert native["weights_sha256"] == few["weights_sha256"]
    assert native["parameters"] == few["parameters"]
    assert native["identity"] != few["identity"]
    differing = [part for part, value in native["identity_parts"].items() if value != few["identity_parts"][part]]
    assert differing == ["weights"]
    here = identity_here(folder, weights="int8")
    assert here is not None
    assert here.sha256 == few["identity"]


def test_an_adapter_is_merged_before_its_weights_are_quantised(tmp_path: Path) -> None:
    base = save_model(tmp_path / "base")
    adapter = str(save_adapter(base, tmp_path / "adapter"))
    merged = load_model(str(base), adapter=adapter)
    few = load_model(str(base), adapter=adapter, weights="int8")
    for name in ("q_proj", "v_proj", "o_proj"):
        full = getattr(merged.model.model.layers[0].self_attn, name).weight
        layer = getattr(few.model.model.layers[0].self_attn, name)
        integers, scale = quantise(full.detach())
        assert torch.equal(layer.integers, integers)
        assert torch.equal(layer.scale, scale)
    assert few.provenance["adapter"]["merged"]


def _conv1d() -> PreTrainedModel:
    return AutoModelForCausalLM.from_config(AutoConfig.for_model("gpt2", vocab_size=50, n_embd=16, n_layer=1, n_head=2))


def _quantised() -> PreTrainedModel:
    model = llama()
    model.config.quantization_config = {"quant_method": "gptq"}
    return model


def _infinite() -> PreTrainedModel:
    model = llama()
    model.model.layers[1].mlp.up_proj.weight.data[3, 4] = torch.inf
    return model


@pytest.mark.parametrize(
    ("make", "what", "remedy"),
    [
        (_conv1d, "GPT2LMHeadModel keeps weights in Conv1D (transformer.h.0.attn.c_attn)", "linear layers"),
        (_quantised, "the model's weights are quantised already", "unquantised weights"),
        (_infinite, "a weight is not a finite number (model.layers.1.mlp.up_proj)", "leave --weights out"),
    ],
)
def test_other_weights_are_refused(make: Callable[[], PreTrainedModel], what: str, remedy: str) -> None:
    with pytest.raises(UserError) as caught:
        use_int8(make())
    assert what in caught.value.what
    assert caught.value.where == "--weights int8"
    assert remedy in caught.value.remedy


def test_float16_is_refused_before_anything_is_loaded() -> None:
    with pytest.raises(UserError) as caught:
        load_model("no/such-model", weights="int8", dtype="float16")
    assert (caught.value.where, caught.value.remedy) == ("--weights int8", "give --dtype float32 or bfloat16")


def test_a_layer_has_no_weight_that_could_be_read_as_floats() -> None:
    assert not hasattr(Int8Linear(layer_of(8, 8, torch.float32), by_onednn=False), "weight")


def test_names_of_the_choice_are_those_of_the_option() -> None:
    from typing import get_args

    from rmtbench.options.model import Weights

    assert get_args(Weights) == (int8.NATIVE, int8.INT8)
