"""One decode step of a Llama or its like in half the operators of its own forward; every system's answers take it.

At batch 1 a step's time is what its weights take to be read and what its operators take to be called. Here queries,
keys and values are one product, gate and up another, and a product adds the residual. The numbers are those of the
model's forward but for the order of sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch.nn.functional import rms_norm, silu

from rmtbench.models.int8 import Int8Linear, Int8Weights
from rmtbench.models.linear import OneDnnLinear, multiply_by_onednn
from rmtbench.models.native.step import MOST_ROWS, Attend, CompiledLayers, Layer, Matrix, Parts, compile_layers

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

ROPE_TYPES = frozenset({"default", "linear", "llama3", "yarn"})
"""Rotations that depend on the position only; others depend on how long the text is."""


FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
"""Of transformers; the other three are Llamas with a window, with biases, and with norms of each head."""


def find_step(model: PreTrainedModel) -> LlamaStep | None:
    """Return a model's step; None where it is no plain model of `FAMILIES` in float32: its own forward then serves.

    In bfloat16 the model rounds after every operator, and fewer operators would round elsewhere. The step is made once
    for a model, and anew when one of its modules or weights was replaced since.
    """
    if model.dtype != torch.float32 or model.config.model_type not in FAMILIES:
        return None
    made = _MADE.get(model)
    if made is not None and made.state == _state(model, made.modules):
        return made.step
    modules = tuple(model.modules())[1:]
    if not _is_plain(model, modules):
        return None
    step = LlamaStep(model)
    _MADE[model] = _Made(step, modules, _state(model, modules))  # after the step, which moves weights
    return step


@dataclass(frozen=True)
class _Made:
    """A model's step, its modules without the model itself, and their `_state` when the step was made."""

    step: LlamaStep
    modules: Sequence[torch.nn.Module]
    state: list[tuple[object, ...]]


_MADE: WeakKeyDictionary[PreTrainedModel, _Made] = WeakKeyDictionary()
"""Kept no longer than the model: no value refers to its key."""


def _state(model: PreTrainedModel, modules: Sequence[torch.nn.Module]) -> list[tuple[object, ...]]:
    """Return the parts of modules and the places of their weights: while these stay, the modules compute the same."""
    return [
        (
            type(each),
            _is_altered(each),
            *map(id, each._modules.values()),  # noqa: SLF001 - the children as they are, at the least cost
            *(weight.data_ptr() for weight in each._parameters.values() if weight is not None),  # noqa: SLF001
        )
        for each in (model, *modules)
    ]


def _is_altered(module: torch.nn.Module) -> bool:
    """Whether more than the class's forward runs: hooks, such as a memory's, or another forward on the instance."""
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))  # noqa: SLF001


def _is_plain(model: PreTrainedModel, modules: Sequence[torch.nn.Module]) -> bool:
    """Whether a model is made of its family's own modules only, with the numbers of its configuration, none altered."""
    from transformers.activations import ACT2FN

    config = model.config
    family = import_module(type(model).__module__)
    prefix = type(model).__name__.removesuffix("ForCausalLM")
    own = ("Model", "DecoderLayer", "Attention", "MLP", "RMSNorm", "RotaryEmbedding")
    known = {
        *(getattr(family, f"{prefix}{name}", None) for name in own),
        *(torch.nn.ModuleList, torch.nn.Embedding, torch.nn.Linear, OneDnnLinear, Int8Linear, type(ACT2FN["silu"])),
    }
    return (
        family.__name__ == f"transformers.models.{config.model_type}.modeling_{config.model_type}"
        and config.hidden_act == "silu"
        and (config.rope_parameters or {}).get("rope_type", "default") in ROPE_TYPES
        and all(type(each) in known for each in modules)
        and not any(getattr(each, "sliding_window", None) for each in (config, *modules) if _has_windows(config))
        and len({type(each) is Int8Linear for each in modules if hasattr(each, "in_features")}) == 1
        and all(getattr(each, "variance_epsilon", config.rms_norm_eps) == config.rms_norm_eps for each in modules)
        and _has_few_biases(model)
        and not any(map(_is_altered, (model, *modules)))
    )


def _has_windows(config: PretrainedConfig) -> bool:
    """Whether a layer may see a part of what it has read; a configuration may name a window that it does not use."""
    return "sliding_attention" in (getattr(config, "layer_types", None) or ["sliding_attention"])


def _has_few_biases(model: PreTrainedModel) -> bool:
    """Whether no layer but all of a layer's queries, keys and values have a bias."""
    named = model.named_modules()
    biased = {name.rpartition(".")[2] for name, each in named if getattr(each, "bias", None) is not None}
    return biased in (set(), {"q_proj", "k_proj", "v_proj"})


@dataclass(frozen=True)
class _Product:
    """A linear layer, or several that read the same, by torch's operators."""

    matrix: Matrix
    by_onednn: bool

    def __call__(self, given: torch.Tensor, added: torch.Tensor | None = None) -> torch.Tensor:
        """Multiply ``[rows, in]`` to ``[rows, out]``, and add ``[rows, out]`` where that is given."""
        numbers, scale, bias = self.matrix.numbers, self.matrix.scale, self.matrix.bias
        if bias is not None:
            added = bias.repeat(len(given), 1) if added is None else added + bias
        if scale is not None:
            return Int8Weights(numbers, scale, self.by_onednn).multiply(given, added)
        if self.by_onednn:
            return multiply_by_onednn(numbers, given, added)
        return given @ numbers.t() if added is None else torch.addmm(added, given, numbers.t())


