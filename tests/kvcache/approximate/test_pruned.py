"""Pruned caches: which tokens a method keeps, held to the model's own attention, and what is left when all are kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from stored_caches import context as tokens_of
from transformers import AutoConfig, AutoModelForCausalLM

from rmtbench.errors import UserError
from rmtbench.kvcache.approximate import pruned
from rmtbench.kvcache.approximate.pruned import METHODS, SINKS, prune
from rmtbench.kvcache.base import PrefixKV
from rmtbench.kvcache.exact.prefill import prefill
from rmtbench.kvcache.exact.shared import shared_prefix
from rmtbench.models.load import load_model
from rmtbench.models.local import LocalModel

QUESTIONS = ["Who is it?", "Who is the mayor of Arden, please, and why?"]
TOKENS = 150


@pytest.fixture(scope="module")
def context(tiny_model: LocalModel) -> PrefixKV:
    return prefill(tiny_model.model, tokens_of(TOKENS))


@contextmanager
def eager(model: LocalModel) -> Iterator[None]:
    before = model.model.config._attn_implementation
    model.model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.model.set_attn_implementation(before)


def attentions(model: LocalModel, ids: list[int]) -> list[torch.Tensor]:
    """The model's own weights by layer, ``[kv heads, group, queries, keys]``."""
    with eager(model), torch.inference_mode():
        found = model.model(torch.tensor([ids]), output_attentions=True).attentions
    return [layer[0].unflatten(0, (model.model.config.num_key_value_heads, -1)) for layer in found]


@torch.inference_mode()
def scores_by(method: str, model: LocalModel, context: PrefixKV) -> list[torch.Tensor]:
    return METHODS[method](model, context, 30)


@pytest.mark.parametrize("method", METHODS)
def test_a_cache_that_keeps_all_answers_as_the_exact_one(
    method: str, tiny_model: LocalModel, context: PrefixKV
) -> None:
    longest = max(len(tiny_model.question_ids(question)) for question in QUESTIONS)
    found = []
    for kept in (context, prune(tiny_model, context, 1.0, method)):
        with shared_prefix(tiny_model, kept, longest=longest, batch=2) as held:
            found.append([answer.output_ids for answer in held.generate(QUESTIONS)])
    assert found[0] == found[1]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("keep", [0.01, 0.2, 0.5])
def test_every_head_keeps_its_share_in_order(
    method: str, keep: float, tiny_model: LocalModel, context: PrefixKV
) -> None:
    kept = prune(tiny_model, context, keep, method)
    count = max(SINKS + 1, round(keep * TOKENS))
    assert kept.tokens == TOKENS, "positions go on behind the whole context"
    assert kept.bytes * TOKENS == context.bytes * count
    for small, whole in zip((*kept.keys, *kept.values), (*context.keys, *context.values), strict=True):
        assert small.shape[1] == count
        assert torch.equal(small[:, :SINKS], whole[:, :SINKS])
    for small, whole in zip(kept.keys, context.keys, strict=True):
        places = [[bool((row == each).all()) for row in whole[0]].index(True) for each in small[0]]
        assert places == sorted(places)


def test_streaming_keeps_the_ends(tiny_model: LocalModel, context: PrefixKV) -> None:
    kept = prune(tiny_model, context, 0.2, "streaming")
    assert torch.equal(kept.keys[1][:, SINKS:], context.keys[1][:, -(30 - SINKS) :])


def test_snapkv_scores_are_the_attention_of_the_last(tiny_model: LocalModel, context: PrefixKV) -> None:
    start = TOKENS - pruned.WINDOW
    scores = scores_by("snapkv", tiny_model, context)
    for layer, weights in enumerate(attentions(tiny_model, list(context.token_ids))):
        mean = weights[:, :, start:, :start].mean((1, 2))
        padded = torch.nn.functional.pad(mean, (2, 2))
        smooth = sum(padded[:, shift : shift + start] for shift in range(5)) / 5
        assert torch.allclose(scores[layer][:, :start], smooth, atol=1e-6)
        assert (scores[layer][:, start:] > 1).all()


def test_kvzip_scores_are_attention_while_repeating(
    tiny_model: LocalModel, context: PrefixKV, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruned, "CHUNK_TOKENS", 60)
    scores = scores_by("kvzip", tiny_model, context)
    asked = list(tiny_model.question_ids(pruned.REPEAT))
    for start in (0, 60, 120):
        end = min(start + 60, TOKENS)
        ids = [*context.token_ids, *asked, *context.token_ids[start:end]]
        sinks = min(SINKS, start)  # the first part holds them itself
        among = [*range(sinks), *range(start, end), *range(TOKENS, len(ids))]
        for layer, weights in enumerate(attentions(tiny_model, ids)):
            part = weights[:, :, TOKENS:][..., among]
            shares = (part / part.sum(-1, keepdim=True))[..., sinks : sinks + end - start]
            assert torch.allclose(scores[layer][:, start:end], shares.amax((1, 2)), atol=1e-5)


