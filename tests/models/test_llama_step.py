"""The step of few operators: the numbers of the model's own forward, over weights that stay as they are."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any
from weakref import ref

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from rmtbench.models.int8 import use_int8
from rmtbench.models.linear import use_onednn
from rmtbench.models.llama_step import find_step
from rmtbench.models.native.build import library
from rmtbench.models.native.step import CompiledLayers
from rmtbench.models.readers import OwnPrompts

FIELDS = {
    "vocab_size": 300,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.15,
    "bos_token_id": None,
    "eos_token_id": None,
}
ROPES: dict[str, dict[str, Any]] = {
    "default": {"rope_type": "default", "rope_theta": 10000.0},
    "linear": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0},
    "yarn": {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 64},
}
CONTEXT, TAIL = list(range(20, 60)), [5, 9, 14]


def llama(**more: Any) -> PreTrainedModel:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return LlamaForCausalLM(LlamaConfig(**{**FIELDS, **more})).eval()


def whole_forward(model: PreTrainedModel, ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = model(torch.tensor([ids])).logits[0, -1:]
        return logits


@pytest.mark.parametrize("rope", ROPES)
@pytest.mark.parametrize("heads", [(4, 2), (4, 4), (4, 1)])
@pytest.mark.parametrize("code", ["compiled", "torch", "oneDNN"])
def test_steps_are_those_of_the_models_own_forward(
    rope: str, heads: tuple[int, int], code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    onednn = code == "oneDNN"
    if code != "compiled":
        monkeypatch.setattr("rmtbench.models.llama_step.compile_layers", lambda _parts: "not wanted")
    wide = {"hidden_size": 512, "intermediate_size": 640, "initializer_range": 0.05} if onednn else {}
    model = llama(num_attention_heads=heads[0], num_key_value_heads=heads[1], rope_parameters=ROPES[rope], **wide)
    if onednn and use_onednn(model) != "oneDNN":
        pytest.skip("this processor multiplies by torch's own choice")
    prompts = OwnPrompts(model, [(CONTEXT, TAIL)], 8)
    assert prompts._step is not None
    found, said = [prompts.read()], [*CONTEXT, *TAIL]
    for token in (7, 200, 31):
        said.append(token)
        found.append(prompts.step([0], torch.tensor([token])))
    for made, logits in zip(range(len(said) - 3, len(said) + 1), found, strict=True):
        assert torch.allclose(logits, whole_forward(model, said[:made]), atol=1e-4, rtol=1e-4)


def like_llama(family: str, **more: Any) -> PreTrainedModel:
    """A model whose biases and norms of heads are no zeros and ones."""
    config = AutoConfig.for_model(family, **{**FIELDS, "head_dim": 16, **more})
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config).eval()
        for name, weight in model.named_parameters():
            if name.endswith("bias") or "norm" in name:
                torch.nn.init.normal_(weight, 0.8, 0.3)
    return model


@pytest.mark.parametrize("code", ["compiled", "torch", "oneDNN"])
@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("family", ["mistral", "qwen2", "qwen3"])
def test_steps_of_families_like_llama_are_their_own(
    family: str, int8: bool, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = like_llama(family, sliding_window=None)
    if int8:
        use_int8(model)
    if code == "oneDNN":
        monkeypatch.setattr("rmtbench.models.linear.LEAST_WEIGHTS", 1)
        if not int8 and use_onednn(model) != "oneDNN":
            pytest.skip("this processor multiplies by torch's own choice")
    if code != "compiled":
        monkeypatch.setattr("rmtbench.models.llama_step.compile_layers", lambda _parts: "not wanted")
    step = find_step(model)
    assert step is not None
    assert isinstance(step._compiled, CompiledLayers) == (code == "compiled" and not isinstance(library(), str))
    prompts, said = OwnPrompts(model, [(CONTEXT, TAIL)], 8), [*CONTEXT, *TAIL]
    prompts.read()
    for token in (7, 200, 31):
        said.append(token)
        found = prompts.step([0], torch.tensor([token]))
        assert torch.allclose(found, whole_forward(model, said), atol=1e-4, rtol=1e-4)


def test_the_weights_keep_their_numbers_and_are_stored_once() -> None:
    model = llama()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    first, second = find_step(model), find_step(model)
    assert first is not None
    assert second is not None
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    for one, other in zip(first._layers, second._layers, strict=True):
        assert one.query_key_value.matrix.numbers.data_ptr() == other.query_key_value.matrix.numbers.data_ptr()
        assert one.gate_up.matrix.numbers.data_ptr() == other.gate_up.matrix.numbers.data_ptr()
    attention = model.model.layers[1].self_attn
    assert attention.q_proj.weight.data_ptr() == first._layers[1].query_key_value.matrix.numbers.data_ptr()


def test_a_model_that_would_compute_something_else_is_left_alone() -> None:
    assert find_step(llama(attention_bias=True)) is None
    assert find_step(llama(mlp_bias=True)) is None
    assert find_step(llama(hidden_act="gelu")) is None
    assert find_step(llama(rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0})) is None
    assert find_step(llama().to(torch.bfloat16)) is None
    assert find_step(like_llama("mistral", sliding_window=8)) is None
    assert find_step(like_llama("qwen2", use_sliding_window=True, sliding_window=8, max_window_layers=1)) is None
    assert find_step(AutoModelForCausalLM.from_config(AutoConfig.for_model("phi3", **FIELDS, pad_token_id=0))) is None


def test_a_model_with_an_adapter_in_training_is_left_alone() -> None:
    model = llama()
    assert find_step(model) is not None
    config = LoraConfig(r=2, target_modules=["q_proj"], layers_to_transform=[2], task_type="CAUSAL_LM")
    adapted: Any = get_peft_model(model, config)
    assert find_step(adapted.get_base_model()) is None


def test_a_model_whose_layers_are_hooked_is_left_alone() -> None:
    model = llama()
    model.model.layers[2].register_forward_hook(lambda _module, _given, made: made)
    assert find_step(model) is None


def answers_of(model: PreTrainedModel) -> list[torch.Tensor]:
    prompts = OwnPrompts(model, [(CONTEXT, TAIL)], 8)
    return [prompts.read(), prompts.step([0], torch.tensor([7]))]


def own_answers_of(model: PreTrainedModel) -> list[torch.Tensor]:
    return [whole_forward(model, [*CONTEXT, *TAIL]), whole_forward(model, [*CONTEXT, *TAIL, 7])]


class Doubled(torch.nn.Module):
    """A norm of another class, with the same weight and epsilon as the one that it replaces."""

    def __init__(self, norm: Any) -> None:
        super().__init__()
        self.norm, self.weight, self.variance_epsilon = norm, norm.weight, norm.variance_epsilon

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        doubled: torch.Tensor = 2 * self.norm(hidden)
        return doubled


def replace_norm(model: Any) -> None:
    model.model.layers[1].input_layernorm = Doubled(model.model.layers[1].input_layernorm)


def replace_last_norm(model: Any) -> None:
    model.model.norm = Doubled(model.model.norm)


def replace_forward(model: Any) -> None:
    mlp = model.model.layers[1].mlp
    plain = mlp.forward
    mlp.forward = lambda hidden: 2 * plain(hidden)


def replace_own_forward(model: Any) -> None:
    attention = model.model.layers[0].self_attn
    plain = attention.forward
    attention.forward = lambda *given, **named: (plain(*given, **named)[0] * 2, None)


def move_norms_floor(model: Any) -> None:
    model.model.layers[2].post_attention_layernorm.variance_epsilon = 0.5


CHANGES = [replace_norm, replace_last_norm, replace_forward, replace_own_forward]


@pytest.mark.parametrize("change", [*CHANGES, move_norms_floor])
def test_a_changed_model_answers_by_its_own_forward(change: Callable[[Any], None]) -> None:
    model = llama()
    before = own_answers_of(model)
    change(model)
    assert find_step(model) is None
    expected = own_answers_of(model)
    assert not torch.allclose(before[1], expected[1], atol=1e-3)
    for found, own in zip(answers_of(model), expected, strict=True):
        assert torch.allclose(found, own, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_after_the_first_prompt_is_seen_too(change: Callable[[Any], None]) -> None:
    model = llama()
    assert find_step(model) is not None
    change(model)
    assert find_step(model) is None


def test_a_step_is_made_once_for_a_model_and_goes_with_it() -> None:
    model = llama()
    made = find_step(model)
    assert find_step(model) is made
    gone = ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_a_step_is_made_anew_when_weights_were_replaced() -> None:
    model: Any = llama()
    made = find_step(model)
    down = model.model.layers[1].mlp.down_proj
    down.weight.data = down.weight.data * 2
    assert find_step(model) is not made
    for found, own in zip(answers_of(model), own_answers_of(model), strict=True):
        assert torch.allclose(found, own, atol=1e-4, rtol=1e-4)
    down.weight = torch.nn.Parameter(down.weight.detach() * 2)
    for found, own in zip(answers_of(model), own_answers_of(model), strict=True):
        assert torch.allclose(found, own, atol=1e-4, rtol=1e-4)


def test_a_hook_that_is_taken_away_again_gives_the_step_back() -> None:
    model = llama()
    made = find_step(model)
    hook = model.model.layers[2].register_forward_hook(lambda _module, _given, made: made)
    assert find_step(model) is None
    hook.remove()
    assert find_step(model) is made
