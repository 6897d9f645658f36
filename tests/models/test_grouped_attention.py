"""Attention by groups: what a mask that copies no keys gives is what transformers gives with its copies."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from rmtbench.kvcache.exact.plain import read_prefix
from rmtbench.models.base import Passage
from rmtbench.models.decode import Ids, Reader
from rmtbench.models.grouped_attention import attend, saves_copies, serves
from rmtbench.models.local import LocalModel
from rmtbench.models.readers import OwnPrompts, SharedPrefix

CONTEXT = (Passage("Arden", "Arden lies on the river Oss. Its market is held on Fridays. " * 3),)
TAILS = ("Where does the river end, please?", "Who?", "When is the market held, and who may go?")


def masked(rows: int, queries: int, slots: int, dtype: torch.dtype, device: str = "cpu") -> tuple[torch.Tensor, ...]:
    """Random queries, keys and values of 6 heads over 2, and a mask under which each query sees a slot at least."""
    made = torch.Generator().manual_seed(0)
    query = torch.randn(rows, 6, queries, 16, generator=made)
    key, value = (torch.randn(rows, 2, slots, 16, generator=made) for _ in range(2))
    visible = torch.rand(rows, 1, queries, slots, generator=made) > 0.5
    visible[..., 0] = True
    return *(each.to(device, dtype) for each in (query, key, value)), visible.to(device)


@pytest.mark.parametrize(("rows", "queries"), [(1, 5), (3, 5), (3, 1)])
def test_groups_attend_as_heads_with_keys_of_their_own(rows: int, queries: int) -> None:
    query, key, value, visible = masked(rows, queries, 40, torch.float64)
    copies = [states.repeat_interleave(3, 1) for states in (key, value)]
    expected = scaled_dot_product_attention(query, *copies, attn_mask=visible, scale=0.3)
    assert (attend(query, key, value, visible, 0.3) - expected).abs().max() < 1e-12


def test_keys_in_a_window_of_a_larger_cache_are_not_copied() -> None:
    query, key, value, visible = masked(3, 5, 40, torch.float32)
    whole = torch.randn(3, 2, 100, 16)
    whole[:, :, 20:60] = key
    view = whole[:, :, 20:60]
    assert view.flatten(0, 1).data_ptr() == view.data_ptr()
    assert torch.equal(attend(query, view, value, visible, 0.3), attend(query, key, value, visible, 0.3))


def logits(reader: Reader, answers: list[Ids]) -> torch.Tensor:
    rows, steps = range(len(answers)), zip(*answers, strict=True)
    return torch.cat([reader.read(), *(reader.step(rows, torch.tensor(step)) for step in steps)])


@pytest.mark.parametrize("count", [1, 3])
def test_own_prompts_by_groups_have_the_models_logits(tiny_model: LocalModel, count: int) -> None:
    assert serves(tiny_model.model)
    context = tiny_model.context_ids(CONTEXT)
    pairs = [(context[: 20 * row or None], tiny_model.question_ids(TAILS[row])) for row in range(count)]
    answers: list[Ids] = [[11, 12], [13, 14], [15, 16]][:count]
    by_groups, own = (logits(OwnPrompts(tiny_model.model, pairs, 4, grouped=on), answers) for on in (True, False))
    assert (by_groups - own).abs().max() < 1e-4


@pytest.mark.parametrize("count", [1, 3])
def test_a_plain_prefix_by_groups_has_the_models_logits(tiny_model: LocalModel, count: int) -> None:
    tails = [tiny_model.question_ids(tail) for tail in TAILS[:count]]
    answers: list[Ids] = [[11, 12], [13, 14], [15, 16]][:count]
    with read_prefix(tiny_model, CONTEXT, TAILS, batch=3).value as prefix:
        assert prefix._cache is not None
        by_groups, own = (
            logits(SharedPrefix(tiny_model.model, prefix._cache, prefix.tokens, tails, grouped=on), answers)
            for on in (True, False)
        )
    assert (by_groups - own).abs().max() < 1e-4


def test_only_a_gpu_and_models_that_share_keys_attend_by_groups(tiny_model: LocalModel) -> None:
    assert not saves_copies(tiny_model.model)
    model = copy.deepcopy(tiny_model.model)
    model.config.num_key_value_heads = model.config.num_attention_heads
    assert not serves(model)


@pytest.mark.gpu
@pytest.mark.parametrize(("rows", "queries"), [(1, 32), (4, 1)])
def test_on_a_gpu_nothing_is_copied_for_each_head(rows: int, queries: int) -> None:
    query, key, value, visible = masked(rows, queries, 50_000, torch.bfloat16, "cuda")
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    found = attend(query, key, value, visible, 0.3)
    taken = torch.cuda.max_memory_allocated() - before
    assert taken < 2 * key.nbytes + 3 * visible.nbytes * 2  # with copies for each head: six times the keys and more
    copies = [states.double().repeat_interleave(3, 1) for states in (key, value)]
    expected = scaled_dot_product_attention(query.double(), *copies, attn_mask=visible, scale=0.3)
    assert (found.double() - expected).abs().max() < 0.02
