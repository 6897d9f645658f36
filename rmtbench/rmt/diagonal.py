"""Diagonal batching, after Sivtsov et al. (2025, arXiv:2506.05229): layers read different segments in one batch.

If only each layer's own memory passes from segment to segment, segment s at layer l needs (s, l - 1) and (s - 1, l). So
all (s, l) with one sum s + l run together: each weight of these layers is one batched matrix product. What is computed
is the same; sums may be added up in another order.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from rmtbench.errors import UserError
from rmtbench.rmt.associative import AssociationPass, Associations, Layer, at_least_float32, blocks_of
from rmtbench.rmt.base import Ids

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


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment of each row, on its way through the layers.

    Attributes:
        lengths: Tokens of text of each row, ``[rows]``; 0 for a row that has ended.
        mask: To add to the scores, ``[rows, 1, tokens, tokens]``; None where every row's segment is full.
    """

    lengths: torch.Tensor
    mask: torch.Tensor | None


@torch.inference_mode()
def read_diagonally(
    model: RecurrentDecoder,
    streams: Sequence[Iterable[Ids]],
    memory: torch.Tensor | None = None,
    watch: Callable[[int], None] = lambda _tokens: None,
) -> torch.Tensor:
    """Read texts side by side, each to its own end, as `rmtbench.rmt.streaming.read_streams` does.

    As many segments as there are layers stand in memory at a time, and a second copy of the layers' weights.

    Args:
        model: Reads; in evaluation mode.
        streams: Segments of each text.
        memory: Before the texts, ``[texts, memory rows, hidden]``; None for the learned one.
        watch: Told the tokens of all rows that have entered the first layer so far.

    Returns:
        The memory after each text, ``[texts, memory rows, hidden]``.

    Raises:
        UserError: The layers cannot be run apart: see `check_diagonal`.
        ValueError: A segment is empty or too long.
    """
    stack = check_diagonal(model)
    associations, tokens = _associations(model), model.config.memory_tokens
    memory = model.initial_memory(len(streams)) if memory is None else memory
    held = [part.transpose(0, 1).contiguous() for part in associations.parts(memory[:, tokens:])]  # layers first
    flight: list[Segment] = []  # of the layers first to last, the newest segment first
    states, first, read, source = memory.new_empty(0), 0, 0, _side_by_side(streams)
    named: Mapping[str, Any] = {}
    while True:
        segments = next(source, None)
        if segments is None:
            first += 1
        else:
            entry, segment = _enter(model, memory, segments)
            states = torch.cat([entry.states[None], states]) if flight else entry.states[None]
            flight, named = [segment, *flight], entry.named
            read += sum(map(len, segments))
            watch(read)
        if not flight:
            break
        layers = slice(first, first + len(flight))
        before = [part[layers] for part in held]
        states, *after = stack.run(layers, Entry(states, named), before, _masks(flight))
        for part, old, new in zip(held, before, after, strict=True):
            part[layers] = _where_read(flight, old, new)
        if layers.stop == len(associations.layers):
            flight, states = flight[:-1], states[:-1]
    passed = AssociationPass(held[0], held[1], 0, dict(enumerate(zip(*held, strict=True))))
    return torch.cat([memory[:, :tokens], associations.packed(passed)], dim=1)


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
    blocks, associations = blocks_of(model.base), _associations(model)
    cells = [Cell(block, layer) for block, layer in zip(blocks, associations.layers, strict=True)]
    kinds = [{key: (each.shape, each.dtype) for key, each in cell.state_dict().items()} for cell in cells]
    for number, (block, kind) in enumerate(zip(blocks, kinds, strict=True)):
        if type(block) is not type(blocks[0]) or kind != kinds[0]:
            _refuse(f"layer {number} of {name} is built otherwise than the first")
    weights = {key: torch.stack([cell.state_dict()[key] for cell in cells]) for key in kinds[0]}
    stack = Stack(cells[0], weights, model.config.memory_tokens)
    _check_each(model, stack, blocks)
    return stack


