"""Call the compiled step: all of a layer but its attention, and its attention.

The numbers are those of `rmtbench.models.llama_step` but for the order of sums. A row's numbers do not depend on the
other rows of its step.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from ctypes import POINTER, Structure, byref, c_float, c_int64, c_void_p
from dataclasses import dataclass
from typing import Any

import torch

from rmtbench.models.native.build import library

MOST_ROWS = 8
"""Of a step. From about twelve rows on products take longer than reading the weights, and libraries do them faster."""

WIDTHS = (16, 32, 64, 80, 96, 128)
"""Of a head, as in `step.cpp`."""

CHUNK = 128
"""Keys that one task of the attention reads, as in `step.cpp`."""

Attend = Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor, float], torch.Tensor]
"""Gets a layer's number, queries ``[rows, heads, width]``, new keys and values ``[rows, kv heads, width]`` and the
scale; keeps the keys and values, and returns ``[rows, heads, width]``."""

Pair = tuple[torch.Tensor, torch.Tensor]
"""Keys and values, ``[key-value heads, tokens, width]``."""


@dataclass(frozen=True)
class Matrix:
    """A linear layer's weights.

    Attributes:
        numbers: ``[out, in]``, float32 or int8.
        scale: ``[out]``, float32, of int8 numbers; None for float32.
        bias: ``[out]``, float32; None for none.
    """

    numbers: torch.Tensor
    scale: torch.Tensor | None = None
    bias: torch.Tensor | None = None

    @property
    def served(self) -> bool:
        """Whether the compiled code reads it."""
        vectors = [each for each in (self.scale, self.bias) if each is not None]
        return (
            all(each.is_contiguous() and each.device.type == "cpu" for each in (self.numbers, *vectors))
            and self.numbers.dtype == (torch.float32 if self.scale is None else torch.int8)
            and all(each.dtype == torch.float32 for each in vectors)
        )


@dataclass(frozen=True)
class Layer:
    """A layer's weights; those of the norms are ``[hidden]``, or ``[width]`` for a head's own."""

    before_attention: torch.Tensor
    query_key_value: Matrix
    out: Matrix
    before_mlp: torch.Tensor
    gate_up: Matrix
    down: Matrix
    query_norm: torch.Tensor | None = None
    key_norm: torch.Tensor | None = None

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        """All of its linear layers."""
        return self.query_key_value, self.out, self.gate_up, self.down


@dataclass(frozen=True)
class Parts:
    """A model's layers, its last norm and its head.

    Attributes:
        layers: At least one.
        norm: ``[hidden]``.
        head: To logits.
        heads: Of the queries.
        kv_heads: Of keys and values.
        width: Of a head.
        scale: Factor of the scores.
        eps: Of the norms.
    """

    layers: Sequence[Layer]
    norm: torch.Tensor
    head: Matrix
    heads: int
    kv_heads: int
    width: int
    scale: float
    eps: float


class _Weights(Structure):
    _fields_ = [*((name, c_void_p) for name in ("numbers", "scale", "bias")), ("out", c_int64), ("into", c_int64)]


class _Segment(Structure):
    _fields_ = [
        *((name, _Weights) for name in ("out", "gate_up", "down")),
        *((name, c_void_p) for name in ("mlp_norm", "norm")),
        ("next", _Weights),
        *((name, c_int64) for name in ("queries", "turned")),
        *((name, c_void_p) for name in ("query_norm", "key_norm")),
    ]


class _Step(Structure):
    _fields_ = [
        *((name, c_int64) for name in ("rows", "threads", "hidden_size", "width")),
        ("eps", c_float),
        *((name, c_void_p) for name in ("hidden", "cosine", "sine", "scratch")),
    ]


class _Source(Structure):
    _fields_ = [
        ("keys", c_void_p),
        ("values", c_void_p),
        *((name, c_int64) for name in ("key_stride", "value_stride", "tokens", "row")),
    ]


class _Attention(Structure):
    _fields_ = [
        *((name, c_int64) for name in ("rows", "heads", "kv_heads", "width", "threads", "sources")),
        *((name, c_int64) for name in ("query_stride", "key_stride", "value_stride")),
        ("scale", c_float),
        *((name, c_void_p) for name in ("query", "key", "value")),
        ("source", POINTER(_Source)),
        *((name, c_void_p) for name in ("out", "scratch")),
    ]


class CompiledLayers:
    """All layers of a model and its head, for up to `MOST_ROWS` rows; made by `compile_layers`."""

    def __init__(self, code: ctypes.CDLL, parts: Parts) -> None:
        self._code, self._parts = code, parts  # kept, since pointers keep no tensor alive
        self._segments = _segments(parts)

    def __call__(self, hidden: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor, attend: Attend) -> torch.Tensor:
        """Read one token a row.

        Args:
            hidden: The tokens' embeddings, ``[rows, hidden]``; written over.
            cosine: Of the rotation to their positions, ``[rows, width]``.
            sine: As `cosine`.
            attend: Attention over what the rows have read.

        Returns:
            The next logits, ``[rows, vocabulary]``.
        """
        parts, (rows, size), threads = self._parts, hidden.shape, torch.get_num_threads()
        heads, kv_heads, width = parts.heads, parts.kv_heads, cosine.shape[1]
        made = hidden.new_empty((rows, heads + 2 * kv_heads, width))
        query, key, value = made[:, :heads], made[:, heads:-kv_heads], made[:, -kv_heads:]
        logits = hidden.new_empty((rows, parts.head.numbers.shape[0]))
        scratch = hidden.new_empty(rows * (threads * size + parts.layers[0].down.numbers.shape[1]))
        step = _Step(
            rows, threads, size, width, parts.eps, *map(torch.Tensor.data_ptr, (hidden, cosine, sine, scratch))
        )
        run, attended = self._code.rmtbench_segment, None
        for number, segment in enumerate(self._segments[:-1]):
            run(byref(segment), byref(step), _pointer(attended), _pointer(made))
            attended = attend(number, query, key, value, parts.scale).contiguous()
        run(byref(self._segments[-1]), byref(step), _pointer(attended), _pointer(logits))
        return logits


def compile_layers(parts: Parts) -> CompiledLayers | str:
    """Return a model's layers as compiled code, or in a few words why they are not served."""
    matrices = [parts.head, *(each for layer in parts.layers for each in layer.matrices)]
    if not all(each.served for each in matrices):
        return "the weights are not float32 or int8 on a CPU"
    if parts.width not in WIDTHS:
        return f"heads are {parts.width} numbers wide"
    code = library()
    return code if isinstance(code, str) else CompiledLayers(code, parts)


