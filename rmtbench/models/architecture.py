"""Which architectures our cache and masks can serve, and which they must refuse."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rmtbench.errors import UserError
from rmtbench.options import flag

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel


def check_supported(model: PreTrainedModel) -> None:
    """Refuse a model whose cache our preallocated one cannot stand in for.

    Raises:
        UserError: It keeps recurrent state, was trained to fill gaps, or cannot give the last token's logits alone.
    """
    name = type(model).__name__
    trained_as = next(iter(getattr(model.config, "architectures", None) or []), name)
    if trained_as.endswith(("ForMaskedLM", "ForPreTraining")) and not getattr(model.config, "is_decoder", False):
        raise UserError(
            f"{trained_as} is a masked model: it fills gaps in a text, and does not continue one",
            where=flag.model,
            remedy="choose a causal language model",
        )
    layer_types = set(getattr(model.config, "layer_types", None) or ["full_attention"])
    unknown = layer_types - {"full_attention", "sliding_attention"}
    if unknown or not getattr(model.config, "num_attention_heads", None):
        raise UserError(
            f"{name} has layers that are not plain attention ({', '.join(sorted(unknown)) or 'no attention heads'})",
            where=flag.model,
            remedy="choose a model whose layers are all attention",
        )
    if "logits_to_keep" not in inspect.signature(model.forward).parameters:
        raise UserError(
            f"{name} computes the logits of all tokens, not of the last one alone",
            where=flag.model,
            remedy="choose a newer architecture",
        )


PLAIN_CAUSAL = frozenset({"gemma", "gpt2", "llama", "mistral", "olmo2", "phi3", "qwen2", "qwen3", "smollm3"})
"""Model types whose attention is scaled dot products in causal order and nothing else: no soft cap, bias or sink."""


def plain_causal(model: PreTrainedModel) -> bool:
    """Return whether a model's attention is one of `PLAIN_CAUSAL`, without sliding windows."""
    return model.config.model_type in PLAIN_CAUSAL and not uses_sliding_window(model)


def uses_sliding_window(model: PreTrainedModel) -> bool:
    """Whether some layer sees only the last so many tokens."""
    config = model.config
    if "sliding_attention" in (getattr(config, "layer_types", None) or []):
        return True
    if "local" in (getattr(config, "attention_layers", None) or []):  # GPT-Neo, in its own words
        return True
    window = getattr(config, "sliding_window", None)
    return window is not None and getattr(config, "use_sliding_window", True) is not False


def sliding_window(model: PreTrainedModel) -> int | None:
    """How many of the last tokens some layer sees; None where every layer sees all."""
    config = model.config
    names = ("sliding_window", "window_size")  # GPT-Neo has a word of its own here, too
    return (
        next(filter(None, (getattr(config, name, None) for name in names)), None)
        if uses_sliding_window(model)
        else None
    )


def context_limit(config: PretrainedConfig) -> int | None:
    """Return the most positions at which a model reads every token alike, however many follow; None for no limit.

    The rotary scaling decides (`rope_type`), since many configurations keep the old `max_position_embeddings`:

    - ``yarn`` (Peng et al., 2023, arXiv 2309.00071) and ``linear`` (Chen et al., 2023, arXiv 2306.15595) squeeze
      `factor` times the original positions into the trained angles. The limit is `factor` times the original ones,
      unless `max_position_embeddings` is already higher. ``linear`` names no original as a rule: then
      `max_position_embeddings` is taken for it, as vLLM does.
    - ``dynamic`` and ``longrope`` (Ding et al., 2024, arXiv 2402.13753) turn keys by other angles once a text is longer
      than the original positions. Keys that were read before would be another text's, so the limit is the original.
    - ``llama3``, no scaling, and scalings by layer type: `max_position_embeddings` is true.
    """
    limit: int | None = getattr(config, "max_position_embeddings", None)
    rope = getattr(config, "rope_parameters", None) or {}
    original = rope.get("original_max_position_embeddings") or getattr(config, "original_max_position_embeddings", None)
    known = [int(each) for each in (limit, original) if each is not None]
    if not known:
        return None
    kind, factor = rope.get("rope_type"), rope.get("factor")
    if kind in ("dynamic", "longrope"):
        return min(known)
    if kind in ("yarn", "linear") and factor is not None:
        return max(*known, round(float(factor) * int(original if original is not None else known[0])))
    return limit


