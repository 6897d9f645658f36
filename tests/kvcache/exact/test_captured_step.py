"""On a GPU, a replayed step answers token for token as the forwards laid out on the host do, for all counts of rows."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from rmtbench.kvcache.base import PrefixKV
from rmtbench.kvcache.exact.prefill import prefill
from rmtbench.kvcache.exact.shared import greedy_continuous
from rmtbench.kvcache.exact.shared_places import make_places
from rmtbench.kvcache.exact.static_places import GRAPHS, STATIC, How, StaticPlaces
from rmtbench.kvcache.exact.static_step import find_attention
from rmtbench.kvcache.exact.suffixes import Suffixes
from rmtbench.kvcache.exact.trial import try_ways
from rmtbench.models.decode import Decoded, Forward
from rmtbench.models.load import load_model
from rmtbench.models.local import LocalModel

pytestmark = pytest.mark.gpu
CONTEXT, CAP = tuple(range(100, 150)), 12
TAILS = [tuple(range(200 + 31 * number, 203 + 31 * number + number % 5)) for number in range(40)]


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def model(request: pytest.FixtureRequest) -> LocalModel:
    return replace(load_model("random:tiny", dtype=request.param, device="cuda"), max_answer_tokens=CAP)


def places_of(model: LocalModel, how: How, batch: int) -> tuple[PrefixKV, object]:
    prefix = prefill(model.model, CONTEXT)
    return prefix, make_places(model, prefix, Suffixes(prefix, batch, max(map(len, TAILS)) + CAP), how)


def answers(model: LocalModel, how: How, batch: int) -> dict[int, Decoded]:
    """Rows end at different steps, so that steps have from one row to all, and others enter between replays."""
    _, places = places_of(model, how, batch)

    def finish(ids: object) -> str | None:
        return "eos" if ids[-1] % 7 == 0 else None  # type: ignore[index]

    return dict(greedy_continuous(places, iter(enumerate(TAILS)), batch, finish, CAP))  # type: ignore[arg-type]


def test_both_steps_are_the_models_own_but_for_rounding(model: LocalModel) -> None:
    assert try_ways(model, [STATIC, GRAPHS]) == {STATIC: "", GRAPHS: ""}


@pytest.mark.parametrize("batch", [1, 2, 4, 8, 16, 32, 40])
def test_replays_answer_as_the_same_step_without_a_graph(model: LocalModel, batch: int) -> None:
    """The kernels are the same, so the tokens are, in bfloat16 too."""
    replayed, stepped = (answers(model, how, batch) for how in ("graphs", "static"))
    assert {key: row.ids for key, row in replayed.items()} == {key: row.ids for key, row in stepped.items()}


@pytest.mark.parametrize("batch", [1, 3, 8, 32])
def test_replays_answer_in_float32_as_forwards_do(model: LocalModel, batch: int) -> None:
    if model.model.dtype != torch.float32:
        pytest.skip("rounding differs in half precision")
    replayed, laid_out = (answers(model, how, batch) for how in ("graphs", "forward"))
    assert {key: row.ids for key, row in replayed.items()} == {key: row.ids for key, row in laid_out.items()}


def test_a_replay_waits_for_nothing(model: LocalModel) -> None:
    """Torch raises where something waits for the device; only taking the tokens may."""
    _, places = places_of(model, "graphs", 3)
    assert isinstance(places, StaticPlaces)
    step = Forward([0, 1, 2], [], [])
    places.start(Forward([], [(place, TAILS[place]) for place in range(3)], []))()
    places.start(step)()
    torch.cuda.set_sync_debug_mode("error")
    try:
        wait = [places.start(step) for _ in range(3)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(len(each()) == 3 for each in wait)


def test_a_gpu_attends_to_suffixes_by_triton() -> None:
    assert find_attention(torch.device("cuda"))[1] == "triton"


def test_capture_changes_nothing_that_is_kept(model: LocalModel) -> None:
    prefix = prefill(model.model, CONTEXT)
    before = [layer.clone() for layer in (*prefix.keys, *prefix.values)]
    suffixes = Suffixes(prefix, 4, 20)
    make_places(model, prefix, suffixes, "graphs")
    torch.cuda.synchronize()
    assert all(torch.equal(*both) for both in zip(before, (*prefix.keys, *prefix.values), strict=True))
    assert not any(states.any() for states in (*suffixes.keys, *suffixes.values))