def _check_each(model: RecurrentDecoder, stack: Stack, blocks: Sequence[torch.nn.Module]) -> None:
    """Compare each layer of one reading with the first layer's code and its weights."""
    entries: list[Entry] = []
    outputs: list[torch.Tensor] = []

    def before(block: torch.nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        entries.append(Entry.of(block, args, named))

    def after(_block: torch.nn.Module, _args: tuple[Any, ...], output: Any) -> None:  # noqa: ANN401
        outputs.append(output[0] if isinstance(output, tuple) else output)

    with ExitStack() as hooks:
        for block in blocks:
            hooks.callback(block.register_forward_pre_hook(before, with_kwargs=True).remove)
            hooks.callback(block.register_forward_hook(after).remove)
        model.base.base_model(input_ids=torch.arange(PROBE_TOKENS, device=model.device)[None], use_cache=False)
    nothing = _associations(model).parts(model.initial_memory(1)[:, stack.places :])
    empty = [part.transpose(0, 1)[:1] for part in nothing]
    for number, (entry, output) in enumerate(zip(entries, outputs, strict=True)):
        if number and not torch.equal(entry.states, outputs[number - 1]):
            _refuse(f"layer {number} of {type(model.base).__name__} reads more than the layer before it gives")
        alone, *_ = stack.run(slice(number, number + 1), Entry(entry.states[None], entries[0].named), empty, None)
        if (alone[0] - output).abs().max() > TOLERANCE * output.abs().max():
            _refuse(f"layer {number} of {type(model.base).__name__} computes otherwise than the first")


class _EnteredError(Exception):
    """A model has reached its first layer."""

    def __init__(self, entry: Entry) -> None:
        super().__init__()
        self.entry = entry


def _enter(model: RecurrentDecoder, memory: torch.Tensor, segments: Sequence[Ids]) -> tuple[Entry, Segment]:
    """What the first layer gets of a segment of each row, all filled up to a full one."""
    size, tokens = model.config.segment_tokens, model.tokens_of(memory)
    model.check_lengths([len(segment) for segment in segments if len(segment)])
    filled = [[*segment, *[0] * (size - len(segment))] for segment in segments]
    inputs = model.joined(tokens, model.embed(torch.tensor(filled, device=model.device)), model.memory.written(tokens))
    entry = _first_entry(model, inputs)
    lengths = torch.tensor([len(segment) for segment in segments], device=model.device)
    if all(len(segment) == size for segment in segments):
        return entry, Segment(lengths, None)
    return entry, Segment(lengths, _mask(lengths, size, tokens.shape[1], inputs.dtype))


def _first_entry(model: RecurrentDecoder, inputs: torch.Tensor) -> Entry:
    """What a model's first layer gets of embeddings: its code before the layers runs, and no layer does."""
    block = blocks_of(model.base)[0]

    def stop(block: torch.nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        raise _EnteredError(Entry.of(block, args, named))

    hook = block.register_forward_pre_hook(stop, with_kwargs=True)
    try:
        model.base.base_model(inputs_embeds=inputs, use_cache=False)
    except _EnteredError as entered:
        return entered.entry
    finally:
        hook.remove()
    raise AssertionError("no layer was called")


def _mask(lengths: torch.Tensor, size: int, around: int, dtype: torch.dtype) -> torch.Tensor:
    """Causal order without the places behind a row's text, ``[rows, 1, tokens, tokens]``."""
    tokens = size + 2 * around
    place = torch.arange(tokens, device=lengths.device)
    hidden = (place >= around + lengths[:, None]) & (place < around + size)  # [rows, tokens]
    hidden = hidden[:, None] | (place > place[:, None])  # [rows, tokens, tokens]
    return torch.zeros(hidden.shape, dtype=dtype, device=lengths.device).masked_fill_(hidden, torch.finfo(dtype).min)[
        :, None
    ]


def _masks(flight: Sequence[Segment]) -> torch.Tensor | None:
    """The masks of the segments on their way, ``[segments, rows, 1, tokens, tokens]``; None if all are full."""
    short = next((segment.mask for segment in flight if segment.mask is not None), None)
    if short is None:
        return None
    causal = torch.full_like(short, torch.finfo(short.dtype).min).triu(1)
    return torch.stack([causal if segment.mask is None else segment.mask for segment in flight])


def _where_read(flight: Sequence[Segment], old: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
    """Memory ``[segments, rows, ...]``: the new one of rows that had a segment to read, the old one of others."""
    if all(segment.mask is None for segment in flight):
        return new
    reading = torch.stack([segment.lengths > 0 for segment in flight])
    return torch.where(reading.view(*reading.shape, *[1] * (new.dim() - 2)), new, old)


def _side_by_side(streams: Sequence[Iterable[Ids]]) -> Iterator[list[Ids]]:
    """The next segment of every text, an empty one where a text has ended, until all have."""
    sources, ended = [iter(stream) for stream in streams], set[int]()
    while True:
        segments: list[Ids] = []
        for row, source in enumerate(sources):
            segment = None if row in ended else next(source, None)
            if segment is None:
                ended.add(row)
            elif not len(segment):
                raise ValueError("a segment without tokens")
            segments.append([] if segment is None else segment)
        if len(ended) == len(sources):
            return
        yield segments


def _attention(device: torch.device) -> AbstractContextManager[None]:
    """Attention that takes several layers at once: torch's fused operator for the CPU would take them in a loop."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


def _associations(model: RecurrentDecoder) -> Associations:
    assert model.associations is not None  # noqa: S101 - for the type checker
    return model.associations


def _refuse(why: str) -> None:
    what = f"layers cannot read different segments at once: {why}"
    raise UserError(what, where="--set rmt-schedule=diagonal", remedy=REMEDY)
