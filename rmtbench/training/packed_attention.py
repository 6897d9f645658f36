"""Attention over a line of contexts and questions, block by block, and its gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from rmtbench.models.architecture import register_attention
from rmtbench.training.packing import Block

NAME = "rmtbench_packed"
"""The attention's name among those of transformers."""


def _attention(
    _module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    *,
    packing: Sequence[Block],
    **_rest: object,
) -> torch.Tensor:
    """Every block over its context and itself; ``[1, tokens, heads, width]``."""
    tokens, width = query.shape[2:]
    grouped = (query[0] * scale).view(key.shape[1], -1, tokens, width).to(value.dtype)  # [key heads, group, ...]
    attended: torch.Tensor = _Attend.apply(grouped, key[0].to(value.dtype), value[0], packing)  # type: ignore[no-untyped-call]
    return attended.flatten(0, 1).transpose(0, 1)[None].contiguous()


class _Attend(torch.autograd.Function):
    """Two matrix products and a softmax a block, made again for the gradient.

    In bfloat16 a CPU needs half of the time of torch's fused attention for it, or less. Query heads that share a key
    head are rows of one product. The gradient is that of FlashAttention (Dao et al., 2022, algorithm 4).
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's context
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        blocks: Sequence[Block],
    ) -> torch.Tensor:
        """Query and result are ``[key heads, group, tokens, width]``, key and value ``[key heads, tokens, width]``."""
        attended = torch.empty_like(query)
        for block in blocks:
            shares = _shares(query, key, block)
            attended[:, :, block.rows] = (shares @ _seen(value, block)).view_as(query[:, :, block.rows])
        ctx.save_for_backward(query, key, value, attended)
        ctx.blocks = blocks
        return attended

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, None]:  # noqa: ANN401
        """Return the gradients of query, key and value."""
        query, key, value, attended = ctx.saved_tensors
        along = (gradient * attended).sum(-1, keepdim=True)  # [key heads, group, tokens, 1]
        of_query = torch.empty_like(query)
        of_key, of_value = (torch.zeros_like(each, dtype=torch.float32) for each in (key, value))
        for block in ctx.blocks:
            shares = _shares(query, key, block)  # [key heads, group x rows, seen]
            rows = gradient[:, :, block.rows].flatten(1, 2)
            _add_seen(of_value, shares.transpose(1, 2) @ rows, block)
            of_scores = rows @ _seen(value, block).transpose(1, 2)
            of_scores.sub_(along[:, :, block.rows].flatten(1, 2)).mul_(shares)
            of_query[:, :, block.rows] = (of_scores @ _seen(key, block)).view_as(query[:, :, block.rows])
            _add_seen(of_key, of_scores.transpose(1, 2) @ query[:, :, block.rows].flatten(1, 2), block)
        return of_query, of_key.to(key.dtype), of_value.to(value.dtype), None


def _shares(query: torch.Tensor, key: torch.Tensor, block: Block) -> torch.Tensor:
    """Attention of a block's rows to what they see, ``[key heads, group x rows, seen]``."""
    rows = query[:, :, block.rows]
    scores = rows.flatten(1, 2) @ _seen(key, block).transpose(1, 2)
    within = scores.view(*rows.shape[:3], -1)[..., -rows.shape[2] :]
    within.masked_fill_(block.hidden, float("-inf"))
    return scores.softmax(-1)


def _seen(tensor: torch.Tensor, block: Block) -> torch.Tensor:
    """The context's and the block's own rows of ``[key heads, tokens, width]``."""
    if block.context.stop == block.rows.start:
        return tensor[:, block.context.start : block.rows.stop]
    return torch.cat((tensor[:, block.context], tensor[:, block.rows]), 1)


def _add_seen(total: torch.Tensor, part: torch.Tensor, block: Block) -> None:
    """Add ``[key heads, seen, width]`` to where it belongs."""
    context = block.context.stop - block.context.start
    total[:, block.context] += part[:, :context]
    total[:, block.rows] += part[:, context:]


register_attention(NAME, _attention)
