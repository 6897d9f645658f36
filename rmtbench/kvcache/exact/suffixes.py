"""Keys and values of the rows' own tokens: one preallocated place a row, written in place, rows of any length.

A `Round` is one forward of the model: some rows step by one token, others enter with their whole question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from rmtbench.kvcache.base import PrefixKV
from rmtbench.kvcache.exact.attention import Partial, attend, attend_to_prefix, merge
from rmtbench.models.native.step import attend as attend_few
from rmtbench.models.native.step import attention_serves


class Suffixes:
    """Buffers of all layers, each ``[places, key-value heads, room, width]``, shaped and typed as the prefix."""

    def __init__(self, prefix: PrefixKV, places: int, room: int) -> None:
        self.keys = [key.new_zeros((places, key.shape[0], room, key.shape[2])) for key in prefix.keys]
        self.values = [value.new_zeros((places, value.shape[0], room, value.shape[2])) for value in prefix.values]
        self.lengths = [0] * places

    @property
    def bytes(self) -> int:
        """Memory held."""
        return sum(tensor.nbytes for tensor in (*self.keys, *self.values))

    def clear(self, place: int) -> None:
        """Forget a failed row: a number that is not finite would spoil the next row there, though it is hidden."""
        for tensor in (*self.keys, *self.values):
            tensor[place] = 0


@dataclass(frozen=True)
class Rows:
    """Rows of which one token each is asked, over all that their places hold.

    Attributes:
        places: A slice where they lie side by side, else indexes.
        count: How many they are.
        longest: Most slots that one of them sees.
        bias: Hides what a row does not have, ``[count, 1, 1, longest]``; None where all are of equal length.
    """

    places: slice | torch.Tensor
    count: int
    longest: int
    bias: torch.Tensor | None

    def attend(self, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scale: float) -> Partial:
        """Attention of ``[heads, count, width]``; a group's heads read the same keys, so they are queries of one."""
        heads, rows, width = query.shape
        folded = query.transpose(0, 1).reshape(rows, keys.shape[1], -1, width)
        keys, values = (states[self.places][:, :, : self.longest] for states in (keys, values))
        out, lse = attend(folded, keys, values, scale, bias=self.bias)
        return out.reshape(rows, heads, width), lse.reshape(rows, heads)


@dataclass(frozen=True)
class Round:
    """One forward's tokens in a line: one of each row that steps, then all of each row that enters.

    Attributes:
        prefix: What all rows continue.
        suffixes: The rows' own keys and values.
        places: Place of each token, ``[tokens]``.
        slots: Its slot there, ``[tokens]``.
        stepping: The rows that step.
        all: All rows, each asked its last token.
        entering: Token counts of the rows that enter.
        padded: For each slot of the entering rows side by side, padded at the end, which entering token stands
            there; None for a single row.
        packed: The way back: where each entering token stands among those slots.
        last: The last token of each row, whose logits are wanted.
    """

    prefix: PrefixKV
    suffixes: Suffixes
    places: torch.Tensor
    slots: torch.Tensor
    stepping: Rows
    all: Rows
    entering: tuple[int, ...]
    padded: torch.Tensor | None
    packed: torch.Tensor | None
    last: torch.Tensor

    @cached_property
    def held(self) -> list[tuple[int, int]]:
        """Place and tokens of each row that steps, the new one included."""
        return [(place, self.suffixes.lengths[place]) for place in self.places[: self.stepping.count].tolist()]

    def step(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """Keep the stepping rows' new keys and values, and attend to the prefix and to them: see `Attend`."""
        keys, values = self.suffixes.keys[layer], self.suffixes.values[layer]
        prefix = self.prefix.keys[layer], self.prefix.values[layer]
        if attention_serves(query, keys, values, *prefix):
            own = [(keys[place, :, :tokens], values[place, :, :tokens]) for place, tokens in self.held]
            return attend_few(query, (key, value), own, prefix, scale)
        keys[self.places, :, self.slots] = key
        values[self.places, :, self.slots] = value
        asked = query.transpose(0, 1)  # [heads, rows, width]
        return merge(attend_to_prefix(asked, *prefix, scale), self.stepping.attend(asked, keys, values, scale))

    def attend_to_suffixes(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
    ) -> Partial:
        """Keep one layer's new keys and values, and attend to them: each token, or of each row the last alone.

        Args:
            layer: Its number.
            query: ``[1, heads, tokens, width]``; or ``[1, heads, rows, width]``, those of `last`.
            key: ``[1, key-value heads, tokens, width]``.
            value: As `key`.
            scale: Factor of the scores.

        Returns:
            Outputs ``[queries, heads, width]`` and log-sum-exps ``[queries, heads]``.
        """
        keys, values = self.suffixes.keys[layer], self.suffixes.values[layer]
        keys[self.places, :, self.slots] = key[0].transpose(0, 1)
        values[self.places, :, self.slots] = value[0].transpose(0, 1)
        if query.shape[2] == self.all.count:
            return self.all.attend(query[0], keys, values, scale)
        steps, parts = self.stepping.count, []
        if steps:
            parts.append(self.stepping.attend(query[0, :, :steps], keys, values, scale))
        query, key, value = (states[:, :, steps:] for states in (query, key, value))
        parts.append(self._enter(query, key, value, scale))
        if len(parts) == 1:
            return parts[0]
        return torch.cat([out for out, _ in parts]), torch.cat([lse for _, lse in parts])

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
    prefix: PrefixKV, suffixes: Suffixes, stepping: Sequence[int], entering: Sequence[tuple[int, int]]
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
    padded = packed = None
    if len(counts) > 1:
        widest = max(counts)
        starts = torch.tensor([0, *counts[:-1]], device=device).cumsum(0)[:, None]
        steps = torch.arange(widest, device=device)
        inside = steps < torch.tensor(counts, device=device)[:, None]
        padded = torch.where(inside, starts + steps, starts).flatten()
        packed = inside.flatten().nonzero()[:, 0]
    ends = torch.tensor([*[1] * len(stepping), *counts], device=device).cumsum(0) - 1
    stepped = _rows(suffixes, stepping)
    return Round(
        prefix=prefix,
        suffixes=suffixes,
        places=torch.tensor(places, device=device),
        slots=torch.tensor(slots, device=device),
        stepping=stepped,
        all=_rows(suffixes, [*stepping, *(place for place, _ in entering)]) if entering else stepped,
        entering=counts,
        padded=padded,
        packed=packed,
        last=ends,
    )


def _rows(suffixes: Suffixes, places: Sequence[int]) -> Rows:
    """Rows at places, asked over all that these hold by now."""
    buffer, own = suffixes.keys[0], [suffixes.lengths[place] for place in places]
    longest, bias = max(own, default=0), None
    if min(own, default=0) < longest:
        hidden = torch.arange(longest, device=buffer.device) >= torch.tensor(own, device=buffer.device)[:, None]
        bias = hidden.to(buffer.dtype).masked_fill_(hidden, -torch.inf)[:, None, None]
    together = not places or list(places) == list(range(places[0], places[0] + len(places)))
    where = (
        slice(places[0], places[-1] + 1)
        if places and together
        else torch.tensor(places, dtype=torch.long, device=buffer.device)
    )
    return Rows(where, len(places), longest, bias)