@dataclass(frozen=True)
class _Layer:
    """A layer's products, and the weights of its norms, ``[hidden]``."""

    before_attention: torch.Tensor
    query_key_value: _Product
    out: _Product
    before_mlp: torch.Tensor
    gate_up: _Product
    down: _Product
    query_norm: torch.Tensor | None
    key_norm: torch.Tensor | None

    def weights(self) -> Layer:
        """Return them for the compiled code."""
        products = (self.query_key_value, self.out, self.gate_up, self.down)
        query_key_value, out, gate_up, down = (each.matrix for each in products)
        norms = self.query_norm, self.key_norm
        return Layer(self.before_attention, query_key_value, out, self.before_mlp, gate_up, down, *norms)


class LlamaStep:
    """Steps of one model; made by `find_step`.

    Args:
        model: Its query, key and value weights become views of one tensor, and so do its gate and up weights; their
            numbers stay as they are.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        inner: Any = model.base_model
        self._inner: Any = inner
        self._head: Any = model.get_output_embeddings()
        self._layers = [_layer(each) for each in inner.layers]
        self._eps = model.config.rms_norm_eps
        self._heads, self._kv_heads = model.config.num_attention_heads, model.config.num_key_value_heads
        self._width = inner.layers[0].self_attn.head_dim
        self._scale: float = inner.layers[0].self_attn.scaling
        self._compiled = self._compile()

    @property
    def code(self) -> str:
        """Who computes steps of few rows, for provenance."""
        return "compiled" if isinstance(self._compiled, CompiledLayers) else f"torch: {self._compiled}"

    def _compile(self) -> CompiledLayers | str:
        return compile_layers(
            Parts(
                [each.weights() for each in self._layers],
                self._inner.norm.weight,
                _product(self._head).matrix,
                self._heads,
                self._kv_heads,
                self._width,
                self._scale,
                self._eps,
            )
        )

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
        if rows <= MOST_ROWS and isinstance(self._compiled, CompiledLayers):
            return self._compiled(hidden, cos[:, 0].contiguous(), sin[:, 0].contiguous(), attend)
        sin = torch.cat([-sin[..., :half], sin[..., half:]], -1)  # the first half takes away what it is paired with
        for number, layer in enumerate(self._layers):
            normed = rms_norm(hidden, hidden.shape[-1:], layer.before_attention, self._eps)
            states = layer.query_key_value(normed).view(rows, -1, width)
            turned = states[:, :rotated]  # queries and keys, [rows, heads + kv heads, width]
            if layer.query_norm is not None and layer.key_norm is not None:
                parts = (turned[:, :heads], layer.query_norm), (turned[:, heads:], layer.key_norm)
                turned = torch.cat([rms_norm(part, (width,), norm, self._eps) for part, norm in parts], 1)
            turned = torch.addcmul(turned * cos, turned.roll(half, -1), sin)
            attended = attend(number, turned[:, :heads], turned[:, heads:], states[:, rotated:], self._scale)
            hidden = layer.out(attended.reshape(rows, -1), hidden)
            normed = rms_norm(hidden, hidden.shape[-1:], layer.before_mlp, self._eps)
            gate, up = layer.gate_up(normed).chunk(2, -1)
            hidden = layer.down(silu(gate) * up, hidden)
        logits: torch.Tensor = self._head(self._inner.norm(hidden))
        return logits


def _layer(layer: Any) -> _Layer:  # noqa: ANN401 - transformers' layer
    attention, mlp = layer.self_attn, layer.mlp
    return _Layer(
        layer.input_layernorm.weight,
        _product(attention.q_proj, attention.k_proj, attention.v_proj),
        _product(attention.o_proj),
        layer.post_attention_layernorm.weight,
        _product(mlp.gate_proj, mlp.up_proj),
        _product(mlp.down_proj),
        attention.q_norm.weight if hasattr(attention, "q_norm") else None,
        attention.k_norm.weight if hasattr(attention, "k_norm") else None,
    )


def _product(*layers: Any) -> _Product:  # noqa: ANN401 - `Linear`, `OneDnnLinear` or `Int8Linear`
    """Return one product for layers that read the same, whose outputs lie side by side."""
    bias = _joined(layers, "bias") if layers[0].bias is not None else None
    if all(type(layer) is Int8Linear for layer in layers):
        by_onednn = any(layer.by_onednn for layer in layers)
        return _Product(Matrix(_joined(layers, "integers"), _joined(layers, "scale"), bias), by_onednn)
    return _Product(Matrix(_joined(layers, "weight"), bias=bias), any(type(each) is OneDnnLinear for each in layers))


def _joined(layers: Sequence[Any], name: str) -> torch.Tensor:
    """Return a parameter of the layers as one, ``[all outputs, ...]``; each layer's own is made a view of it."""
    tensors: list[torch.Tensor] = [getattr(layer, name).data for layer in layers]
    first, place = tensors[0], tensors[0].storage_offset()
    storage = first.untyped_storage().data_ptr()
    for tensor in tensors:
        if tensor.untyped_storage().data_ptr() != storage or tensor.storage_offset() != place:
            break
        place += tensor.numel()
    else:
        shape = (sum(tensor.shape[0] for tensor in tensors), *first.shape[1:])
        return first.as_strided(shape, first.stride(), first.storage_offset())
    with torch.inference_mode(mode=False):  # the caller may be in that mode, and training may follow
        whole = torch.cat(tensors)
    for layer, part in zip(layers, torch.split(whole, [tensor.shape[0] for tensor in tensors]), strict=True):
        getattr(layer, name).data = part
    return whole
