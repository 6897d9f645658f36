"""Static steps answer token for token as the forwards laid out on the host do; the host is one step behind."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from rmtbench.core import RunSpec
from rmtbench.kvcache.exact.prefill import prefill
from rmtbench.kvcache.exact.shared import greedy_continuous, shared_prefix
from rmtbench.kvcache.exact.shared_places import make_places
from rmtbench.kvcache.exact.static_places import GRAPHS, STATIC, How, choose_step, is_plain
from rmtbench.kvcache.exact.static_step import rows_of_steps
from rmtbench.kvcache.exact.suffixes import Suffixes
from rmtbench.kvcache.exact.trial import try_ways
from rmtbench.models.decode import Decoded, Finishes, Ids
from rmtbench.models.load import load_model
from rmtbench.models.local import LocalModel
from rmtbench.options.identity import RunOptions
from rmtbench.runs.served import check_served

CONTEXT, CAP = tuple(range(100, 150)), 9
TAILS = [tuple(range(200 + 31 * number, 203 + 31 * number + number % 5)) for number in range(13)]


@pytest.fixture(scope="module")
def tiny_model() -> LocalModel:
    """One of its own: transformers leaves hooks in a model whose attention weights were asked for."""
    return replace(load_model("random:tiny"), max_answer_tokens=8)


def answers(
    model: LocalModel, how: How, batch: int, finish: Finishes, tails: Sequence[Ids] = TAILS
) -> dict[int, Decoded]:
    """Every tail's answer; more tails than places enter as these get free."""
    prefix = prefill(model.model, CONTEXT)
    places = make_places(model, prefix, Suffixes(prefix, batch, max(map(len, tails)) + CAP), how)
    return dict(greedy_continuous(places, iter(enumerate(tails)), batch, finish, CAP))


def what(found: dict[int, Decoded]) -> dict[int, tuple[tuple[int, ...], str]]:
    return {key: (row.ids, row.finish) for key, row in found.items()}


def ends_early(written: dict[int, Decoded]) -> Finishes:
    """Ends answers at different steps, the first token among them, and lets others reach the cap."""
    ends = {row.ids[number % 4] for number, row in written.items() if number % 3}
    return lambda ids: "eos" if ids[-1] in ends else None


@pytest.mark.parametrize("batch", [1, 3, 8, 13])
def test_static_steps_answer_token_for_token_as_forwards_do(tiny_model: LocalModel, batch: int) -> None:
    finish = ends_early(answers(tiny_model, "forward", 1, lambda _ids: None))
    expected = answers(tiny_model, "forward", batch, finish)
    assert {row.finish for row in expected.values()} == {"eos", "length"}
    assert len({len(row.ids) for row in expected.values()}) > 2, "the rows would end together"
    assert what(answers(tiny_model, "static", batch, finish)) == what(expected)


def test_the_models_own_forward_takes_static_steps_too(tiny_model: LocalModel) -> None:
    """In bfloat16 it computes the step, so that the numbers are its own."""
    half = replace(tiny_model, model=copy.deepcopy(tiny_model.model).to(torch.bfloat16))
    assert try_ways(half, [STATIC]) == {STATIC: ""}
    assert try_ways(tiny_model, [STATIC]) == {STATIC: ""}


FAMILIES = {"gpt2": {"n_positions": 128}, "qwen3": {"head_dim": 16}, "mixtral": {"sliding_window": None}}
"""Learned positions, normalised keys, and a router of experts."""


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_static_step_is_exact_for_other_families(tiny_model: LocalModel, kind: str) -> None:
    sizes = {"vocab_size": 30522, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2,
             "num_attention_heads": 2, "num_key_value_heads": 2, "initializer_range": 0.15}  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(5)
        config = AutoConfig.for_model(kind, **(sizes | FAMILIES[kind]))
        model = replace(tiny_model, model=AutoModelForCausalLM.from_config(config).eval())
    assert try_ways(model, [STATIC]) == {STATIC: ""}


def test_a_captured_step_is_refused_without_a_gpu(tiny_model: LocalModel) -> None:
    if not torch.cuda.is_available():
        assert try_ways(tiny_model, [GRAPHS])[GRAPHS] != ""


def test_a_row_that_ends_at_its_cap_reads_nothing_in_vain(tiny_model: LocalModel) -> None:
    """The host knows such an end before the device does; only of other ends it learns one step late."""
    prefix = prefill(tiny_model.model, CONTEXT)
    suffixes = Suffixes(prefix, 2, max(map(len, TAILS)) + CAP)
    places = make_places(tiny_model, prefix, suffixes, "static")
    list(greedy_continuous(places, iter(enumerate(TAILS[:2])), 2, lambda _ids: None, CAP))
    assert suffixes.lengths == [len(tail) + CAP - 1 for tail in TAILS[:2]]
    list(greedy_continuous(places, iter(enumerate(TAILS[:1])), 2, lambda ids: "eos" if len(ids) == 3 else None, CAP))
    assert suffixes.lengths[0] == len(TAILS[0]) + 3, "two tokens for the answer and one in vain"


