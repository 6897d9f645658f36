"""The compiled step computes what torch computes, and a row's numbers do not depend on other rows."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from rmtbench.models.int8 import use_int8
from rmtbench.models.llama_step import LlamaStep
from rmtbench.models.native.build import library
from rmtbench.models.native.step import MOST_ROWS, WIDTHS, CompiledLayers, attend, attention_serves

Pair = tuple[torch.Tensor, torch.Tensor]

pytestmark = pytest.mark.skipif(isinstance(library(), str), reason=str(library()))


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def held(rows: int, kv_heads: int, width: int, tokens: list[int]) -> list[Pair]:
    """What rows hold, in places with room for more, as a cache's buffers lie in memory."""
    keys, values = random(rows, kv_heads, 200, width, seed=1), random(rows, kv_heads, 200, width, seed=2)
    return [(keys[row, :, : tokens[row]], values[row, :, : tokens[row]]) for row in range(rows)]


def exact(query: torch.Tensor, new: Pair, own: list[Pair], prefix: Pair | None, scale: float) -> torch.Tensor:
    """Attention in float64, row by row."""
    found = []
    for row, sides in enumerate(own):
        whole = []
        for side, (states, one) in enumerate(zip(sides, new, strict=True)):
            parts = [states[:, :-1], one[row][:, None]]
            whole.append(torch.cat(([prefix[side]] if prefix else []) + parts, 1).double())
        group = query.shape[1] // whole[0].shape[0]
        keys, values = (each.repeat_interleave(group, 0) for each in whole)
        scores = (query[row][:, None].double() @ keys.transpose(1, 2)) * scale
        found.append((scores.softmax(-1) @ values)[:, 0])
    return torch.stack(found)


@pytest.mark.parametrize("heads", [(4, 4), (6, 2), (7, 1), (9, 3)])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("prefix_tokens", [0, 1, 127, 128, 300])
def test_attention_is_that_of_float64(heads: tuple[int, int], width: int, prefix_tokens: int) -> None:
    count, kv_heads = heads
    shape = (kv_heads, prefix_tokens, width)
    prefix = (random(*shape, seed=3), random(*shape, seed=4)) if prefix_tokens else None
    for tokens in ([1], [129, 7, 1], [3] * MOST_ROWS):
        rows = len(tokens)
        line = random(rows, count + 2 * kv_heads, width)  # as one product makes them
        query, key, value = line.split((count, kv_heads, kv_heads), 1)
        own = held(rows, kv_heads, width, tokens)
        assert attention_serves(query, *own[0])
        expected = exact(query * 3, (key, value), own, prefix, width**-0.5)
        found = attend(query * 3, (key, value), own, prefix, width**-0.5)
        assert torch.allclose(found.double(), expected, atol=2e-6)
        for row, (keys, values) in enumerate(own):
            assert torch.equal(keys[:, -1], key[row])
            assert torch.equal(values[:, -1], value[row])


def test_keys_and_values_may_lie_differently_in_memory() -> None:
    query, key, value = random(1, 4, 16), random(1, 2, 16, seed=5), random(1, 2, 16, seed=6)
    [(keys, values)] = held(1, 2, 16, [40])
    expected = exact(query, (key, value), [(keys, values)], None, 0.25)
    found = attend(query, (key, value), [(keys, values.contiguous())], None, 0.25)
    assert torch.allclose(found.double(), expected, atol=2e-6)


def test_scores_far_apart_neither_overflow_nor_vanish() -> None:
    query, key, value = random(1, 2, 16) * 400, random(1, 2, 16, seed=5), random(1, 2, 16, seed=6)
    own = held(1, 2, 16, [150])
    expected = exact(query, (key, value), own, None, 1.0)
    found = attend(query, (key, value), own, None, 1.0)
    assert torch.allclose(found.double(), expected, atol=1e-5)


def test_a_value_that_is_not_finite_stays_in_its_row() -> None:
    query, key, value = random(3, 4, 16), random(3, 2, 16, seed=5), random(3, 2, 16, seed=6)
    own = held(3, 2, 16, [5, 6, 7])
    clean = attend(query, (key, value), own, None, 0.25)
    for bad in (float("nan"), float("inf")):
        spoiled = key.clone()
        spoiled[1] = bad
        found = attend(query, (spoiled, value), own, None, 0.25)
        assert not found[1].isfinite().all()
        assert torch.equal(found[[0, 2]], clean[[0, 2]])


@pytest.mark.parametrize("what", ["rows", "width", "dtype", "layout"])
def test_attention_that_is_not_served_is_left_to_torch(what: str) -> None:
    rows, width = (MOST_ROWS + 1 if what == "rows" else 1), (24 if what == "width" else 16)
    query, keys = random(rows, 2, width), random(2, 8, width)
    if what == "dtype":
        keys = keys.bfloat16()
    if what == "layout":
        keys = random(8, 2, width).transpose(0, 1)
    assert not attention_serves(query, keys)


@pytest.fixture(scope="module", params=["float32", "int8"])
def step(request: pytest.FixtureRequest) -> LlamaStep:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        config = LlamaConfig(
            vocab_size=301,
            hidden_size=102,  # no multiple of what is added at once
            intermediate_size=150,
            num_hidden_layers=3,
            num_attention_heads=6,
            num_key_value_heads=2,
            head_dim=16,
            initializer_range=0.15,
        )
        model = LlamaForCausalLM(config).eval()
    if request.param == "int8":
        use_int8(model)
    return LlamaStep(model)


def logits(step: LlamaStep, rows: list[int]) -> torch.Tensor:
    """Of tokens that read nothing but themselves and a key of their own."""

    def attend_to_both(
        layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
    ) -> torch.Tensor:
        found = []
        for row in zip(query, key, value, strict=True):  # one by one, so that no row's numbers depend on the others
            asked, keys, values = (
                row[0][:, None],
                *(torch.stack((e, e.flip(-1)), 1).repeat_interleave(3, 0) for e in row[1:]),
            )
            found.append(((asked @ keys.transpose(1, 2) * scale).softmax(-1) @ values)[:, 0])
        return torch.stack(found)

    tokens = torch.tensor(rows)
    return step(tokens, tokens % 17, attend_to_both)


@pytest.mark.parametrize("rows", range(1, MOST_ROWS + 1))
def test_layers_are_those_of_torch(step: LlamaStep, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    assert isinstance(step._compiled, CompiledLayers)
    tokens = list(range(5, 5 + rows))
    found = logits(step, tokens)
    monkeypatch.setattr(step, "_compiled", "off")
    assert torch.allclose(found, logits(step, tokens), atol=1e-4, rtol=1e-5)


def test_a_row_has_the_same_numbers_beside_others_as_alone(step: LlamaStep) -> None:
    together = logits(step, list(range(40, 40 + MOST_ROWS)))
    for row in range(MOST_ROWS):
        assert torch.equal(together[row], logits(step, [40 + row])[0])


def test_the_number_of_threads_changes_no_number(step: LlamaStep) -> None:
    threads = torch.get_num_threads()
    try:
        found = []
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            query, key, value = random(2, 4, 16), random(2, 2, 16, seed=5), random(2, 2, 16, seed=6)
            prefix = (random(2, 400, 16, seed=3), random(2, 400, 16, seed=4))
            found.append((logits(step, [7, 9]), attend(query, (key, value), held(2, 2, 16, [5, 150]), prefix, 0.25)))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(*pair) for one in found[1:] for pair in zip(one, found[0], strict=True))
