"""Keys and values of the rows' own tokens: one preallocated place a row, written in place, rows of any length.

A `Round` is one forward of the model: some rows step by one token, others enter with their whole question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from rmtbench.kvcache.base import PrefixTensors
from rmtbench.kvcache.shared_attention import Partial, attend


class Suffixes:
    """Buffers of all layers, each ``[places, key-value heads, room, width]``, shaped and typed as the prefix."""

    def __init__(self, prefix: PrefixTensors, places: int, room: int) -> None:
        self.keys = [key.new_zeros((places, key.shape[0], room, key.shape[2])) for key in prefix.keys]
        self.values = [value.new_zeros((places, value.shape[0], room, value.shape[2])) for value in prefix.values]
        self.lengths = [0] * places

    @property
    def bytes(self) -> int:
        """Memory held."""
        return sum(tensor.nbytes for tensor in (*self.keys, *self.values))


@dataclass(frozen=True)
class Round:
    """One forward's tokens in a line: one of each row that steps, then all of each row that enters.

    Attributes:
        prefix: What all rows continue.
        suffixes: The rows' own keys and values.
        places: Place of each token, ``[tokens]``.
        slots: Its slot there, ``[tokens]``.
        stepping: Places of the rows that step: a slice where they lie side by side, else indexes.
        steps: How many they are.
        longest: Most slots that one of them sees.
        bias: Hides what a row does not have, ``[steps, 1, 1, longest]``; None where all are of equal length.
        entering: Token counts of the rows that enter.
        padded: For each slot of the entering rows side by side, padded at the end, which entering token stands
            there; None for a single row.
        packed: The way back: where each entering token stands among those slots.
        last: The last token of each row, whose logits are wanted.
    """

    prefix: PrefixTensors
    suffixes: Suffixes
    places: torch.Tensor
    slots: torch.Tensor
    stepping: slice | torch.Tensor
    steps: int
    longest: int
    bias: torch.Tensor | None
    entering: tuple[int, ...]
    padded: torch.Tensor | None
    packed: torch.Tensor | None
    last: torch.Tensor

    def attend_to_suffixes(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
    ) -> Partial:
        """Keep one layer's new keys and values, and attend each token to its own row.

        Args:
            layer: Its number.
            query: ``[1, heads, tokens, width]``.
            key: ``[1, key-value heads, tokens, width]``.
            value: As `key`.
            scale: Factor of the scores.

        Returns:
            Outputs ``[tokens, heads, width]`` and log-sum-exps ``[tokens, heads]``.
        """
        keys, values = self.suffixes.keys[layer], self.suffixes.values[layer]
        keys[self.places, :, self.slots] = key[0].transpose(0, 1)
        values[self.places, :, self.slots] = value[0].transpose(0, 1)
        parts = []
        if self.steps:
            parts.append(self._step(query[0, :, : self.steps], keys, values, scale))
        if self.entering:
            query, key, value = (states[:, :, self.steps :] for states in (query, key, value))
            parts.append(self._enter(query, key, value, scale))
        if len(parts) == 1:
            return parts[0]
        return torch.cat([out for out, _ in parts]), torch.cat([lse for _, lse in parts])

    def _step(self, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scale: float) -> Partial:
        """One query a row; its group's heads read the same keys, so they are queries of one head."""
        heads, rows, width = query.shape
        folded = query.transpose(0, 1).view(rows, keys.shape[1], -1, width)
        keys, values = (states[self.stepping][:, :, : self.longest] for states in (keys, values))
        out, lse = attend(folded, keys, values, scale, bias=self.bias)
        return out.reshape(rows, heads, width), lse.reshape(rows, heads)

    def _enter(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float) -> Partial:
        """Whole questions. Padded at the end, plain causal order hides from each token all that is not its own."""
        if self.padded is None:
            out, lse = attend(query, key, value, scale, causal=True)
            return out[0].transpose(0, 1), lse[0].transpose(0, 1)
        rows = len(self.entering)
        query, key, value = (
            states[0].transpose(0, 1)[self.padded].view(rows, -1, states.shape[1], states.shape[3]).transpose(1, 2)
            for states in (query, key, value)
        )
        out, lse = attend(query, key, value, scale, causal=True)
        return out.transpose(1, 2).flatten(0, 1)[self.packed], lse.transpose(1, 2).flatten(0, 1)[self.packed]


def plan_round(
    prefix: PrefixTensors, suffixes: Suffixes, stepping: Sequence[int], entering: Sequence[tuple[int, int]]
) -> Round:
    """Lay out one forward, and move the rows' lengths on.

    Args:
        prefix: What all rows continue.
        suffixes: The buffers; `lengths` of the stepping rows grow by one, those of the entering begin anew.
        stepping: Places that get one token, ascending.
        entering: Places and token counts, at least one, of rows that begin.

    Raises:
        ValueError: A row is longer than its place.
    """
    device, lengths = suffixes.keys[0].device, suffixes.lengths  # a prefix in few bits would be read back for it
    slots = [lengths[place] for place in stepping]
    for place in stepping:
        lengths[place] += 1
    for place, count in entering:
        lengths[place] = count
    room = suffixes.keys[0].shape[2]
    if max(lengths[place] for place in [*stepping, *(place for place, _ in entering)]) > room:
        raise ValueError(f"a row is longer than the {room} tokens of its place")
    counts = tuple(count for _, count in entering)
    places = [*stepping, *(place for place, count in entering for _ in range(count))]
    slots += [slot for count in counts for slot in range(count)]
    own = [lengths[place] for place in stepping]
    longest = max(own, default=0)
    bias = None
    if min(own, default=0) < longest:
        hidden = torch.arange(longest, device=device) >= torch.tensor(own, device=device)[:, None]
        bias = hidden.to(suffixes.keys[0].dtype).masked_fill_(hidden, -torch.inf)[:, None, None]
    padded = packed = None
    if len(counts) > 1:
        widest = max(counts)
        starts = torch.tensor([0, *counts[:-1]], device=device).cumsum(0)[:, None]
        steps = torch.arange(widest, device=device)
        inside = steps < torch.tensor(counts, device=device)[:, None]
        padded = torch.where(inside, starts + steps, starts).flatten()
        packed = inside.flatten().nonzero()[:, 0]
    ends = torch.tensor([*[1] * len(stepping), *counts], device=device).cumsum(0) - 1
    together = list(stepping) == list(range(stepping[0], stepping[0] + len(stepping))) if stepping else True
    return Round(
        prefix=prefix,
        suffixes=suffixes,
        places=torch.tensor(places, device=device),
        slots=torch.tensor(slots, device=device),
        stepping=slice(stepping[0], stepping[-1] + 1)
        if stepping and together
        else torch.tensor(stepping, dtype=torch.long, device=device),
        steps=len(stepping),
        longest=longest,
        bias=bias,
        entering=counts,
        padded=padded,
        packed=packed,
        last=ends,
    )
