"""Exact attention over a stored prefix, with the log-sum-exp that joins it to attention over other keys.

Attention over the union of two key sets is a weighted mean of attention over each, weighted by their log-sum-exps. So
the prefix is read once for all rows and all heads of a group (Hydragen, arXiv 2402.05099).
"""

from __future__ import annotations

import math
from functools import reduce
from typing import Any

import torch

Partial = tuple[torch.Tensor, torch.Tensor]
"""Attention over some of the keys: outputs ``[rows, heads, queries, width]`` and log-sum-exps without the width."""

# Private operators of torch, which alone return the log-sum-exp: where one is missing, `attend_by_matmul` serves.
_CPU: Any = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)
_CUDA: Any = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention", None)


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    *,
    causal: bool = False,
    bias: torch.Tensor | None = None,
) -> Partial:
    """Attention with its log-sum-exp, by the fastest exact way there is.

    Args:
        query: ``[rows, heads, queries, width]``.
        key: ``[rows, key-value heads, keys, width]``.
        value: As `key`.
        scale: Factor of the scores.
        causal: Query i sees keys 0 to i alone.
        bias: Added to the scores, ``[rows or 1, 1, queries or 1, keys]``; minus infinity hides a key. A query without
            any key has output 0 and log-sum-exp minus infinity.
    """
    if query.device.type == "cpu" and has_operator(query):
        out, lse = _CPU(query, key, value, 0.0, causal, attn_mask=bias, scale=scale)
        if bias is not None:  # of a query without any key the operator says 0
            lse = lse.masked_fill(bias.amax(-1) == -torch.inf, -torch.inf)
            out = out.nan_to_num_()
        return out, lse
    if query.is_cuda and bias is None and has_operator(query):
        found = _CUDA(query, key, value, 0.0, causal, False, scale=scale)
        return found[0], found[1]
    return attend_by_matmul(query, key, value, scale, causal=causal, bias=bias)


def has_operator(query: torch.Tensor) -> bool:
    """Return whether torch has a fused operator for queries of this device, type and width."""
    if query.device.type == "cpu":
        return _CPU is not None
    half, width = query.dtype in (torch.float16, torch.bfloat16), query.shape[-1]
    return (
        query.is_cuda
        and _CUDA is not None
        and half
        and width % 8 == 0
        and width <= 256
        and torch.cuda.get_device_capability(query.device) >= FLASH_CAPABILITY
    )


FLASH_CAPABILITY = (8, 0)
"""Least compute capability of torch's flash operators: Ampere. Older cards take another exact way."""


def attend_by_matmul(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    *,
    causal: bool = False,
    bias: torch.Tensor | None = None,
) -> Partial:
    """Compute the same by matrix products in float32, for every device and type.

    The keys are read block by block and joined by their log-sum-exps, so the scores held at once do not grow with them.
    Heads of a group are queries of their key-value head, so that no key is copied for a head.
    """
    rows, heads, queries, width = query.shape
    wide = torch.promote_types(query.dtype, torch.float32)  # scores rounded to bfloat16 would be off by several percent
    folded = (
        query.to(wide).reshape(rows, key.shape[1], -1, width) * scale
    )  # [rows, key-value heads, group x queries, ..]
    blocks = []
    for start in range(0, max(key.shape[2], 1), KEY_BLOCK):
        block = slice(start, start + KEY_BLOCK)
        scores = (folded @ key[:, :, block].to(wide).transpose(-1, -2)).view(rows, heads, queries, -1)
        if causal:
            places = torch.arange(start, start + scores.shape[-1], device=scores.device)
            later = places > torch.arange(queries, device=scores.device)[:, None]
            scores = scores.masked_fill(later, -torch.inf)
        if bias is not None:
            scores = scores + bias[..., block]
        lse = scores.logsumexp(-1)  # [rows, heads, queries]
        weights = (scores - lse[..., None]).exp_().masked_fill_((lse == -torch.inf)[..., None], 0)
        out = weights.view(rows, key.shape[1], -1, weights.shape[-1]) @ value[:, :, block].to(wide)
        blocks.append((out.view(rows, heads, queries, -1), lse))
    out, lse = reduce(_union_of_blocks, blocks)
    return out.to(query.dtype), lse


