"""A prefix in the host's memory: its layers come in turn, and answers are those of the prefix on the device."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from stored_caches import context
from torch.utils._python_dispatch import TorchDispatchMode

from rmtbench.kvcache.base import PrefixKV
from rmtbench.kvcache.exact.offloaded import HostSlotCache, host_bytes, offload
from rmtbench.kvcache.exact.prefill import prefill
from rmtbench.kvcache.exact.shared import shared_prefix
from rmtbench.models.local import LocalModel

QUESTIONS = ["Who is it?", "Who is the mayor of Arden, please, and why?", "Where?"]
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.gpu),
]


def tensors(layers: int, tokens: int = 7) -> PrefixKV:
    made = torch.randn(2 * layers, 2, tokens, 16, generator=torch.Generator().manual_seed(0))
    return PrefixKV(tuple(made[:layers]), tuple(made[layers:]), tuple(range(tokens)))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("layers", [1, 2, 3, 6])
def test_layers_asked_for_in_turn_round_after_round_are_layers(layers: int, device: str) -> None:
    exact = tensors(layers)
    kept = offload(exact, torch.device(device))
    for _ in range(3):
        for layer in range(layers):
            assert torch.equal(kept.keys[layer].cpu(), exact.keys[layer])
            assert torch.equal(kept.values[layer].cpu(), exact.values[layer])


def test_layers_asked_for_in_any_order_are_the_layers() -> None:
    exact = tensors(5)
    kept = offload(exact, torch.device("cpu"))
    for layer in (3, 3, 0, 4, 0, 2, 1, -1):
        assert torch.equal(kept.values[layer], exact.values[layer])
        assert torch.equal(kept.keys[layer], exact.keys[layer])
    with pytest.raises(IndexError):
        kept.keys[5]
    with pytest.raises(TypeError, match="cannot be held side by side"):
        kept.keys[:2]


def test_a_part_of_the_tokens_is_cut_from_every_layer() -> None:
    exact = tensors(3)
    part, wanted = offload(exact, torch.device("cpu")).cut(2, 5), exact.cut(2, 5)
    assert part.token_ids == wanted.token_ids
    for layer in range(3):
        assert torch.equal(part.keys[layer], wanted.keys[layer])
        assert torch.equal(part.values[layer], wanted.values[layer])


def test_on_the_host_every_layer_has_its_own_place() -> None:
    exact = tensors(5)
    home = offload(exact, torch.device("cpu")).on_host()
    assert all(map(torch.equal, (*home.keys, *home.values), (*exact.keys, *exact.values)))


def test_memory_is_that_of_all_layers_and_of_two_on_the_device() -> None:
    exact = tensors(5)
    assert offload(exact, torch.device("cpu")).bytes == exact.bytes + 2 * exact.bytes // 5


def test_layers_of_several_shapes_are_refused() -> None:
    exact = tensors(2)
    mixed = PrefixKV((exact.keys[0], exact.keys[1][:1]), exact.values, exact.token_ids)
    with pytest.raises(ValueError, match="several shapes"):
        offload(mixed, torch.device("cpu"))


@pytest.mark.parametrize("batch", [1, 2])
def test_answers_are_those_of_the_prefix_on_the_device(tiny_model: LocalModel, batch: int) -> None:
    exact = prefill(tiny_model.model, context(150))
    longest = max(len(tiny_model.question_ids(question)) for question in QUESTIONS)
    found = []
    for kept in (exact, offload(exact, torch.device("cpu"))):
        with shared_prefix(tiny_model, kept, longest=longest, batch=batch) as held:
            found.append([answer.output_ids for answer in held.generate(QUESTIONS)])
    assert found[0] == found[1]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("known", [0, 128])
def test_a_context_kept_on_the_host_has_the_same_bytes(tiny_model: LocalModel, device: str, known: int) -> None:
    model, ids = tiny_model.model.to(device), context(300)
    try:
        expected = prefill(model, ids, chunk_tokens=64)
        begun = expected.cut(0, known) if known else None
        found = prefill(model, ids, chunk_tokens=64, known=begun, host=True)
        for one, other in zip((*found.keys, *found.values), (*expected.keys, *expected.values), strict=True):
            assert one.device.type == "cpu"
            assert torch.equal(one, other.cpu())
        assert found.token_ids == expected.token_ids
    finally:
        tiny_model.model.to("cpu")


class Copies(TorchDispatchMode):
    """Keeps target and source of every copy."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[tuple[torch.Tensor, torch.Tensor]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.copy_.default:
            self.made.append(args[:2])
        return func(*args, **(kwargs or {}))


def test_what_crosses_to_the_host_lies_in_one_piece() -> None:
    """Of other copies between a GPU and pinned memory torch makes a copy in memory that is not pinned."""
    cache = HostSlotCache(1, 20, torch.device("cpu"))
    layer = cache.layers[0]
    states = torch.randn(1, 8, 3, 16).transpose(1, 2)  # as a model gives them
    layer.lazy_initialization(states, states)
    home = {tensor.untyped_storage().data_ptr() for tensor in (layer.keys, layer.values)}
    cache.window.next = 6
    with Copies() as copies:
        layer.update(states, states)
    crossing = [pair for pair in copies.made if {each.untyped_storage().data_ptr() for each in pair} & home]
    assert len(crossing) == 2 * 2 * 3
    assert all(each.is_contiguous() for pair in crossing for each in pair)


def test_pinned_memory_is_counted_as_torch_takes_it() -> None:
    assert [host_bytes(size, pinned=True) for size in (0, 1, 1000, 1024, 1025)] == [1, 1, 1024, 1024, 2048]
    assert host_bytes(1000, pinned=False) == 1000


@pytest.mark.gpu
def test_a_prefix_dropped_while_a_layer_travels_harms_nobody() -> None:
    device = torch.device("cuda")
    exact = tensors(4, tokens=200_000)
    for _ in range(50):
        dropped = offload(exact, device)
        dropped.keys[0]  # its successor is on its way
        del dropped
        kept = offload(exact, device)
        for layer in range(4):
            assert torch.equal(kept.keys[layer].cpu(), exact.keys[layer])
