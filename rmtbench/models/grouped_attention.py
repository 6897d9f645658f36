"""Attention under a mask in which the heads of a group read one copy of their keys, for prompts in a GPU's memory.

With a mask and several queries, transformers copies the keys for every head, and torch's own grouping holds all scores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn.functional import scaled_dot_product_attention

from rmtbench.models.architecture import plain_causal, register_attention

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

NAME = "rmtbench_grouped"
"""The implementation's name among those of transformers."""


def saves_copies(model: PreTrainedModel) -> bool:
    """Return whether a model's masked forwards should attend by groups: on a GPU, where copies may not fit."""
    return model.device.type == "cuda" and serves(model)


def serves(model: PreTrainedModel) -> bool:
    """Return whether a model's masked forwards may attend by groups: plain attention, heads that share keys."""
    config = model.config
    heads: int | None = getattr(config, "num_key_value_heads", None)
    grouped = heads is not None and heads < config.num_attention_heads
    return grouped and plain_causal(model) and bool(getattr(model, "_supports_attention_backend", False))


def attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, visible: torch.Tensor, scale: float
) -> torch.Tensor:
    """Attention under a mask without a copy of the keys.

    Args:
        query: ``[rows, heads, queries, width]``.
        key: ``[rows, key-value heads, slots, width]``.
        value: As `key`.
        visible: Which slots each query sees, truth values ``[rows or 1, 1, queries, slots]``.
        scale: Factor of the scores.

    Returns:
        ``[rows, heads, queries, width]``.
    """
    rows, heads, queries, width = query.shape
    kv_heads = key.shape[1]
    # Key-value heads become rows, and a group's heads the heads of such a row. They share its keys by a stride of 0.
    folded = query.reshape(rows * kv_heads, -1, queries, width)
    key, value = (
        states.flatten(0, 1)[:, None].expand(-1, folded.shape[1], -1, -1) for states in (key, value)
    )  # [rows x key-value heads, group, slots, width]
    if visible.shape[0] > 1:
        visible = visible.repeat_interleave(kv_heads, 0)
    out = scaled_dot_product_attention(folded, key, value, attn_mask=visible, scale=scale)
    return out.reshape(rows, heads, queries, width)


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    *,
    attention_mask: torch.Tensor | None,
    **_rest: object,
) -> torch.Tensor:
    if attention_mask is None:
        raise RuntimeError(f"{type(module).__name__} gives {NAME} no mask")
    return attend(query, key, value, attention_mask, scale).transpose(1, 2).contiguous()


register_attention(NAME, _attention, refuse_masks=True)
