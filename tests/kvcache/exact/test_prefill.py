"""A context read in chunks is the context read at once, in bounded memory; one that goes on is a whole one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from stored_caches import context, equal
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from rmtbench.kvcache.base import PrefixKV
from rmtbench.kvcache.exact import attention
from rmtbench.kvcache.exact import chunk_attention as reading
from rmtbench.kvcache.exact.chunk_attention import attend, chunk_attention
from rmtbench.kvcache.exact.prefill import prefill
from rmtbench.kvcache.watching import ReadProgress, Watch
from rmtbench.models.architecture import plain_causal
from rmtbench.models.local import LocalModel
from rmtbench.models.readers import forward
from rmtbench.models.slots import SlotCache

COMMON = {"vocab_size": 20000, "initializer_range": 0.15, "bos_token_id": None, "eos_token_id": None}
WIDTHS = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
WINDOW = {"sliding_window": 24}
FAMILIES: Mapping[str, tuple[str, bool, Mapping[str, Any]]] = {
    "llama": ("llama", True, {**WIDTHS, "num_key_value_heads": 2}),
    "gpt2": ("gpt2", True, {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 512}),
    "qwen2": ("qwen2", True, {**WIDTHS, "num_key_value_heads": 1}),
    "qwen3": ("qwen3", True, {**WIDTHS, "num_key_value_heads": 2, "head_dim": 32}),
    "mistral": ("mistral", True, {**WIDTHS, "num_key_value_heads": 4, "sliding_window": None}),
    "mistral with windows": ("mistral", False, {**WIDTHS, **WINDOW, "num_key_value_heads": 2}),
    "gemma3, layers of two kinds": (
        "gemma3_text",
        False,
        {**WIDTHS, **WINDOW, "num_key_value_heads": 2, "head_dim": 16, "tie_word_embeddings": False},
    ),
}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> tuple[PreTrainedModel, bool]:
    """A model of one architecture, and whether its chunks are read without masks."""
    kind, unmasked, fields = FAMILIES[request.param]
    config = AutoConfig.for_model(kind, **{**COMMON, **fields})
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval(), unmasked


def at_once(model: PreTrainedModel, ids: list[int]) -> SlotCache:
    cache = SlotCache(model.config.num_hidden_layers, rows=1, capacity=len(ids) + 16)
    forward(model, cache, ids, start=0)
    return cache


def holding(tensors: PrefixKV) -> SlotCache:
    cache = SlotCache(len(tensors.keys), rows=1, capacity=tensors.tokens + 16)
    for layer, keys, values in zip(cache.layers, tensors.keys, tensors.values, strict=True):
        layer.lazy_initialization(keys[None], values[None])
        layer.keys[0, :, : tensors.tokens], layer.values[0, :, : tensors.tokens] = keys, values
    cache.window.next = tensors.tokens
    return cache


@pytest.mark.parametrize("chunk", [1, 16, 75, 1000])
def test_logits_and_greedy_answers_are_those_of_one_reading(family: tuple[PreTrainedModel, bool], chunk: int) -> None:
    model, unmasked = family
    assert plain_causal(model) is unmasked
    ids = context()
    whole, chunked = at_once(model, ids), holding(prefill(model, ids, chunk_tokens=chunk))
    token, answer = 7, []
    for step in range(12):
        expected, found = (forward(model, cache, [token], start=len(ids) + step) for cache in (whole, chunked))
        assert (expected - found).abs().max() < 1e-4
        assert expected.argmax() == found.argmax()
        token = int(expected.argmax())
        answer.append(token)
    assert len(set(answer)) > 2, "an answer of one token would agree by chance"


@pytest.mark.parametrize("past", [0, 1, 40])
def test_either_operator_gives_what_plain_softmax_gives(past: int, monkeypatch: pytest.MonkeyPatch) -> None:
    query, key, value = torch.randn(1, 6, 9, 16), torch.randn(1, 2, past + 9, 16), torch.randn(1, 2, past + 9, 16)
    keys, values = key.repeat_interleave(3, 1), value.repeat_interleave(3, 1)
    scores = (query @ keys.transpose(2, 3) * 0.3).masked_fill(~torch.ones(9, past + 9).tril(past).bool(), -torch.inf)
    expected = scores.softmax(-1) @ values
    assert (attend(query, key, value, 0.3) - expected).abs().max() < 1e-6
    monkeypatch.setattr(attention, "_CPU", None)
    assert (attend(query, key, value, 0.3) - expected).abs().max() < 1e-6


def test_the_last_layer_keeps_its_keys_and_attends_to_nothing(
    tiny_model: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its outputs would serve logits alone, and a reading computes none."""
    widths = []

    def noting(query: torch.Tensor, *others: Any) -> torch.Tensor:
        widths.append(query.shape[2])
        return attend(query, *others)

    monkeypatch.setattr(reading, "attend", noting)
    prefill(tiny_model.model, context(75), chunk_tokens=50)
    assert tiny_model.model.config.num_hidden_layers == 2
    assert widths == [50, 25]


