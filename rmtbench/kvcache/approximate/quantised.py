"""A prefix in 8 or 4 bits a number: keys by channel, values by token, as their outliers lie; read back layer by layer.

Source: KIVI (Liu et al., 2024, arXiv 2402.02750), without its window of recent tokens: the suffixes here are exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from rmtbench.errors import UserError
from rmtbench.kvcache.base import LayersOnDemand, PrefixKV
from rmtbench.options import flag

BITS = (8, 4)

KEY_GROUP = 64
"""Neighbouring tokens whose keys share one scale a channel."""


@dataclass(frozen=True)
class Codes:
    """Numbers in few bits: ``lowest + code * step``, over groups along one dimension.

    Attributes:
        packed: Codes as bytes, ``[heads, groups, group, width]``; two to a byte, from the width's halves, in 4 bits.
        lowest: Smallest number of each group, in single precision.
        step: Distance of two codes, shaped alike.
        bits: 8 or 4.
        tokens: How many there are; the last group is filled up.
        dtype: Of the numbers.
    """

    packed: torch.Tensor
    lowest: torch.Tensor
    step: torch.Tensor
    bits: int
    tokens: int
    dtype: torch.dtype

    @property
    def bytes(self) -> int:
        """Memory held."""
        return self.packed.nbytes + self.lowest.nbytes + self.step.nbytes

    def read(self) -> torch.Tensor:
        """The numbers, ``[heads, tokens, width]``, made anew."""
        heads, groups, group, width = self.packed.shape
        width = width if self.bits == 8 else 2 * width
        numbers = self.packed.new_empty((heads, groups, group, width), dtype=self.dtype)
        # Head by head: the float32 numbers of a whole layer would take twice the layer's memory.
        for head, (packed, lowest, step) in enumerate(zip(self.packed, self.lowest, self.step, strict=True)):
            codes = packed if self.bits == 8 else torch.cat([packed & 15, packed >> 4], -1)
            numbers[head] = torch.addcmul(lowest, codes, step)
        return numbers.flatten(1, 2)[:, : self.tokens]


def encode(numbers: torch.Tensor, bits: int, group: int, *, by_channel: bool) -> Codes:
    """Put keys or values into few bits.

    Args:
        numbers: ``[heads, tokens, width]``; in 4 bits, the width even.
        bits: 8 or 4.
        group: Tokens of a group.
        by_channel: Whether the group's tokens share a scale, one a channel; else the channels do, one a token.
    """
    heads, tokens, width = numbers.shape
    fill = -tokens % group
    whole = torch.cat([numbers, numbers[:, -1:].expand(-1, fill, -1)], 1).float().view(heads, -1, group, width)
    lowest, highest = whole.aminmax(dim=2 if by_channel else 3, keepdim=True)
    step = ((highest - lowest) / (2**bits - 1)).clamp_min_(torch.finfo(torch.float32).tiny)
    codes = ((whole - lowest) / step).round_().clamp_(0, 2**bits - 1).to(torch.uint8)
    if bits == 4:
        codes = codes[..., : width // 2] | (codes[..., width // 2 :] << 4)
    return Codes(codes, lowest, step, bits, tokens, numbers.dtype)


@dataclass(frozen=True)
class QuantisedKV(PrefixKV):
    """`PrefixKV` that hold codes: each use of a layer reads it back, which costs its bytes once more a step."""

    held: int = field(default=0)

    @property
    def bytes(self) -> int:
        """Codes and scales, and one layer read back, which stands beside them in every step."""
        return self.held


def quantise(tensors: PrefixKV, bits: int) -> QuantisedKV:
    """Put a prefix into few bits.

    Args:
        tensors: The exact ones, which are left as they are.
        bits: 8 or 4.

    Raises:
        UserError: 4 bits, and heads of an odd width.
        ValueError: Another number of bits.
    """
    if bits not in BITS:
        raise ValueError(f"{bits} bits")
    if bits == 4 and any(layer.shape[2] % 2 for layer in (*tensors.keys, *tensors.values)):
        what = f"heads of {tensors.keys[0].shape[2]} numbers cannot be put in pairs"
        raise UserError(what, where=f"{flag.kv_bits}=4", remedy=f"use {flag.kv_bits}=8 with this model")
    keys = tuple(encode(layer, bits, KEY_GROUP, by_channel=True) for layer in tensors.keys)
    values = tuple(encode(layer, bits, 1, by_channel=False) for layer in tensors.values)
    largest = max(key.nbytes + value.nbytes for key, value in zip(tensors.keys, tensors.values, strict=True))
    held = sum(codes.bytes for codes in (*keys, *values)) + largest
    read_keys = LayersOnDemand(len(keys), lambda layer: keys[layer].read())
    read_values = LayersOnDemand(len(values), lambda layer: values[layer].read())
    return QuantisedKV(read_keys, read_values, tensors.token_ids, held)
