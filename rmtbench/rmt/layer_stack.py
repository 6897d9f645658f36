"""The layers of a model side by side: run as one batch on different segments, once it is known that they can be."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._pytree import tree_map

from rmtbench.errors import UserError
from rmtbench.options import flag
from rmtbench.rmt.associative import Associations, Layer, at_least_float32, blocks_of

if TYPE_CHECKING:
    from rmtbench.rmt.decoder import RecurrentDecoder


MASKED = ("sdpa", "eager")
"""Implementations of attention that take a mask to add to the scores."""
PROBE_TOKENS = 8
TOLERANCE = 1e-3
"""Share of the largest number by which the first layer's code with another layer's weights may miss that layer's."""
REMEDY = "leave it out: segments are then read one after the other"


class Cell(torch.nn.Module):
    """One layer with its associations, as a function of its states and its memory."""

    def __init__(self, block: torch.nn.Module, associations: torch.nn.Module) -> None:
        super().__init__()
        assert isinstance(associations, Layer)  # noqa: S101 - for the type checker
        self.block, self.associations = block, associations

    def forward(
        self, states: torch.Tensor, values: torch.Tensor, amounts: torch.Tensor, named: Mapping[str, Any], places: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """States and memory after one segment of each row.

        Args:
            states: What comes in, ``[rows, tokens, hidden]``.
            values: As for `rmtbench.rmt.associative.Layer.read`.
            amounts: As for the same.
            named: What else the layer takes.
            places: How many tokens at the end are written places.
        """
        found = self.associations.read(at_least_float32(states), values, amounts)
        output = self.block(states + found.to(states.dtype), **named)
        output = output[0] if isinstance(output, tuple) else output
        return output, *self.associations.write(at_least_float32(output[:, -places:]), values, amounts)


@dataclass(frozen=True, slots=True)
class Entry:
    """What comes into a layer.

    Attributes:
        states: ``[rows, tokens, hidden]``.
        named: What else, by name.
    """

    states: torch.Tensor
    named: Mapping[str, Any]

    @classmethod
    def of(cls, block: torch.nn.Module, args: tuple[Any, ...], named: Mapping[str, Any]) -> Entry:
        """From the arguments of a layer's call."""
        bound = inspect.signature(block.forward).bind(*args, **named)
        given = dict(bound.arguments)
        given |= given.pop("kwargs", {})
        return cls(given.pop("hidden_states"), given)


@dataclass(frozen=True, slots=True)
class Stack:
    """The layers of a model side by side.

    Attributes:
        cell: The first layer, whose code runs for all.
        weights: Of all layers by name, ``[layers, ...]``: a copy of the model's.
        places: How many tokens at the end of a segment are written places.
    """

    cell: Cell
    weights: Mapping[str, torch.Tensor]
    places: int

    def run(
        self, layers: slice, entry: Entry, held: Sequence[torch.Tensor], mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Run some layers, each on a segment of its own, as one batch.

        Args:
            layers: Which.
            entry: States ``[layers, rows, tokens, hidden]``, and what all layers take besides.
            held: Values and amounts of these layers, ``[layers, rows, ...]``.
            mask: To add to the scores, ``[layers, rows, 1, tokens, tokens]``; None for the layers' own.

        Returns:
            States, values and amounts afterwards.
        """

        def one(weights: dict[str, torch.Tensor], *taken: torch.Tensor) -> Any:  # noqa: ANN401
            states, values, amounts, *masks = taken
            named = {**entry.named, **({"attention_mask": masks[0]} if masks else {})}
            return torch.func.functional_call(self.cell, weights, (states, values, amounts, named, self.places))

        some = {name: weight[layers] for name, weight in self.weights.items()}
        taken = (entry.states, *held, *(() if mask is None else (mask,)))
        with _attention(entry.states.device):
            states, values, amounts = torch.vmap(one)(some, *taken)
        return states, values, amounts


@torch.inference_mode()
def check_diagonal(model: RecurrentDecoder) -> Stack:
    """Refuse a model whose layers cannot be run apart, and put the layers of any other side by side.

    A few tokens are read once: each layer has to get what the layer before it gives and nothing else that differs, and
    the first layer's code has to compute what the layer's own does.

    Raises:
        UserError: The memory is not only the layers' own, or the layers differ.
    """
    name = type(model.base).__name__
    if model.config.update != "per-layer":
        _refuse("memory tokens go from the last layer of a segment to the first layer of the next one")
    implementation = model.base.config._attn_implementation  # noqa: SLF001 - it has no other name
    if implementation not in MASKED:
        _refuse(f"attention by {implementation} takes no mask of several segments")
    blocks, associations = blocks_of(model.base), associations_of(model)
    cells = [Cell(block, layer) for block, layer in zip(blocks, associations.layers, strict=True)]
    kinds = [{key: (each.shape, each.dtype) for key, each in cell.state_dict().items()} for cell in cells]
    for number, (block, kind) in enumerate(zip(blocks, kinds, strict=True)):
        if type(block) is not type(blocks[0]) or kind != kinds[0]:
            _refuse(f"layer {number} of {name} is built otherwise than the first")
    weights = {key: torch.stack([cell.state_dict()[key] for cell in cells]) for key in kinds[0]}
    stack = Stack(cells[0], weights, model.config.memory_tokens)
    _check_each(model, stack, cells)
    return stack


def _check_each(model: RecurrentDecoder, stack: Stack, cells: Sequence[Cell]) -> None:
    """Compare each layer of one reading with the first layer's code and its weights; in float32 at least.

    In fewer bits one layer's product and that of several may round to neighbours, which would look like other code.
    """
    entries: list[Entry] = []
    outputs: list[torch.Tensor] = []

    def before(block: torch.nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        entries.append(Entry.of(block, args, named))

    def after(_block: torch.nn.Module, _args: tuple[Any, ...], output: Any) -> None:  # noqa: ANN401
        outputs.append(output[0] if isinstance(output, tuple) else output)

    with ExitStack() as hooks:
        for cell in cells:
            hooks.callback(cell.block.register_forward_pre_hook(before, with_kwargs=True).remove)
            hooks.callback(cell.block.register_forward_hook(after).remove)
        model.base.base_model(input_ids=torch.arange(PROBE_TOKENS, device=model.device)[None], use_cache=False)
    nothing = associations_of(model).parts(model.initial_memory(1)[:, stack.places :])
    empty = [part.transpose(0, 1)[:1] for part in nothing]
    for number, (cell, entry) in enumerate(zip(cells, entries, strict=True)):
        if number and not torch.equal(entry.states, outputs[number - 1]):
            _refuse(f"layer {number} of {type(model.base).__name__} reads more than the layer before it gives")
        weights = {name: _wide(weight[number : number + 1]) for name, weight in stack.weights.items()}
        states, named = _wide((entry.states, entry.named))
        taken = (states, *(part[0] for part in empty), named, stack.places)
        own, *_ = torch.func.functional_call(cell, {name: weight[0] for name, weight in weights.items()}, taken)
        entered = Entry(states[None], _wide(entries[0].named))
        alone, *_ = replace(stack, weights=weights).run(slice(0, 1), entered, empty, None)
        if (alone[0] - own).abs().max() > TOLERANCE * own.abs().max():
            _refuse(f"layer {number} of {type(model.base).__name__} computes otherwise than the first")


def _wide(parts: Any) -> Any:  # noqa: ANN401 - tensors in any nesting
    """The same with all floating-point numbers in float32 at least."""
    return tree_map(
        lambda each: at_least_float32(each) if isinstance(each, torch.Tensor) and each.is_floating_point() else each,
        parts,
    )


def _attention(device: torch.device) -> AbstractContextManager[None]:
    """Attention that takes several layers at once: torch's fused operator for the CPU would take them in a loop."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


def associations_of(model: RecurrentDecoder) -> Associations:
    """The associations of a model that has them."""
    assert model.associations is not None  # noqa: S101 - for the type checker
    return model.associations


def _refuse(why: str) -> None:
    what = f"layers cannot read different segments at once: {why}"
    raise UserError(what, where=f"{flag.rmt_schedule}=diagonal", remedy=REMEDY)
