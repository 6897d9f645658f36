"""Attention of a chunk that follows what is already cached, without a mask of [chunk, total].

On the CPU the fused operator runs twice, over the earlier tokens in full and over the chunk in causal order; the two
are joined exactly by their log-sum-exp. That was a third faster than one call with a boolean mask, at 20k tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch.nn.attention.bias import causal_lower_right
from transformers import AttentionInterface, AttentionMaskInterface

from rmtbench.models.architecture import uses_sliding_window

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NAME = "rmtbench_chunks"

PLAIN_CAUSAL = frozenset({"gemma", "gpt2", "llama", "mistral", "olmo2", "phi3", "qwen2", "qwen3", "smollm3"})
"""Model types whose attention is scaled dot products in causal order and nothing else: no soft cap, bias or sink."""


def serves(model: PreTrainedModel) -> bool:
    """Whether a model's chunks may be read by this attention; others read them by their own, with masks."""
    return model.config.model_type in PLAIN_CAUSAL and not uses_sliding_window(model)


@contextmanager
def chunk_attention(model: PreTrainedModel) -> Iterator[None]:
    """Let the model attend by chunks while the block lasts, where `serves` allows it."""
    if not serves(model):
        yield
        return
    config = model.config
    before = config._attn_implementation  # noqa: SLF001 - the only switch that loads nothing anew
    config._attn_implementation = NAME  # noqa: SLF001
    try:
        yield
    finally:
        config._attn_implementation = before  # noqa: SLF001


def attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None = None, *, fused: bool = True
) -> torch.Tensor:
    """Causal attention of the last tokens over all tokens.

    Args:
        query: ``[1, heads, chunk, width]``.
        key: ``[1, key-value heads, total, width]``; the chunk's own are its last.
        value: Shaped as `key`.
        scale: Of the scores; None for one over the width's root.
        fused: Whether the CPU's private fused operator may be used; its result is the same but for rounding.

    Returns:
        ``[1, heads, chunk, width]``.
    """
    past = key.shape[2] - query.shape[2]
    if not (fused and query.device.type == "cpu"):
        groups = query.shape[1] // key.shape[1]
        key, value = (tensor.repeat_interleave(groups, 1) if groups > 1 else tensor for tensor in (key, value))
        bias = causal_lower_right(query.shape[2], key.shape[2])
        joined: torch.Tensor = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=bias, scale=scale
        )
        return joined
    own, own_weight = _flash(query, key[:, :, past:], value[:, :, past:], causal=True, scale=scale)
    if past == 0:
        return own
    earlier, earlier_weight = _flash(query, key[:, :, :past], value[:, :, :past], causal=False, scale=scale)
    share = torch.sigmoid(own_weight - earlier_weight).unsqueeze(-1)
    return torch.lerp(earlier.to(share.dtype), own.to(share.dtype), share).to(query.dtype)


def _flash(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *, causal: bool, scale: float | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Output, and the log-sum-exp of each query's scores, ``[1, heads, chunk]``."""
    operator = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu  # noqa: SLF001 - no public one gives the sum
    output, weight = operator(query, key, value, 0.0, causal, scale=scale)
    return output, weight


def _attention(
    _module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    _mask: torch.Tensor | None,
    scaling: float | None = None,
    **_rest: object,
) -> tuple[torch.Tensor, None]:
    return attend(query, key, value, scaling).transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, _attention)
# Without a mask function of the same name transformers would make none, and warn of nothing; here that is meant.
AttentionMaskInterface.register(NAME, lambda *_args, **_kwargs: None)