KEY_BLOCK = 4096
"""Keys whose scores `attend_by_matmul` holds at once."""


def _union_of_blocks(first: Partial, second: Partial) -> Partial:
    """Join two blocks of keys; unlike in `_union`, a query may see no key of either."""
    out, lse = _union(first, second)
    return out.masked_fill((lse == -torch.inf)[..., None], 0), lse


def merge(first: Partial, second: Partial) -> torch.Tensor:
    """Outputs over the union of two disjoint key sets; at least one of them must be visible to every query.

    Source: ``o = sigmoid(l2 - l1) * o2 + sigmoid(l1 - l2) * o1``, the identity of Hydragen (arXiv 2402.05099).
    """
    (out, lse), (other, other_lse) = first, second
    weight = torch.sigmoid(other_lse - lse)[..., None]
    wide = torch.promote_types(out.dtype, torch.float32)
    return torch.lerp(out.to(wide), other.to(wide), weight.to(wide)).to(out.dtype)


def attend_to_prefix(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float) -> Partial:
    """Attention of all queries over the prefix, which is read once.

    Args:
        query: ``[heads, queries, width]``, the queries of all rows.
        key: ``[key-value heads, tokens, width]``.
        value: As `key`.
        scale: Factor of the scores.

    Returns:
        Outputs ``[queries, heads, width]`` and log-sum-exps ``[queries, heads]``.
    """
    heads, queries, width = query.shape
    # The heads of a group read the same keys, so to the operator they are more queries of one head.
    folded = query.reshape(1, key.shape[0], -1, width)
    splits = _splits(folded, key.shape[1])
    if splits == 1:
        out, lse = attend(folded, key[None], value[None], scale)
    else:
        out, lse = _attend_in_parts(folded, key, value, scale, splits)
    return out.reshape(heads, queries, width).transpose(0, 1), lse.reshape(heads, queries).t()


def _splits(folded: torch.Tensor, keys: int) -> int:
    """The CPU's operator gives a thread a head and up to 32 queries: few of them would leave threads idle."""
    if folded.device.type != "cpu" or _CPU is None:
        return 1
    threads, tasks = torch.get_num_threads(), folded.shape[1] * -(-folded.shape[2] // 32)
    wanted = 1 if tasks >= 4 * threads else threads // math.gcd(threads, tasks)
    return max(1, min(wanted, keys // LEAST_KEYS))


LEAST_KEYS = 1024
"""Of a part: below, joining the parts costs more than it gains."""


def _attend_in_parts(
    folded: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float, splits: int
) -> Partial:
    """Parts of equal length stand side by side as heads of the operator; what is left over is a short part more."""
    kv_heads, keys, width = key.shape
    length = keys // splits
    query, end = folded.transpose(0, 1), splits * length
    parts = [states[:, :end].view(kv_heads, splits, length, width) for states in (key, value)]
    out, lse = attend(query.expand(-1, splits, -1, -1), parts[0], parts[1], scale)
    found = list(zip(out.unbind(1), lse.unbind(1), strict=True))
    if end < keys:
        more = attend(query, key[:, None, end:], value[:, None, end:], scale)
        found.append((more[0][:, 0], more[1][:, 0]))
    out, lse = reduce(_union, found)  # two by two: a log-sum-exp of all parts at once takes longer on the CPU
    return out[None].to(folded.dtype), lse[None]


def _union(first: Partial, second: Partial) -> Partial:
    """Two parts as one, in float32 or wider: what is joined again is not rounded in between."""
    (out, lse), (other, other_lse) = first, second
    wide = torch.promote_types(out.dtype, torch.float32)
    return merge((out.to(wide), lse), (other.to(wide), other_lse)), torch.logaddexp(lse, other_lse)