def test_expected_attention_is_the_mean_over_normal_queries(tiny_model: LocalModel, context: PrefixKV) -> None:
    """Queries drawn with the context's mean and covariance, turned as on average, attend so."""
    scores = scores_by("expected-attention", tiny_model, context)
    model, seen = tiny_model.model, {}
    hooks = [
        layer.self_attn.q_proj.register_forward_hook(lambda _m, _i, out, at=at: seen.update({at: out[0]}))
        for at, layer in enumerate(model.model.layers)
    ]
    with torch.inference_mode():
        model(torch.tensor([list(context.token_ids)]))
    for hook in hooks:
        hook.remove()
    positions = torch.arange(TOKENS, TOKENS + pruned.FUTURE)
    cos, sin = (each[0].double() for each in model.model.rotary_emb(torch.zeros(1), positions[None]))
    for at, (key, value) in enumerate(zip(context.keys, context.values, strict=True)):
        kv_heads, _, width = key.shape
        queries = seen[at][SINKS:].view(TOKENS - SINKS, -1, width).transpose(0, 1).double()
        half = width // 2
        turn = torch.diag(cos.mean(0))
        turn[torch.arange(half), torch.arange(half) + half] -= sin.mean(0)[:half]
        turn[torch.arange(half) + half, torch.arange(half)] += sin.mean(0)[half:]
        expected = []
        for head, rows in enumerate(queries):
            k = key[head // (len(queries) // kv_heads)].double()
            mean = turn @ rows.mean(0)
            covariance = turn @ torch.cov(rows.T, correction=0) @ turn.T
            exponent = k @ mean / width**0.5 + torch.einsum("ni,ij,nj->n", k, covariance, k) / width / 2
            expected.append(exponent[SINKS:].softmax(0))
        by_group = torch.stack(expected).unflatten(0, (kv_heads, -1)).mean(1) * value[:, SINKS:].double().norm(dim=-1)
        assert torch.allclose(scores[at][:, SINKS:].double(), by_group, rtol=1e-3, atol=1e-6)


def test_keys_rotated_in_part_are_refused() -> None:
    small = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = AutoConfig.for_model("phi", vocab_size=300, num_key_value_heads=4, partial_rotary_factor=0.5, **small)
    model = SimpleNamespace(model=AutoModelForCausalLM.from_config(config).eval())
    keys = tuple(torch.zeros(4, 8, 16) for _ in range(2))
    with pytest.raises(UserError, match="does not rotate whole keys"):
        METHODS["expected-attention"](model, PrefixKV(keys, keys, tuple(range(8))), 4)


def test_keys_rotated_in_another_way_are_refused() -> None:
    """Cohere's pairs are neighbours: turned back as halves, its queries would be other ones."""
    small = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = AutoConfig.for_model("cohere", vocab_size=300, num_key_value_heads=4, **small)
    model = SimpleNamespace(model=AutoModelForCausalLM.from_config(config).eval())
    keys = tuple(torch.zeros(4, 8, 16) for _ in range(2))
    with pytest.raises(UserError, match="rotary positions are of another kind") as refused:
        METHODS["expected-attention"](model, PrefixKV(keys, keys, tuple(range(8))), 4)
    assert refused.value.where == "--set prune=expected-attention"


def test_a_pruned_cache_is_not_cut(tiny_model: LocalModel, context: PrefixKV) -> None:
    with pytest.raises(TypeError, match="cannot be cut"):
        prune(tiny_model, context, 0.5, "streaming").cut(0, 10)


def with_positions(positions: int) -> LocalModel:
    """A GPT-2 of random weights that has an embedding for each position, and none beyond."""
    config = AutoConfig.for_model("gpt2", vocab_size=30522, n_positions=positions, n_embd=32, n_layer=1, n_head=2)
    model = load_model("random:tiny")
    made = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval()
    return replace(model, model=made, context_limit=positions)


def test_kvzip_repeats_within_the_models_positions() -> None:
    model = with_positions(400)
    context = prefill(model.model, tokens_of(300))
    kept = prune(model, context, 0.2, "kvzip")
    assert kept.keys[0].shape[1] == 60


def test_kvzip_refuses_where_no_position_is_left() -> None:
    model = with_positions(310)
    context = prefill(model.model, tokens_of(300))
    with pytest.raises(UserError, match=r"leaves \d+ of the model's 310 positions"):
        prune(model, context, 0.2, "kvzip")
