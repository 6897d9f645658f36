"""Attention over a prefix and over suffixes, merged by log-sum-exps, is attention over all keys, by either operator."""

from __future__ import annotations

import pytest
import torch

from rmtbench.kvcache.base import PrefixKV
from rmtbench.kvcache.exact import attention, shared_attention
from rmtbench.kvcache.exact.attention import attend, attend_by_matmul, attend_to_prefix, merge
from rmtbench.kvcache.exact.suffixes import Suffixes, plan_round

SCALE = 0.3
HEADS = [(4, 4), (4, 2), (6, 1)]
"""Heads and key-value heads: each its own, two a group, one group."""


def states(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def hide(lengths: list[int], keys: int) -> torch.Tensor:
    hidden = torch.arange(keys) >= torch.tensor(lengths)[:, None]
    return torch.zeros(hidden.shape).masked_fill(hidden, -torch.inf)[:, None, None]


def close(found: torch.Tensor, expected: torch.Tensor) -> bool:
    return found.shape == expected.shape and torch.allclose(found, expected, atol=1e-5, rtol=1e-5)


def test_the_fused_operator_of_the_cpu_is_there() -> None:
    """Else every comparison below would be of the fallback with itself."""
    assert attention._CPU is not None


@pytest.mark.parametrize(("heads", "kv_heads"), HEADS)
@pytest.mark.parametrize("case", ["all", "causal", "ragged"])
@pytest.mark.parametrize("keys", [7, 700])
def test_both_operators_agree_on_outputs_and_log_sum_exps(heads: int, kv_heads: int, case: str, keys: int) -> None:
    queries = keys if case == "causal" else 3
    query = states(3, heads, queries, 16)
    key, value = states(3, kv_heads, keys, 16, seed=1), states(3, kv_heads, keys, 16, seed=2)
    bias = hide([keys, 1, keys // 2], keys) if case == "ragged" else None
    fused = attend(query, key, value, SCALE, causal=case == "causal", bias=bias)
    plain = attend_by_matmul(query, key, value, SCALE, causal=case == "causal", bias=bias)
    assert close(fused[0], plain[0])
    assert close(fused[1], plain[1])


@pytest.mark.parametrize("keys", [300, 700])
@pytest.mark.parametrize("case", ["all", "ragged"])
def test_matrix_products_in_bfloat16_are_as_exact_as_fused(case: str, keys: int) -> None:
    """Scores that were rounded to bfloat16 gave a log-sum-exp off by .04."""
    query = states(3, 6, 2, 64)
    key, value = states(3, 2, keys, 64, seed=1), states(3, 2, keys, 64, seed=2)
    bias = hide([keys, 1, keys // 2], keys) if case == "ragged" else None
    query, key, value = (each.bfloat16() for each in (query, key, value))
    out, lse = attend_by_matmul(query, key, value, SCALE, bias=None if bias is None else bias.bfloat16())
    wide = attend_by_matmul(query.double(), key.double(), value.double(), SCALE, bias=bias)
    assert wide[0].dtype == torch.float64
    assert (lse - wide[1]).abs().max() < 1e-4
    assert (out - wide[0]).abs().max() < 0.008, "the output's own rounding"


@pytest.mark.parametrize("case", ["all", "causal", "ragged"])
def test_keys_read_in_blocks_are_keys_read_at_once(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    queries = 50 if case == "causal" else 3
    query = states(2, 4, queries, 16)
    key, value = states(2, 2, 50, 16, seed=1), states(2, 2, 50, 16, seed=2)
    bias = hide([50, 0], 50) if case == "ragged" else None
    whole = attend_by_matmul(query, key, value, SCALE, causal=case == "causal", bias=bias)
    monkeypatch.setattr(attention, "KEY_BLOCK", 8)
    parts = attend_by_matmul(query, key, value, SCALE, causal=case == "causal", bias=bias)
    assert close(parts[0], whole[0])
    assert close(parts[1], whole[1])


def test_a_number_that_is_none_is_not_hidden() -> None:
    query = states(1, 2, 1, 16)
    key = states(1, 2, 5, 16, seed=1).masked_fill(torch.tensor(True), torch.nan)
    assert attend_by_matmul(query, key, key, SCALE)[0].isnan().all()


@pytest.mark.parametrize("operator", [attend, attend_by_matmul])
def test_query_that_sees_no_key_gives_nothing_and_weighs_nothing(operator) -> None:  # type: ignore[no-untyped-def]
    query, key, value = states(2, 4, 1, 16), states(2, 2, 5, 16, seed=1), states(2, 2, 5, 16, seed=2)
    out, lse = operator(query, key, value, SCALE, bias=hide([0, 5], 5))
    assert not out[0].any()
    assert bool((lse[0] == -torch.inf).all())
    prefix = attend(query, states(2, 2, 9, 16, seed=3), states(2, 2, 9, 16, seed=4), SCALE)
    merged = merge(prefix, (out, lse))
    assert torch.equal(merged[0], prefix[0][0])
    assert not torch.allclose(merged[1], prefix[0][1])


@pytest.mark.parametrize(("heads", "kv_heads"), HEADS)
@pytest.mark.parametrize("cut", [1, 30, 59])
def test_two_parts_merged_are_attention_over_the_whole(heads: int, kv_heads: int, cut: int) -> None:
    query = states(2, heads, 3, 16)
    key, value = states(2, kv_heads, 60, 16, seed=1) * 4, states(2, kv_heads, 60, 16, seed=2)
    parts = [attend(query, key[:, :, some], value[:, :, some], SCALE) for some in (slice(0, cut), slice(cut, 60))]
    whole = torch.nn.functional.scaled_dot_product_attention(query, key, value, scale=SCALE, enable_gqa=True)
    assert close(merge(parts[0], parts[1]), whole)
    assert close(merge(parts[1], parts[0]), whole)


@pytest.mark.parametrize(("heads", "kv_heads"), HEADS)
@pytest.mark.parametrize("queries", [1, 2, 40])
@pytest.mark.parametrize("threads", [1, 2, 7])
def test_folded_queries_and_heads_come_back_in_place(
    heads: int, kv_heads: int, queries: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "LEAST_KEYS", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    query = states(heads, queries, 16)
    key, value = states(kv_heads, 50, 16, seed=1), states(kv_heads, 50, 16, seed=2)
    out, lse = attend_to_prefix(query, key, value, SCALE)
    expected = attend_by_matmul(query[None], key[None], value[None], SCALE)
    assert close(out, expected[0][0].transpose(0, 1))
    assert close(lse, expected[1][0].transpose(0, 1))


@pytest.mark.parametrize("threads", [2, 7])
def test_half_precision_parts_join_without_rounding(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    query, key, value = (states(3, count, 16, seed=seed).bfloat16() for seed, count in enumerate((4, 210, 210)))
    exact, _ = attend_to_prefix(query.float(), key.float(), value.float(), SCALE)
    monkeypatch.setattr(attention, "LEAST_KEYS", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert attention._splits(query[None], 210) == threads
    out, _ = attend_to_prefix(query, key, value, SCALE)
    assert out.dtype == torch.bfloat16
    assert (out.float() - exact).abs().max() < 2**-7 * exact.abs().max()


@pytest.mark.parametrize(("heads", "kv_heads"), HEADS)
@pytest.mark.parametrize("fused", [True, False])
def test_stepping_and_entering_rows_see_only_their_own(
    heads: int, kv_heads: int, fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random rounds over four places, each token beside plain attention over the keys that it should see."""
    if not fused:
        monkeypatch.setattr(attention, "_CPU", None)
    prefix = PrefixKV((states(kv_heads, 20, 16, seed=1),), (states(kv_heads, 20, 16, seed=2),), tuple(range(20)))
    suffixes = Suffixes(prefix, places=4, room=12)
    own: dict[int, list[tuple[torch.Tensor, torch.Tensor]]] = {}
    rounds: list[tuple[list[int], list[tuple[int, int]]]] = [
        ([], [(0, 5), (1, 2), (2, 7)]),
        ([0, 1, 2], []),
        ([0, 2], [(1, 3)]),
        ([2], []),
        ([0, 2], [(3, 4), (1, 1)]),
        ([0, 1, 2, 3], []),
        ([1, 3], []),
        ([], [(2, 6)]),
    ]
    for number, (stepping, entering) in enumerate(rounds):
        places = [*stepping, *(place for place, count in entering for _ in range(count))]
        query = states(1, heads, len(places), 16, seed=10 + number)
        key, value = (states(1, kv_heads, len(places), 16, seed=seed + number) for seed in (50, 90))
        reading = plan_round(prefix, suffixes, stepping, entering)
        prefixed = attend_to_prefix(query[0], prefix.keys[0], prefix.values[0], SCALE)
        found = merge(prefixed, reading.attend_to_suffixes(0, query, key, value, SCALE))
        for place, _ in entering:
            own[place] = []
        for token, place in enumerate(places):
            own[place].append((key[0, :, token], value[0, :, token]))
            seen = [
                torch.cat([held[0], torch.stack([pair[side] for pair in own[place]], 1)], 1)
                for side, held in enumerate((prefix.keys, prefix.values))
            ]
            expected, _ = attend_by_matmul(query[:, :, token : token + 1], seen[0][None], seen[1][None], SCALE)
            assert close(found[token], expected[0, :, 0]), f"round {number}, token {token}, place {place}"
        assert [int(last) for last in reading.last] == [
            token for token, place in enumerate(places) if place not in places[token + 1 :]
        ]


@pytest.mark.parametrize("stepping", [[], [0]])
def test_last_layer_computes_of_a_question_its_last_token_alone(stepping: list[int]) -> None:
    """Nothing reads what it makes of the others; the layers before it compute all of them."""
    prefix = PrefixKV(*(tuple(states(2, 20, 16, seed=seed) for _ in range(2)) for seed in (1, 2)), tuple(range(20)))
    query, key, value = states(1, 4, 9, 16, seed=3), states(1, 2, 9, 16, seed=4), states(1, 2, 9, 16, seed=5)
    suffixes = Suffixes(prefix, places=3, room=8)
    if stepping:
        plan_round(prefix, suffixes, [], [(0, 1)])
    reading = plan_round(prefix, suffixes, stepping, [(1, 5), (2, 4 - len(stepping))])
    outputs = []
    for layer in range(2):
        module = torch.nn.Module()
        module.layer_idx = layer
        outputs.append(shared_attention.shared_prefix_attention(module, query, key, value, SCALE, reading=reading))
    first, last = (out[0] for out in outputs)
    assert first.shape == last.shape == (9, 4, 16)
    assert close(last[reading.last], first[reading.last])
    others = [token for token in range(9) if token not in reading.last.tolist()]
    assert not last[others].any()
    assert bool(first[others].any(-1).all())


@pytest.mark.parametrize(("threads", "queries", "splits"), [(1, 1, 1), (2, 1, 2), (2, 64, 1), (8, 1, 8), (8, 400, 1)])
def test_a_prefix_is_split_only_where_threads_would_be_idle(
    threads: int, queries: int, splits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert attention._splits(torch.empty(1, 3, queries, 8), 20_000) == splits
    assert attention._splits(torch.empty(1, 3, queries, 8), 1500) == 1


@pytest.mark.gpu
@pytest.mark.parametrize("causal", [True, False])
def test_the_gpus_operator_agrees_with_the_matrix_products(causal: bool) -> None:
    query, key, value = (states(2, heads, 40, 64, seed=heads).to("cuda", torch.bfloat16) for heads in (6, 2, 2))
    assert attention._CUDA is not None
    found, expected = (way(query, key, value, SCALE, causal=causal) for way in (attend, attend_by_matmul))
    assert torch.allclose(found[0].float(), expected[0].float(), atol=2e-2)
    assert torch.allclose(found[1], expected[1], atol=2e-2)


def test_a_row_longer_than_its_place_is_refused() -> None:
    prefix = PrefixKV((states(1, 4, 8),), (states(1, 4, 8),), (1, 2, 3, 4))
    suffixes = Suffixes(prefix, places=1, room=3)
    plan_round(prefix, suffixes, [], [(0, 3)])
    with pytest.raises(ValueError, match="longer than the 3 tokens"):
        plan_round(prefix, suffixes, [0], [])


def test_calls_that_are_not_the_shared_prefixs_are_refused() -> None:
    module, query = torch.nn.Module(), states(1, 2, 1, 8)
    with pytest.raises(RuntimeError, match="over a shared prefix alone"):
        shared_attention.shared_prefix_attention(module, query, query, query, 1.0)
    prefix = PrefixKV((states(2, 4, 8),), (states(2, 4, 8),), (1, 2, 3, 4))
    reading = plan_round(prefix, Suffixes(prefix, 1, 3), [], [(0, 1)])
    for name in shared_attention.STRANGE:
        with pytest.raises(RuntimeError, match=name):
            shared_attention.shared_prefix_attention(module, query, query, query, 1.0, reading=reading, **{name: 3})