def test_models_attention_is_back_after_reading_and_after_error(tiny_model: LocalModel) -> None:
    with chunk_attention(tiny_model.model):
        assert tiny_model.model.config._attn_implementation != "sdpa"
    assert tiny_model.model.config._attn_implementation == "sdpa"
    with pytest.raises(KeyError), chunk_attention(tiny_model.model):
        raise KeyError
    assert tiny_model.model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("first", [16, 48, 75])
def test_going_on_from_a_beginning_gives_the_same_bits(tiny_model: LocalModel, first: int) -> None:
    ids, read = context(), []
    whole = prefill(tiny_model.model, ids, chunk_tokens=16)
    begun = PrefixKV(
        tuple(keys[:, :first].clone() for keys in whole.keys),
        tuple(values[:, :first].clone() for values in whole.values),
        tuple(ids[:first]),
    )
    watch = Watch(reading=lambda reading: read.append(reading.done))
    assert equal(prefill(tiny_model.model, ids, chunk_tokens=16, known=begun, watch=watch), whole)
    assert read == [done for done in (16, 32, 48, 64, 75) if done > first]


def test_beginning_of_another_text_or_part_chunk_is_refused(tiny_model: LocalModel) -> None:
    begun = prefill(tiny_model.model, context(32), chunk_tokens=16)
    for ids, chunk in ((context(75, seed=1), 16), (context(75), 24), ([], 16)):
        with pytest.raises(ValueError, match="are no beginning of"):
            prefill(tiny_model.model, ids, chunk_tokens=chunk, known=begun if ids else None)


def test_every_chunk_is_told_with_speed_and_handed_over_in_order(tiny_model: LocalModel) -> None:
    told: list[ReadProgress] = []
    kept: list[tuple[int, int]] = []
    prefill(
        tiny_model.model,
        context(),
        chunk_tokens=32,
        keep=lambda start, chunk: kept.append((start, chunk.tokens)),
        watch=Watch(reading=told.append),
    )
    assert [(reading.done, reading.total) for reading in told] == [(32, 75), (64, 75), (75, 75)]
    assert all(reading.tokens_per_second > 0 for reading in told)
    assert kept == [(0, 32), (32, 32), (64, 11)]


def test_no_forward_is_longer_than_chunk_and_no_logits_are_made(tiny_model: LocalModel) -> None:
    widest: list[int] = []
    handles = [
        tiny_model.model.get_input_embeddings().register_forward_pre_hook(
            lambda _, given: widest.append(given[0].numel())
        ),
        tiny_model.model.get_output_embeddings().register_forward_hook(lambda *_: pytest.fail("logits were computed")),
    ]
    tensors = prefill(tiny_model.model, context(), chunk_tokens=32)
    for handle in handles:
        handle.remove()
    assert widest == [32, 32, 11]
    assert all(part.is_contiguous() and part.shape == (2, 75, 16) for part in (*tensors.keys, *tensors.values))


def test_an_empty_context_is_refused(tiny_model: LocalModel) -> None:
    with pytest.raises(ValueError, match="no beginning"):
        prefill(tiny_model.model, [])
