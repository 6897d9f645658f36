"""One decode step of a Llama in half the operators of the model's own forward; every system's answers take it.

At batch 1 a step's time is what its weights take to be read and what its operators take to be called. Here queries,
keys and values are one product, gate and up another, and a product adds the residual. The numbers are those of the
model's forward but for the order of sums.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import rms_norm, silu

from rmtbench.models.linear import OneDnnLinear, product

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Attend = Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor, float], torch.Tensor]
"""Gets a layer's number, queries ``[rows, heads, width]``, new keys and values ``[rows, kv heads, width]`` and the
scale; keeps the keys and values, and returns ``[rows, heads, width]``."""

ROPE_TYPES = frozenset({"default", "linear", "llama3", "yarn"})
"""Rotations that depend on the position only; others depend on how long the text is."""


def find_step(model: PreTrainedModel) -> LlamaStep | None:
    """Return a model's step; None where it is no plain Llama in float32, whose own forward then serves.

    In bfloat16 the model rounds after every operator, and fewer operators would round elsewhere.
    """
    from transformers import LlamaForCausalLM

    if type(model) is not LlamaForCausalLM or model.dtype != torch.float32:
        return None
    config = model.config
    plain = not config.attention_bias and not config.mlp_bias and config.hidden_act == "silu"
    rope = (config.rope_parameters or {}).get("rope_type", "default") in ROPE_TYPES
    inner: Any = model.base_model
    products = [each for layer in inner.layers for each in (*layer.self_attn.children(), *layer.mlp.children())]
    known = all(type(each) in (torch.nn.Linear, OneDnnLinear, type(inner.layers[0].mlp.act_fn)) for each in products)
    return LlamaStep(model) if plain and rope and known else None


@dataclass(frozen=True)
class _Layer:
    """A layer's weights: ``[out, in]``, and the norms' ``[hidden]``."""

    before_attention: torch.Tensor
    query_key_value: torch.Tensor
    out: torch.Tensor
    before_mlp: torch.Tensor
    gate_up: torch.Tensor
    down: torch.Tensor


class LlamaStep:
    """Steps of one model; made by `find_step`.

    Args:
        model: Its query, key and value weights become views of one tensor, and so do its gate and up weights; their
            numbers stay as they are.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        inner: Any = model.base_model
        self._inner, self._head = inner, model.get_output_embeddings()
        self._layers = [_layer(each) for each in inner.layers]
        self._eps = model.config.rms_norm_eps
        self._heads, self._kv_heads = model.config.num_attention_heads, model.config.num_key_value_heads
        self._width = inner.layers[0].self_attn.head_dim
        self._scale: float = inner.layers[0].self_attn.scaling
        self._product = product(model)

    @torch.inference_mode()
    def __call__(self, tokens: torch.Tensor, positions: torch.Tensor, attend: Attend) -> torch.Tensor:
        """Read one token a row.

        Args:
            tokens: Their ids, ``[rows]``.
            positions: Their positions, ``[rows]``.
            attend: Attention over what the rows have read.

        Returns:
            The next logits, ``[rows, vocabulary]``.
        """
        rows, width, half, heads = tokens.shape[0], self._width, self._width // 2, self._heads
        rotated = heads + self._kv_heads
        hidden = self._inner.embed_tokens(tokens)  # [rows, hidden]
        cos, sin = (each[0][:, None] for each in self._inner.rotary_emb(hidden, positions[None]))  # [rows, 1, width]
        sin = torch.cat([-sin[..., :half], sin[..., half:]], -1)  # the first half takes away what it is paired with
        for number, layer in enumerate(self._layers):
            normed = rms_norm(hidden, hidden.shape[-1:], layer.before_attention, self._eps)
            states = self._product(normed, layer.query_key_value).view(rows, -1, width)
            turned = states[:, :rotated]  # queries and keys, [rows, heads + kv heads, width]
            turned = torch.addcmul(turned * cos, turned.roll(half, -1), sin)
            attended = attend(number, turned[:, :heads], turned[:, heads:], states[:, rotated:], self._scale)
            hidden = self._product(attended.reshape(rows, -1), layer.out, hidden)
            normed = rms_norm(hidden, hidden.shape[-1:], layer.before_mlp, self._eps)
            gate, up = self._product(normed, layer.gate_up).chunk(2, -1)
            hidden = self._product(silu(gate) * up, layer.down, hidden)
        logits: torch.Tensor = self._head(self._inner.norm(hidden))  # type: ignore[misc] - every Llama has one
        return logits


def _layer(layer: Any) -> _Layer:  # noqa: ANN401 - transformers' layer
    attention, mlp = layer.self_attn, layer.mlp
    return _Layer(
        layer.input_layernorm.weight,
        _joined([attention.q_proj, attention.k_proj, attention.v_proj]),
        attention.o_proj.weight,
        layer.post_attention_layernorm.weight,
        _joined([mlp.gate_proj, mlp.up_proj]),
        mlp.down_proj.weight,
    )


def _joined(layers: Sequence[torch.nn.Linear]) -> torch.Tensor:
    """Return the layers' weights as one tensor, ``[all rows, in]``, of which each layer's weight is made a view."""
    weights = [layer.weight for layer in layers]
    first, place = weights[0], weights[0].storage_offset()
    storage = first.untyped_storage().data_ptr()
    for weight in weights:
        if weight.untyped_storage().data_ptr() != storage or weight.storage_offset() != place:
            break
        place += weight.numel()
    else:
        shape = (sum(weight.shape[0] for weight in weights), first.shape[1])
        return first.data.as_strided(shape, (first.shape[1], 1), first.storage_offset())
    whole = torch.cat([weight.data for weight in weights])
    for layer, part in zip(layers, whole.split([weight.shape[0] for weight in weights]), strict=True):
        layer.weight.data = part
    return whole
