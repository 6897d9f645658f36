"""Rows of one layer's step, ragged and with rows that fill the step up, for every way of attending to suffixes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from rmtbench.kvcache.exact.attention import Partial, attend_by_matmul
from rmtbench.kvcache.exact.suffix_attention import AttendToSuffixes, Pair, Slots

SHAPES = [(1, 4, 4, 16), (1, 8, 2, 64), (8, 6, 2, 24), (8, 4, 1, 32)]
"""Rows, heads, key-value heads and width: own keys, groups of several sizes, a width of no power of two."""
ROOM, PLACES, TOKENS = 40, 11, 30
FILLING = 3
"""The row that does not step, where there are that many."""
LENGTHS = (ROOM - 1, 0, 17, 5, 16, 32, 1, 33)
SCALE = 0.2


@dataclass(frozen=True)
class Case:
    query: torch.Tensor
    new: Pair
    kept: Pair
    slots: Slots
    prefix_keys: Pair
    prefix: Partial

    def to(self, dtype: torch.dtype, device: str = "cpu") -> Case:
        """The same numbers in another type; a copy, as the buffers are written."""
        pairs = [tuple(each.to(device, dtype, copy=True) for each in pair) for pair in (self.new, self.kept)]
        slots = Slots(*(each.to(device) for each in (self.slots.places, self.slots.lengths, self.slots.steps)))
        out, lse = (each.to(device) for each in self.prefix)
        return Case(self.query.to(device, dtype), pairs[0], pairs[1], slots, self.prefix_keys, (out.to(dtype), lse))  # type: ignore[arg-type]

    def answer(self, attend: AttendToSuffixes) -> torch.Tensor:
        return attend(self.query, self.new, self.kept, self.slots, self.prefix, SCALE)

    @property
    def stepping(self) -> torch.Tensor:
        return self.slots.steps.bool()


def make_case(shape: Sequence[int], dtype: torch.dtype) -> Case:
    """Numbers that `dtype` holds exactly, in float64; the prefix's outputs are not rounded to it."""
    rows, heads, kv_heads, width = shape
    torch.manual_seed(rows + heads)

    def states(*sizes: int) -> torch.Tensor:
        return torch.randn(sizes).to(dtype).double()

    query = states(rows, heads, width)
    prefix_keys = states(kv_heads, TOKENS, width), states(kv_heads, TOKENS, width)
    keys, values = (each.expand(rows, -1, -1, -1) for each in prefix_keys)
    out, lse = attend_by_matmul(query[:, :, None], keys, values, SCALE)
    steps = torch.ones(rows, dtype=torch.long)
    if rows > FILLING:
        steps[FILLING] = 0
    slots = Slots(torch.randperm(PLACES)[:rows], torch.tensor(LENGTHS[:rows]), steps)
    new = states(rows, kv_heads, width), states(rows, kv_heads, width)
    kept = states(PLACES, kv_heads, ROOM, width), states(PLACES, kv_heads, ROOM, width)
    return Case(query, new, kept, slots, prefix_keys, (out[:, :, 0], lse[:, :, 0]))


def by_rows(case: Case) -> torch.Tensor:
    """Attention over the prefix, what the row holds, and its new token: one row at a time, as one set of keys."""
    outs = []
    for row, (place, length) in enumerate(zip(case.slots.places.tolist(), case.slots.lengths.tolist(), strict=True)):
        keys, values = (
            torch.cat([prefix, kept[place, :, :length], new[row, :, None]], 1)[None]
            for prefix, kept, new in zip(case.prefix_keys, case.kept, case.new, strict=True)
        )
        outs.append(attend_by_matmul(case.query[row, None, :, None], keys, values, SCALE)[0][0, :, 0])
    return torch.stack(outs)
