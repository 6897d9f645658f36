"""A composed context: moved keys are those that the model would have computed there, and documents cost themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from stored_caches import Shop, context, equal
from transformers import AutoConfig, AutoModelForCausalLM

from rmtbench.errors import UserError
from rmtbench.kvcache.approximate.compose import check_composable, compose, turn
from rmtbench.kvcache.approximate.composed import obtain_composed
from rmtbench.kvcache.approximate.parts import PartCaches
from rmtbench.kvcache.approximate.recompute import beginnings, recompute
from rmtbench.kvcache.base import PrefixKV
from rmtbench.kvcache.exact.prefill import prefill
from rmtbench.models.base import Passage
from rmtbench.models.local import LocalModel
from rmtbench.models.slots import SlotCache

HEAD, FIRST, SECOND, THIRD = (context(tokens, seed) for seed, tokens in enumerate((5, 23, 31, 17)))

TINY = {
    "vocab_size": 30522, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "n_embd": 64, "n_layer": 2, "n_head": 4, "pad_token_id": 0,
    "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip


def composed(model: LocalModel, *documents: Sequence[int]) -> PrefixKV:
    frequencies = check_composable(model.model)
    return compose([HEAD, *documents], lambda ids: prefill(model.model, ids), frequencies)


def close(one: PrefixKV, other: PrefixKV) -> bool:
    pairs = zip((*one.keys, *one.values), (*other.keys, *other.values), strict=True)
    return one.token_ids == other.token_ids and all(torch.allclose(a, b, rtol=0, atol=1e-4) for a, b in pairs)


def at(model: LocalModel, ids: Sequence[int], start: int) -> SlotCache:
    """The same tokens read from another position on."""
    cache = SlotCache(model.model.config.num_hidden_layers, rows=1, capacity=len(ids))
    positions = torch.arange(start, start + len(ids))[None]
    with torch.inference_mode():
        model.model.base_model(torch.tensor([ids]), position_ids=positions, past_key_values=cache, use_cache=True)
    return cache


def small(kind: str, **more: object) -> torch.nn.Module:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{**TINY, **more})).eval()  # type: ignore[no-any-return]


def test_a_single_document_at_its_own_place_is_the_exact_cache(tiny_model: LocalModel) -> None:
    assert close(composed(tiny_model, FIRST), prefill(tiny_model.model, [*HEAD, *FIRST]))


def test_head_alone_is_the_exact_cache(tiny_model: LocalModel) -> None:
    assert close(composed(tiny_model), prefill(tiny_model.model, HEAD))


@pytest.mark.parametrize("shift", [1, 900, 100_000])
def test_moved_keys_are_those_that_model_computes_at_other_place(tiny_model: LocalModel, shift: int) -> None:
    frequencies = check_composable(tiny_model.model)
    for here, there in zip(at(tiny_model, FIRST, 0).layers, at(tiny_model, FIRST, shift).layers, strict=True):
        moved = torch.empty_like(here.keys)
        turn(here.keys[0], shift, frequencies, out=moved[0])
        # The model itself rounds its angles in single precision: half of its last place at 100k is 0.004 radians.
        assert torch.allclose(moved, there.keys, rtol=0, atol=1e-4 if shift < 1000 else 0.05)
        assert not torch.allclose(here.keys, there.keys, rtol=0, atol=0.05)
        assert torch.allclose(here.values, there.values, rtol=0, atol=1e-4 if shift < 1000 else 0.05)


def test_first_layer_and_document_are_exact(tiny_model: LocalModel) -> None:
    found, exact = composed(tiny_model, FIRST, SECOND), prefill(tiny_model.model, [*HEAD, *FIRST, *SECOND])
    assert found.token_ids == exact.token_ids
    end = len(HEAD) + len(FIRST)
    assert close(found.cut(0, end), exact.cut(0, end))
    assert torch.allclose(found.keys[0], exact.keys[0], rtol=0, atol=1e-4)
    assert torch.allclose(found.values[0], exact.values[0], rtol=0, atol=1e-4)
    assert not torch.allclose(found.values[1][:, end:], exact.values[1][:, end:], atol=1e-2)


def test_document_is_same_wherever_it_stands_but_for_keys_turn(tiny_model: LocalModel) -> None:
    one, other = composed(tiny_model, FIRST, SECOND, THIRD), composed(tiny_model, THIRD, SECOND)
    start, there = len(HEAD) + len(FIRST), len(HEAD) + len(THIRD)
    for layer in range(2):
        values = one.values[layer][:, start : start + len(SECOND)]
        assert torch.equal(values, other.values[layer][:, there : there + len(SECOND)])
        moved = torch.empty_like(values)
        found = one.keys[layer][:, start : start + len(SECOND)]
        turn(found, there - start, check_composable(tiny_model.model), out=moved)
        assert torch.allclose(moved, other.keys[layer][:, there : there + len(SECOND)], rtol=0, atol=1e-4)


def test_dropping_and_reordering_documents_reads_nothing(tiny_model: LocalModel) -> None:
    caches, frequencies = PartCaches(tiny_model, 10**9), check_composable(tiny_model.model)
    read: list[int] = []

    def get(ids: Sequence[int]) -> PrefixKV:
        found = caches.get(ids)
        read.append(len(ids) - found.reused_tokens)
        return found.tensors

    compose([HEAD, FIRST, SECOND, THIRD], get, frequencies)
    assert all(read)
    read.clear()
    again = compose([HEAD, THIRD, FIRST], get, frequencies)
    assert read == [0, 0]
    assert equal(again, composed(tiny_model, THIRD, FIRST))


def test_caches_in_memory_stay_below_limit_and_let_oldest_go(tiny_model: LocalModel) -> None:
    a, b, c = (context(20, seed) for seed in (11, 12, 13))
    size = prefill(tiny_model.model, a).bytes
    caches = PartCaches(tiny_model, 2 * size)
    for ids in (a, b, a, c):
        caches.get(ids)
        assert caches.bytes <= 2 * size
    assert [caches.get(ids).reused_tokens for ids in (a, c)] == [20, 20]
    assert caches.get(b).reused_tokens == 0
    assert PartCaches(tiny_model, size - 1).get(a).tensors.tokens == 20


def test_changing_one_document_reads_that_document_alone(tiny_model: LocalModel, tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    changed = context(29, 9)

    def get(*documents: Sequence[int]) -> dict[str, int]:
        found = obtain_composed(tiny_model, [HEAD, *documents], store=shop.store).value
        assert equal(found.tensors, composed(tiny_model, *documents))
        return dict(found.counts(shop.store))

    everything = sum(map(len, (HEAD, FIRST, SECOND, THIRD)))
    assert get(FIRST, SECOND, THIRD) == {"reused_tokens": 0, "read_tokens": everything}
    assert get(THIRD, FIRST, SECOND) == {"reused_tokens": everything, "read_tokens": 0}
    assert get(FIRST, changed, THIRD) == {"reused_tokens": everything - len(SECOND), "read_tokens": len(changed)}
    assert get(changed) == {"reused_tokens": len(HEAD) + len(changed), "read_tokens": 0}
    assert len(shop.folders) == 4


def test_seconds_are_told_by_part(tiny_model: LocalModel) -> None:
    made = obtain_composed(tiny_model, [HEAD, FIRST, SECOND], share=0.25)
    assert list(made.seconds) == ["prefill", "compose", "recompute"]
    assert all(0 < seconds < 10 for seconds in made.seconds.values())
    assert made.value.tensors.tokens == sum(map(len, (HEAD, FIRST, SECOND)))
    assert made.value.counts(None) == {"recomputed_tokens": 8}


LENGTHS = [len(HEAD), len(FIRST), len(SECOND), len(THIRD)]


def test_all_tokens_read_again_are_the_exact_cache(tiny_model: LocalModel) -> None:
    found = composed(tiny_model, FIRST, SECOND, THIRD)
    assert recompute(tiny_model.model, found, LENGTHS, 1.0) == len(SECOND) + len(THIRD)
    assert close(found, prefill(tiny_model.model, found.token_ids))


def test_read_again_are_beginnings_of_all_documents_but_first() -> None:
    assert beginnings([5, 20, 10, 4], 0.3) == [25, 26, 27, 35, 36]
    assert beginnings([5, 20], 0.5) == beginnings([5], 0.5) == []


def test_tokens_read_again_are_exact_as_far_as_seen(tiny_model: LocalModel) -> None:
    found, before = composed(tiny_model, FIRST, SECOND, THIRD), composed(tiny_model, FIRST, SECOND, THIRD)
    exact = prefill(tiny_model.model, found.token_ids)
    chosen = beginnings(LENGTHS, 0.25)
    assert recompute(tiny_model.model, found, LENGTHS, 0.25) == len(chosen)
    others = [place for place in range(found.tokens) if place not in chosen]
    for made, old, right in zip(
        (*found.keys, *found.values), (*before.keys, *before.values), (*exact.keys, *exact.values), strict=True
    ):
        assert torch.equal(made[:, others], old[:, others])
        # Two layers: the second one's keys and values depend on the first one's alone, and those are exact.
        assert torch.allclose(made[:, chosen], right[:, chosen], rtol=0, atol=1e-4)
    assert not torch.allclose(before.values[1][:, chosen], exact.values[1][:, chosen], rtol=0, atol=1e-2)


@pytest.mark.parametrize(
    ("kind", "more", "reason"),
    [
        ("gpt2", {}, "no rotary positions"),
        ("mistral", {"sliding_window": 16}, "sliding-window layers"),
        ("cohere", {}, "rotary positions are of another kind"),
        ("smollm3", {"no_rope_layers": [1, 0]}, "rotary positions are of another kind"),
    ],
)
def test_models_with_immovable_keys_are_refused(kind: str, more: dict[str, object], reason: str) -> None:
    with pytest.raises(UserError, match=reason) as refused:
        check_composable(small(kind, **more))
    assert refused.value.where == "--cache-layout composed or --chunk-cache"


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("qwen2", {}),
        ("gemma", {}),
        ("phi3", {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}}),
    ],
)
def test_rotary_models_of_other_families_are_composed(
    kind: str, more: dict[str, object], tiny_model: LocalModel
) -> None:
    model = replace(tiny_model, model=small(kind, **more))
    found = composed(model, FIRST, SECOND)
    assert torch.allclose(found.keys[0], prefill(model.model, found.token_ids).keys[0], rtol=0, atol=1e-4)


def test_parts_in_a_row_are_the_prompt_itself(tiny_model: LocalModel) -> None:
    passages = [Passage("Arden", "On the Oss."), Passage("Belmo", "Its market is on Fridays.")]
    parts = tiny_model.contract.context_parts(passages)
    assert len(parts) == 3
    assert [token for part in parts for token in part] == tiny_model.context_ids(passages)
