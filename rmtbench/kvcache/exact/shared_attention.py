"""The shared prefix's attention as an attention implementation of transformers, called in each layer of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, Protocol

from transformers import AttentionInterface, AttentionMaskInterface

from rmtbench.kvcache.exact.attention import attend_to_prefix, merge
from rmtbench.kvcache.exact.suffixes import Round

if TYPE_CHECKING:
    import torch

NAME = "rmtbench_shared_prefix"
"""The implementation's name among those of transformers."""


class Reading(Protocol):
    """What a forward reads in which each token is the only one of its row."""

    def step(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float, /
    ) -> torch.Tensor:
        """Keep the new keys and values, and attend to all before them: see `llama_step.Attend`."""
        ...


def shared_prefix_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None = None,  # noqa: ARG001 - some models give it by this name
    scaling: float | None = None,
    *,
    reading: Round | Reading | None = None,
    **others: object,
) -> tuple[torch.Tensor, None]:
    """The attention function that transformers calls in each layer.

    Args:
        module: The layer's attention, for its number.
        query: ``[1, heads, tokens, width]``, the tokens of all rows in a line.
        key: The same tokens' new keys, ``[1, key-value heads, tokens, width]``.
        value: As `key`.
        attention_mask: Not used: `reading` says what each token sees.
        scaling: Factor of the scores; None for one over the root of the width.
        reading: What is read now: the prefix, the suffixes and whose tokens these are.
        others: What else the model says of its attention.

    Returns:
        Outputs, ``[1, tokens, heads, width]``.

    Raises:
        RuntimeError: It was called by another than the shared prefix, or for attention of another kind.
    """
    if reading is None:
        raise RuntimeError(f"{NAME} answers over a shared prefix alone")
    strange = [name for name in STRANGE if others.get(name) is not None]
    if strange:
        raise RuntimeError(f"{type(module).__name__} has {', '.join(strange)}, which {NAME} does not know")
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if not isinstance(reading, Round):
        line = [each[0].transpose(0, 1) for each in (query, key, value)]
        return reading.step(layer, line[0], line[1], line[2], scale)[None], None
    keys, values = reading.prefix.keys[layer], reading.prefix.values[layer]
    # What the last layer makes of a token is read for the logits alone: of a question, that is its last token.
    asked = query[:, :, reading.last] if reading.entering and layer == len(reading.prefix.keys) - 1 else query
    prefix = attend_to_prefix(asked[0], keys, values, scale)
    out = merge(prefix, reading.attend_to_suffixes(layer, asked, key, value, scale))
    if asked is not query:
        out = out.new_zeros((query.shape[2], *out.shape[1:])).index_copy_(0, reading.last, out)
    return out[None], None


STRANGE = ("sliding_window", "softcap", "s_aux", "position_bias")
"""What a model may tell its attention that changes the scores: windows, caps, sinks and biases."""


def _no_mask(*_args: object, **_kwargs: object) -> NoReturn:
    """Masks of transformers cannot say who sees what here; a call that wants one is not ours."""
    raise RuntimeError(f"{NAME} takes no masks but its own")


AttentionInterface.register(NAME, shared_prefix_attention)
AttentionMaskInterface.register(NAME, _no_mask)
