"""Attention of a chunk that follows what is already cached, without a mask of [chunk, total].

The fused operator runs twice, over the earlier tokens in full and over the chunk in causal order; the two
are joined exactly by their log-sum-exp. On the CPU that was a third faster than one call with a boolean mask, after 18k
tokens. Where torch has no such operator, keys are copied for each head of a group.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import torch
from torch.nn.attention.bias import causal_lower_right

from rmtbench.kvcache.exact import attention
from rmtbench.models.architecture import attention_of, plain_causal, register_attention

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NAME = "rmtbench_chunks"


@contextmanager
def chunk_attention(model: PreTrainedModel) -> Iterator[None]:
    """Let the model attend by chunks while the block lasts; one that is not `plain_causal` keeps its own attention."""
    with attention_of(model, NAME) if plain_causal(model) else nullcontext():
        yield


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float) -> torch.Tensor:
    """Causal attention of the last tokens over all tokens.

    Args:
        query: ``[1, heads, chunk, width]``.
        key: ``[1, key-value heads, total, width]``; the chunk's own are its last.
        value: Shaped as `key`.
        scale: Of the scores.

    Returns:
        ``[1, heads, chunk, width]``.
    """
    past = key.shape[2] - query.shape[2]
    if not attention.has_operator(query):
        groups = query.shape[1] // key.shape[1]
        key, value = (tensor.repeat_interleave(groups, 1) if groups > 1 else tensor for tensor in (key, value))
        bias = causal_lower_right(query.shape[2], key.shape[2])
        joined: torch.Tensor = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=bias, scale=scale
        )
        return joined
    own = attention.attend(query, key[:, :, past:], value[:, :, past:], scale, causal=True)
    if past == 0:
        return own[0]
    return attention.merge(attention.attend(query, key[:, :, :past], value[:, :, :past], scale), own)


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    *,
    final_layer: int | None = None,
    **_rest: object,
) -> torch.Tensor:
    if module.layer_idx == final_layer:  # its keys and values are kept by now, and nobody reads what follows them
        return query.new_zeros((query.shape[0], query.shape[2], query.shape[1], value.shape[3]))
    return attend(query, key, value, scale).transpose(1, 2).contiguous()


register_attention(NAME, _attention)
