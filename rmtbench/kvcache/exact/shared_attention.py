"""The shared prefix's attention as an attention implementation of transformers, called in each layer of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from rmtbench.kvcache.exact.attention import attend_to_prefix, merge
from rmtbench.kvcache.exact.suffixes import Round
from rmtbench.models.architecture import register_attention

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
    scale: float,
    *,
    reading: Round | Reading | None = None,
    **others: object,
) -> torch.Tensor:
    """The attention that transformers calls in each layer: see `register_attention`.

    Args:
        module: The layer's attention, for its number.
        query: ``[1, heads, tokens, width]``, the tokens of all rows in a line.
        key: The same tokens' new keys, ``[1, key-value heads, tokens, width]``.
        value: As `key`.
        scale: Factor of the scores.
        reading: What is read now: the prefix, the suffixes and whose tokens these are.
        others: What else the model says of its attention. A mask is not used: `reading` says what each token sees.

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
    if not isinstance(reading, Round):
        line = [each[0].transpose(0, 1) for each in (query, key, value)]  # [tokens, heads, width]
        return reading.step(layer, line[0], line[1], line[2], scale)[None]
    keys, values = reading.prefix.keys[layer], reading.prefix.values[layer]
    # What the last layer makes of a token is read for the logits alone: of a question, that is its last token.
    asked = query[:, :, reading.last] if reading.entering and layer == len(reading.prefix.keys) - 1 else query
    prefix = attend_to_prefix(asked[0], keys, values, scale)
    out = merge(prefix, reading.attend_to_suffixes(layer, asked, key, value, scale))
    if asked is not query:
        out = out.new_zeros((query.shape[2], *out.shape[1:])).index_copy_(0, reading.last, out)
    return out[None]


STRANGE = ("sliding_window", "softcap", "s_aux", "position_bias")
"""What a model may tell its attention that changes the scores: windows, caps, sinks and biases."""


register_attention(NAME, shared_prefix_attention, refuse_masks=True)
