"""One layer's keys and values as a safetensors file of final size, filled chunk by chunk in place.

The safetensors package writes whole files only; the format is a length, a JSON header and the bytes. Reading is the
package's, memory-mapped.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

ALIGNMENT = 64
"""The bytes begin at a multiple of this, so that mapped tensors are aligned as allocated ones are."""

_NAMES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}


@dataclass(frozen=True, slots=True)
class LayerShape:
    """What one layer keeps: ``[heads, tokens, width]`` of keys and of values, whose widths may differ."""

    heads: int
    tokens: int
    key_width: int
    value_width: int
    dtype: torch.dtype

    @classmethod
    def of(cls, keys: torch.Tensor, values: torch.Tensor, tokens: int) -> LayerShape:
        """The shape for so many tokens of tensors like these."""
        return cls(keys.shape[0], tokens, keys.shape[2], values.shape[2], keys.dtype)

    @property
    def key_bytes(self) -> int:
        """Bytes of all keys."""
        return self.heads * self.tokens * self.key_width * self.dtype.itemsize

    @property
    def value_bytes(self) -> int:
        """Bytes of all values."""
        return self.heads * self.tokens * self.value_width * self.dtype.itemsize

    @property
    def file_bytes(self) -> int:
        """Bytes of the whole file."""
        return len(self.header()) + self.key_bytes + self.value_bytes

    def header(self) -> bytes:
        """What stands before the bytes."""
        name, key_end = _NAMES[self.dtype], self.key_bytes
        entries = {
            "keys": {"dtype": name, "shape": [self.heads, self.tokens, self.key_width], "data_offsets": [0, key_end]},
            "values": {
                "dtype": name,
                "shape": [self.heads, self.tokens, self.value_width],
                "data_offsets": [key_end, key_end + self.value_bytes],
            },
        }
        text = json.dumps(entries, separators=(",", ":")).encode()
        text += b" " * (-(len(text) + 8) % ALIGNMENT)
        return len(text).to_bytes(8, "little") + text


def layer_name(layer: int) -> str:
    """The file of a layer, counted from 0."""
    return f"layer-{layer:03d}.safetensors"


def create(path: Path, shape: LayerShape) -> None:
    """Make the file in its final size and claim the disk's room for it.

    Raises:
        OSError: The disk is too small.
    """
    with path.open("wb") as stream:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(stream.fileno(), 0, shape.file_bytes)
        else:  # macOS has no such call: a disk that fills up meanwhile refuses a chunk
            stream.truncate(shape.file_bytes)
        stream.write(shape.header())


def write_chunk(path: Path, shape: LayerShape, start: int, keys: torch.Tensor, values: torch.Tensor) -> None:
    """Put a chunk's keys and values, ``[heads, chunk, width]``, in their place."""
    with path.open("r+b", buffering=0) as stream:
        offset = len(shape.header())
        for tensor, width in ((keys, shape.key_width), (values, shape.value_width)):
            row = width * shape.dtype.itemsize
            for head in tensor:
                _write_all(stream.fileno(), raw(head), offset + start * row)
                offset += shape.tokens * row


def _write_all(descriptor: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written


def read(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys and values, mapped: nothing is read before it is used, and writing to them does not reach the file."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as stored:
        return stored.get_tensor("keys"), stored.get_tensor("values")


def digest(shape: LayerShape, keys: torch.Tensor, values: torch.Tensor) -> str:
    """SHA-256 that the complete file must have, from the tensors: what the disk made of it shows when it is read."""
    return chunk_digest([(keys, values)], behind=shape.header())


def chunk_digest(layers: Iterable[tuple[torch.Tensor, torch.Tensor]], behind: bytes = b"") -> str:
    """SHA-256 over a chunk's keys and values, layer by layer, behind some bytes."""
    made = hashlib.sha256(behind)
    for pair in layers:
        for tensor in pair:
            for head in tensor:
                made.update(raw(head))
    return made.hexdigest()


def raw(tensor: torch.Tensor) -> memoryview:
    """A tensor's bytes."""
    data: memoryview = tensor.detach().contiguous().cpu().view(torch.uint8).numpy().data.cast("B")
    return data