def _segments(parts: Parts) -> list[_Segment]:
    """One before the first attention, and one behind each."""
    segments = []
    before: Layer | None = None
    for layer in (*parts.layers, None):
        norm = parts.norm if layer is None else layer.before_attention
        following = parts.head if layer is None else layer.query_key_value
        heads = (0, 0) if layer is None else (parts.heads, parts.heads + parts.kv_heads)
        norms = (None, None) if layer is None else (_address(layer.query_norm), _address(layer.key_norm))
        known = (_weights(before.out), _weights(before.gate_up), _weights(before.down)) if before else (_Weights(),) * 3
        mlp_norm = before.before_mlp.data_ptr() if before else None
        segments.append(_Segment(*known, mlp_norm, norm.data_ptr(), _weights(following), *heads, *norms))
        before = layer
    return segments


def _weights(matrix: Matrix) -> _Weights:
    return _Weights(matrix.numbers.data_ptr(), _address(matrix.scale), _address(matrix.bias), *matrix.numbers.shape)


def _pointer(tensor: torch.Tensor | None) -> c_void_p:
    return c_void_p(_address(tensor))


def _address(tensor: torch.Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def attention_serves(query: torch.Tensor, *sides: torch.Tensor) -> bool:
    """Whether `attend` serves queries ``[rows, heads, width]`` over keys and values ``[..., tokens, width]``."""
    return (
        query.shape[0] <= MOST_ROWS
        and query.shape[2] in WIDTHS
        and all(each.dtype == torch.float32 and each.device.type == "cpu" for each in (query, *sides))
        and all(each.stride(-1) == 1 and each.stride(-2) == query.shape[2] for each in sides)
        and not isinstance(library(), str)
    )


def attend(
    query: torch.Tensor,
    new: Pair,
    own: Sequence[Pair],
    prefix: Pair | None,
    scale: float,
) -> torch.Tensor:
    """Keep each row's new key and value, and attend to the prefix and to all that the row holds by then.

    Only where `attention_serves`.

    Args:
        query: ``[rows, heads, width]``.
        new: The rows' new keys and values, each ``[rows, key-value heads, width]``.
        own: What each row holds, the new token's place included, which is written: the last one.
        prefix: What all rows see; None for nothing.
        scale: Factor of the scores.

    Returns:
        ``[rows, heads, width]``.
    """
    code: Any = library()
    rows, heads, width = query.shape
    pairs = [*([(-1, prefix)] if prefix is not None else []), *enumerate(own)]
    sources = (_Source * len(pairs))()
    tasks = 0
    for place, (row, (keys, values)) in enumerate(pairs):
        kv_heads, tokens = keys.shape[:2]
        sources[place] = _Source(keys.data_ptr(), values.data_ptr(), keys.stride(0), values.stride(0), tokens, row)
        tasks += kv_heads * -(-tokens // CHUNK)
    kv_heads = new[0].shape[1]
    out = query.new_empty((rows, heads, width))
    scratch = query.new_empty(tasks * rows * (heads // kv_heads) * (width + 2))
    line = (query, *new)
    code.rmtbench_attend(
        byref(
            _Attention(
                *(rows, heads, kv_heads, width, torch.get_num_threads(), len(pairs)),
                *(each.stride(0) for each in line),
                scale,
                *(each.data_ptr() for each in line),
                sources,
                out.data_ptr(),
                scratch.data_ptr(),
            )
        )
    )
    return out