def check_batch(model: PreTrainedModel, rows: int) -> None:
    """Refuse a batch for a model whose sliding windows the batch's masks would undo.

    Raises:
        UserError: More than one row, and the model has such layers.
    """
    if rows > 1 and uses_sliding_window(model):
        raise UserError(
            f"{type(model).__name__} has sliding-window layers, which a batch cannot serve",
            where=flag.batch,
            remedy=f"use {flag.batch} 1 with this model",
        )


def register_attention(name: str, attention: Callable[..., torch.Tensor], *, refuse_masks: bool = False) -> None:
    """Make an attention of ours known to transformers, which then makes no mask for it: it knows itself who sees what.

    Args:
        name: What `attention_of` calls it.
        attention: Gets the layer's module, queries ``[rows, heads, tokens, width]``, keys and values ``[rows, key-value
            heads, tokens, width]`` and the factor of the scores; by name `attention_mask`, None unless the caller made
            one, and what else the model or the caller says. Returns ``[rows, tokens, heads, width]``.
        refuse_masks: Fail where transformers is asked for a mask, in place of making none: for an attention whose
            callers give their own, where a mask that is left out would not be noticed.
    """
    from transformers import AttentionInterface, AttentionMaskInterface

    def attend(
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        scaling: float | None = None,
        **others: object,
    ) -> tuple[torch.Tensor, None]:
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        return attention(module, query, key, value, scale, attention_mask=attention_mask, **others), None

    AttentionInterface.register(name, attend)

    def no_mask(*_args: object, **_kwargs: object) -> None:
        if refuse_masks:
            raise RuntimeError(f"{name} takes no masks but its own")

    AttentionMaskInterface.register(name, no_mask)


@contextmanager
def attention_of(model: PreTrainedModel, name: str) -> Iterator[None]:
    """Let the model attend by another registered implementation while the block lasts.

    Args:
        model: The model.
        name: The implementation's name: see `register_attention`.
    """
    config = model.config
    before = config._attn_implementation  # noqa: SLF001 - the only switch that loads nothing anew
    config._attn_implementation = name  # noqa: SLF001
    try:
        yield
    finally:
        config._attn_implementation = before  # noqa: SLF001


def check_shared_prefix(
    model: PreTrainedModel,
    where: str = f"{flag.systems} cag",
    remedy: str = f"use {flag.cache_layout} plain with this model",
) -> None:
    """Refuse a model whose attention is not the plain one that the shared prefix computes.

    Args:
        model: The model.
        where: What asked for the shared prefix, for the error.
        remedy: What to do in its place.

    Raises:
        UserError: It has sliding windows, caps, sinks, shared or compressed keys and values, rotary positions that
            depend on the length, or code of its own.
    """
    config = model.config
    modules = list(model.modules())
    rope = getattr(config, "rope_parameters", None) or {}
    reasons = {
        "sliding-window layers": uses_sliding_window(model),
        "attention code of its own": not getattr(model, "_supports_attention_backend", False),
        "capped attention scores": getattr(config, "attn_logit_softcapping", None) is not None,
        "attention sinks": any(hasattr(module, "sinks") for module in modules),
        "layers that share keys and values": bool(getattr(config, "num_kv_shared_layers", 0)),
        "compressed keys and values": bool(getattr(config, "kv_lora_rank", 0)),
        "rotary positions that depend on the length": rope.get("rope_type") in ("dynamic", "longrope"),
    }
    found = [reason for reason, holds in reasons.items() if holds]
    if found:
        raise UserError(
            f"{type(model).__name__} has {' and '.join(found)}, which the shared prefix cannot serve",
            where=where,
            remedy=remedy,
        )
