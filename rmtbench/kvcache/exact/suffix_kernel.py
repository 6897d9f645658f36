"""`suffix_attention.attend_to_suffixes` as one Triton kernel; to be imported only where Triton is installed."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from rmtbench.kvcache.exact.attention import Partial
from rmtbench.kvcache.exact.suffix_attention import Pair, Slots

PRODUCTS, MOST_KEYS = 8192, 32
"""Products of a group's queries with a row's keys that a program holds at once, and most keys among them."""


@triton.jit  # type: ignore[untyped-decorator]
def _kernel(  # many, long: a kernel takes pointers and strides, and calls no other
    query: torch.Tensor,
    new_keys: torch.Tensor,
    new_values: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    places: torch.Tensor,
    lengths: torch.Tensor,
    steps: torch.Tensor,
    prefix: torch.Tensor,
    prefix_lse: torch.Tensor,
    out: torch.Tensor,
    scale: float,
    room: int,
    prefix_row: int,
    prefix_head: int,
    lse_row: int,
    lse_head: int,
    GROUP: tl.constexpr,  # noqa: N803 - written as Triton's own
    WIDTH: tl.constexpr,  # noqa: N803
    GROUP_BLOCK: tl.constexpr,  # noqa: N803
    WIDTH_BLOCK: tl.constexpr,  # noqa: N803
    KEY_BLOCK: tl.constexpr,  # noqa: N803
) -> None:
    """One row and one key-value head: its group's queries over the row's tokens, begun with what the prefix gave."""
    row, head, kv_heads = tl.program_id(0), tl.program_id(1), tl.num_programs(1)
    group, column = tl.arange(0, GROUP_BLOCK), tl.arange(0, WIDTH_BLOCK)
    heads, mine, wide = head * GROUP + group, group < GROUP, column < WIDTH
    inside = mine[:, None] & wide[None, :]
    at = (row * kv_heads * GROUP + heads[:, None]) * WIDTH + column[None, :]
    asked = tl.load(query + at, mask=inside, other=0.0).to(tl.float32) * scale

    # The softmax so far: its largest score, its sum relative to that, and its output.
    top = tl.load(prefix_lse + row * lse_row + heads * lse_head, mask=mine, other=0.0).to(tl.float32)
    total = tl.full((GROUP_BLOCK,), 1.0, tl.float32)
    begun = prefix + row * prefix_row + heads[:, None] * prefix_head + column[None, :]
    mean = tl.load(begun, mask=inside, other=0.0).to(tl.float32)

    # The new token, kept for the steps to come and attended to from here, so that no program waits for another.
    place = tl.load(places + row).to(tl.int64)
    length = tl.load(lengths + row).to(tl.int32)
    start = (place * kv_heads + head) * room * WIDTH
    new_at = (row * kv_heads + head) * WIDTH + column
    key, value = tl.load(new_keys + new_at, mask=wide, other=0.0), tl.load(new_values + new_at, mask=wide, other=0.0)
    kept = column < WIDTH * tl.load(steps + row)  # none where the row does not step
    tl.store(keys + start + length * WIDTH + column, key, mask=kept)
    tl.store(values + start + length * WIDTH + column, value, mask=kept)
    score = tl.sum(asked * key.to(tl.float32)[None, :], 1)
    highest = tl.maximum(top, score)
    before, weight = tl.exp(top - highest), tl.exp(score - highest)
    total = total * before + weight
    mean = mean * before[:, None] + weight[:, None] * value.to(tl.float32)[None, :]
    top = highest

    for first in range(0, length, KEY_BLOCK):
        slot = first + tl.arange(0, KEY_BLOCK)
        seen = slot < length
        block = start + slot[:, None] * WIDTH + column[None, :]
        there = seen[:, None] & wide[None, :]
        read = tl.load(keys + block, mask=there, other=0.0).to(tl.float32)
        # Products and sums in float32: a group's few queries would fill no tensor core.
        scores = tl.sum(asked[:, None, :] * read[None, :, :], 2)
        scores = tl.where(seen[None, :], scores, float("-inf"))
        highest = tl.maximum(top, tl.max(scores, 1))
        before, weights = tl.exp(top - highest), tl.exp(scores - highest[:, None])
        read = tl.load(values + block, mask=there, other=0.0).to(tl.float32)
        total = total * before + tl.sum(weights, 1)
        mean = mean * before[:, None] + tl.sum(weights[:, :, None] * read[None, :, :], 1)
        top = highest
    tl.store(out + at, mean / total[:, None], mask=inside)  # rounded to the type of `out`


def attend_to_suffixes(
    query: torch.Tensor, new: Pair, kept: Pair, slots: Slots, prefix: Partial, scale: float
) -> torch.Tensor:
    """Keep each row's new key and value, and attend: see `suffix_attention.attend_to_suffixes`."""
    rows, heads, width = query.shape
    kv_heads, room = kept[0].shape[1:3]
    asked, (key, value), (begun, lse) = query.contiguous(), (each.contiguous() for each in new), prefix
    if begun.stride(-1) != 1:
        begun = begun.contiguous()
    out = torch.empty_like(asked)
    group_block, width_block = (triton.next_power_of_2(each) for each in (heads // kv_heads, width))
    # Triton starts kernels on the current device, wherever the tensors are.
    with torch.cuda.device_of(query):  # type: ignore[no-untyped-call]
        _kernel[(rows, kv_heads)](
            asked,
            key,
            value,
            *kept,
            slots.places,
            slots.lengths,
            slots.steps,
            begun,
            lse,
            out,
            scale,
            room,
            begun.stride(0),
            begun.stride(1),
            lse.stride(0),
            lse.stride(1),
            GROUP=heads // kv_heads,
            WIDTH=width,
            GROUP_BLOCK=group_block,
            WIDTH_BLOCK=width_block,
            KEY_BLOCK=max(1, min(MOST_KEYS, PRODUCTS // (group_block * width_block))),
        )
    return out
