"""Diagonal batching, after Sivtsov et al. (2025, arXiv:2506.05229): layers read different segments in one batch.

If only each layer's own memory passes from segment to segment, segment s at layer l needs (s, l - 1) and (s - 1, l). So
all (s, l) with one sum s + l run together: each weight of these layers is one batched matrix product. What is computed
is the same; sums may be added up in another order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from rmtbench.rmt.associative import AssociationPass, blocks_of
from rmtbench.rmt.base import Ids
from rmtbench.rmt.layer_stack import Entry, associations_of, check_diagonal
from rmtbench.rmt.streaming import side_by_side

if TYPE_CHECKING:
    from rmtbench.rmt.decoder import RecurrentDecoder


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
    associations, tokens = associations_of(model), model.config.memory_tokens
    memory = model.initial_memory(len(streams)) if memory is None else memory
    held = [part.transpose(0, 1).contiguous() for part in associations.parts(memory[:, tokens:])]  # layers first
    flight: list[Segment] = []  # of the layers first to last, the newest segment first
    states, first, read, source = memory.new_empty(0), 0, 0, side_by_side(streams)
    named: Mapping[str, Any] = {}
    while True:
        _, rows, given = next(source, (0, [], []))
        if not rows:
            first += 1
        else:
            entry, segment = _enter(model, memory, rows, given)
            states = torch.cat([entry.states[None], states]) if flight else entry.states[None]
            flight, named = [segment, *flight], entry.named
            read += sum(map(len, given))
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


class _EnteredError(Exception):
    """A model has reached its first layer."""

    def __init__(self, entry: Entry) -> None:
        super().__init__()
        self.entry = entry


def _enter(
    model: RecurrentDecoder, memory: torch.Tensor, rows: Sequence[int], given: Sequence[Ids]
) -> tuple[Entry, Segment]:
    """Return what the first layer gets of some rows' segments, all filled up to a full one, as are the other rows."""
    size, tokens = model.config.segment_tokens, model.tokens_of(memory)
    model.check_lengths([len(segment) for segment in given])
    by_row = dict(zip(rows, given, strict=True))
    segments = [by_row.get(row, ()) for row in range(len(memory))]
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
