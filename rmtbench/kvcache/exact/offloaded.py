"""A prefix in the host's memory: each layer is carried to the device while the one before it is attended to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import overload

import torch

from rmtbench.kvcache.base import PrefixKV

Pair = tuple[torch.Tensor, torch.Tensor]
"""A layer's keys and values."""


class Carrier:
    """Two places on the device that layers take in turn: one is read while the next layer comes into the other.

    Args:
        layers: Keys and values of each layer, all of one shape, in the host's memory; pinned for a GPU.
        device: Where they are read.

    Raises:
        ValueError: Layers differ in shape.
    """

    def __init__(self, layers: Sequence[Pair], device: torch.device) -> None:
        key, value = layers[0]
        if any(pair[0].shape != key.shape or pair[1].shape != value.shape for pair in layers):
            raise ValueError("layers of several shapes cannot take turns in one place")
        self.layers = layers
        self.places = [(torch.empty_like(key, device=device), torch.empty_like(value, device=device)) for _ in range(2)]
        self._in_use, self._here, self._coming = 0, -1, -1
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self._arrived = torch.cuda.Event() if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    def layer(self, number: int) -> Pair:
        """A layer on the device, until another but its successor is asked for; its successor sets out."""
        if number != self._here:
            if number != self._coming:
                self._send(number)
            if self._arrived is not None:
                torch.cuda.current_stream(self.places[0][0].device).wait_event(self._arrived)
            self._in_use, self._here = 1 - self._in_use, number
            self._send((number + 1) % len(self.layers))
        return self.places[self._in_use]

    def _send(self, number: int) -> None:
        """Copy a layer into the place that is not in use, behind all work so far, which may still be reading it."""
        self._coming = number
        target, source = self.places[1 - self._in_use], self.layers[number]
        if self._stream is None or self._arrived is None:
            for place, tensor in zip(target, source, strict=True):
                place.copy_(tensor)
            return
        self._stream.wait_stream(torch.cuda.current_stream(target[0].device))
        with torch.cuda.stream(self._stream):
            for place, tensor in zip(target, source, strict=True):
                place.copy_(tensor, non_blocking=True)
            self._arrived.record(self._stream)


@dataclass(frozen=True)
class _Side(Sequence[torch.Tensor]):
    """Keys or values of all layers, each brought when it is asked for."""

    carrier: Carrier
    side: int

    def __len__(self) -> int:
        return len(self.carrier.layers)

    @overload
    def __getitem__(self, layer: int) -> torch.Tensor: ...
    @overload
    def __getitem__(self, layer: slice) -> Sequence[torch.Tensor]: ...
    def __getitem__(self, layer: int | slice) -> torch.Tensor | Sequence[torch.Tensor]:
        if isinstance(layer, slice):
            raise TypeError("layers that take turns in one place cannot be held side by side")
        return self.carrier.layer(range(len(self))[layer])[self.side]


@dataclass(frozen=True)
class OffloadedKV(PrefixKV):
    """`PrefixKV` whose layers stay in the host's memory; of what one gives, nothing may be kept over a layer."""

    layers: Sequence[Pair] = ()
    held: int = field(default=0)

    def cut(self, start: int, end: int) -> PrefixKV:
        """Views of the tokens from `start` to before `end`, in the host's memory."""
        keys, values = (tuple(pair[side][:, start:end] for pair in self.layers) for side in (0, 1))
        return PrefixKV(keys, values, self.token_ids[start:end])

    @property
    def bytes(self) -> int:
        """All layers in the host's memory, and the two on the device."""
        return self.held


def offload(tensors: PrefixKV, device: torch.device) -> OffloadedKV:
    """Put a prefix into the host's memory.

    Args:
        tensors: What was read; the caller lets go of them.
        device: Where the layers are read.

    Raises:
        ValueError: Layers differ in shape.
    """

    def home(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.cpu().pin_memory() if device.type == "cuda" else tensor

    layers = [(home(key), home(value)) for key, value in zip(tensors.keys, tensors.values, strict=True)]
    carrier = Carrier(layers, device)
    held = sum(tensor.nbytes for pair in (*layers, *carrier.places) for tensor in pair)
    return OffloadedKV(_Side(carrier, 0), _Side(carrier, 1), tensors.token_ids, layers, held)