def test_a_row_that_fills_a_step_up_keeps_nothing(tiny_model: LocalModel) -> None:
    prefix = prefill(tiny_model.model, CONTEXT)
    suffixes = Suffixes(prefix, 4, 16)
    places = make_places(tiny_model, prefix, suffixes, "static")
    places.advance([], [], [(place, TAILS[place]) for place in range(4)])
    before = [states[1].clone() for states in (*suffixes.keys, *suffixes.values)]
    places.advance([0, 2, 3], [5, 6, 7], [])  # a step of four rows: place 1 fills it up
    assert all(
        torch.equal(*both) for both in zip(before, [s[1] for s in (*suffixes.keys, *suffixes.values)], strict=True)
    )
    assert suffixes.lengths == [len(tail) + (place != 1) for place, tail in enumerate(TAILS[:4])]


def test_a_row_of_no_finite_logits_fails_alone(tiny_model: LocalModel) -> None:
    bad = replace(tiny_model, model=copy.deepcopy(tiny_model.model))
    token = 251  # in one question alone
    bad.model.get_input_embeddings().weight.data[token] = torch.nan
    tails = [TAILS[0], (token, 5), TAILS[2], TAILS[3], TAILS[4]]
    found = answers(bad, "static", 2, lambda _ids: None, tails)
    expected = answers(bad, "forward", 2, lambda _ids: None, tails)
    assert what(found) == what(expected)
    assert [found[number].finish for number in range(5)] == ["length", "error", "length", "length", "length"]


@pytest.mark.parametrize(
    ("places", "rows"), [(1, [1]), (3, [1, 2, 3]), (8, [1, 2, 4, 8]), (40, [1, 2, 4, 8, 16, 32, 40])]
)
def test_steps_have_rows_in_powers_of_two_up_to_the_places(places: int, rows: list[int]) -> None:
    assert rows_of_steps(places) == rows


def on_cuda(model: LocalModel) -> LocalModel:
    """The same model, of which it is said that it is on a GPU."""

    class Elsewhere(LocalModel):
        device = "cuda"  # type: ignore[assignment]

    return Elsewhere(**{name: getattr(model, name) for name in model.__dataclass_fields__})


def test_the_way_of_a_step_is_chosen_with_its_reason(tiny_model: LocalModel) -> None:
    assert choose_step(tiny_model, plain=True, no_graphs="") == ("forward", "the model is not on a CUDA device")
    there = on_cuda(tiny_model)
    assert choose_step(there, plain=True, no_graphs="") == ("graphs", "")
    assert choose_step(there, plain=True, no_graphs="cuda-graphs is off") == ("static", "cuda-graphs is off")
    how, why = choose_step(there, plain=False, no_graphs="")
    assert (how, why) == ("forward", "the cache is not on the device in the model's own numbers")
    uncaptured = replace(there, inexact={GRAPHS: "operation not permitted"})
    expected = ("static", "the captured step is not exact here (operation not permitted)")
    assert choose_step(uncaptured, plain=True, no_graphs="") == expected
    assert choose_step(replace(there, inexact={STATIC: "no"}), plain=True, no_graphs="")[0] == "forward"


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU can capture it")
@pytest.mark.parametrize(("system", "way"), [("cag", GRAPHS), ("full-context", None)])
def test_a_step_that_cannot_be_captured_is_found_before_runs(
    tiny_model: LocalModel, tmp_path: Path, system: str, way: str | None
) -> None:
    """Here there is no GPU to capture it; the static step itself is exact. What uses no graph tries none."""
    spec = RunSpec(system, "towns", "all", "x", "x")
    found = check_served(on_cuda(tiny_model), [spec], tmp_path)
    assert set(found.inexact) == {way} - {None}
    how, why = choose_step(found, plain=True, no_graphs="")
    assert how == ("graphs" if way is None else "static")
    assert why.startswith("" if way is None else "the captured step is not exact here (")
    off = RunSpec(system, "towns", "all", "x", "x", options=RunOptions(cuda_graphs="off"))
    assert check_served(on_cuda(tiny_model), [off], tmp_path).inexact == {}


def test_a_kept_context_says_why_it_uses_no_graphs(tiny_model: LocalModel) -> None:
    prefix, told = prefill(tiny_model.model, CONTEXT), list[str]()
    there = replace(on_cuda(tiny_model), inexact={GRAPHS: "not permitted"})
    with shared_prefix(there, prefix, longest=40, batch=2, notice=told.append) as held:
        found = [row.output_ids for row in held.generate(["Who?", "Where does it end?", "Why?"])]
    assert told == ["decode steps are not replayed as CUDA graphs: the captured step is not exact here (not permitted)"]
    with shared_prefix(tiny_model, prefix, longest=40, batch=2, notice=told.append) as held:
        assert found == [row.output_ids for row in held.generate(["Who?", "Where does it end?", "Why?"])]
    with shared_prefix(there, prefix, longest=40, batch=2, notice=told.append, no_graphs="cuda-graphs is off"):
        assert len(told) == 1


def test_a_hook_on_a_layer_keeps_the_forwards(tiny_model: LocalModel) -> None:
    there = on_cuda(tiny_model)
    handle = there.model.base_model.layers[0].register_forward_hook(lambda *_given: None)
    try:
        how, why = choose_step(there, plain=True, no_graphs="")
    finally:
        handle.remove()
    assert (how, why) == ("forward", "something takes part in the forward of the model's layers")


def test_layers_brought_for_each_use_are_not_plain(tiny_model: LocalModel) -> None:
    from rmtbench.kvcache.approximate.quantised import quantise
    from rmtbench.kvcache.exact.offloaded import offload

    prefix = prefill(tiny_model.model, CONTEXT)
    assert is_plain(prefix)
    assert not is_plain(quantise(prefix, 8))
    assert not is_plain(offload(prefix, torch.device("cpu")))
