"""A prefix in the host's memory: each layer is carried to the device while the one before it is attended to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from transformers.cache_utils import Cache

from rmtbench.kvcache.base import LayersOnDemand, PrefixKV
from rmtbench.models.slots import SlotLayer, Window

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
                # Whoever lets go of the place while the copy runs must not get its memory overwritten.
                place.record_stream(self._stream)
            self._arrived.record(self._stream)


@dataclass(frozen=True)
class OffloadedKV(PrefixKV):
    """`PrefixKV` whose layers stay in the host's memory; of what one gives, nothing may be kept over a layer."""

    layers: Sequence[Pair] = ()
    held: int = field(default=0)

    def cut(self, start: int, end: int) -> PrefixKV:
        """Views of the tokens from `start` to before `end`, in the host's memory."""
        keys, values = (tuple(pair[side][:, start:end] for pair in self.layers) for side in (0, 1))
        return PrefixKV(keys, values, self.token_ids[start:end])

    def on_host(self) -> PrefixKV:
        """All tokens, in the host's memory."""
        return self.cut(0, self.tokens)

    @property
    def bytes(self) -> int:
        """All layers in the host's memory, and the two on the device."""
        return self.held


def offload(tensors: PrefixKV, device: torch.device) -> OffloadedKV:
    """Put a prefix into the host's memory.

    Args:
        tensors: The keys and values, on the device or in the host's memory; the caller lets go of them.
        device: Where the layers are read.

    Raises:
        ValueError: Layers differ in shape.
    """
    pinned = device.type == "cuda"
    layers = [
        (to_host(key, pinned=pinned), to_host(value, pinned=pinned))
        for key, value in zip(tensors.keys, tensors.values, strict=True)
    ]
    carrier = Carrier(layers, device)
    on_device = sum(tensor.nbytes for pair in carrier.places for tensor in pair)
    on_host = sum(host_bytes(tensor.nbytes, pinned=pinned) for pair in layers for tensor in pair)
    keys = LayersOnDemand(len(layers), lambda layer: carrier.layer(layer)[0])
    values = LayersOnDemand(len(layers), lambda layer: carrier.layer(layer)[1])
    return OffloadedKV(keys, values, tensors.token_ids, layers, on_device + on_host)


def to_host(tensor: torch.Tensor, *, pinned: bool) -> torch.Tensor:
    """Return the tensor in the host's memory, pinned if that is asked for; one that is there already is not copied."""
    if not pinned:
        return tensor.cpu()
    return tensor if tensor.is_pinned() else tensor.cpu().pin_memory()


def host_bytes(size: int, *, pinned: bool) -> int:
    """Return the host memory of a tensor of `size` bytes: torch takes pinned memory in powers of two."""
    return 1 << max(size - 1, 0).bit_length() if pinned else size


class HostSlotCache(Cache):  # type: ignore[misc]
    """`SlotCache` of one row whose layers stay in the host's memory, so that a context may exceed the device's.

    One layer is on the device at a time. Every chunk carries all earlier tokens of every layer to the device once.

    Args:
        layers: Number of layers, all of one shape.
        capacity: Tokens.
        device: Where layers are attended to.
    """

    def __init__(self, layers: int, capacity: int, device: torch.device) -> None:
        self.window = Window()
        place = _DevicePlace()
        super().__init__(layers=[_HostSlotLayer(self.window, capacity, device, place) for _ in range(layers)])


class _DevicePlace:
    """Keys and values of the layer in use, each ``[1, key-value heads, capacity, width]`` on the device."""

    pair: Pair | None = None


class _HostSlotLayer(SlotLayer):
    """One layer in the host's memory, shaped as a `SlotLayer`."""

    def __init__(self, window: Window, capacity: int, device: torch.device, place: _DevicePlace) -> None:
        super().__init__(window, 1, capacity)
        self._device, self._place = device, place

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Take the layer's memory on the host, and the device's place for all layers if it is the first.

        Raises:
            ValueError: Layers differ in shape.
        """
        shapes = [(1, states.shape[1], self._capacity, states.shape[3]) for states in (key_states, value_states)]
        if self._place.pair is None:
            keys, values = (torch.empty(shape, dtype=key_states.dtype, device=self._device) for shape in shapes)
            self._place.pair = keys, values
        if [each.shape for each in self._place.pair] != [torch.Size(shape) for shape in shapes]:
            raise ValueError("layers of several shapes cannot take turns in one place")
        pinned = self._device.type == "cuda"
        self.keys, self.values = (
            torch.zeros(shape, dtype=key_states.dtype, device="cpu", pin_memory=pinned) for shape in shapes
        )
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_args: object, **_kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the new slots and return views of all visible ones on the device, until another layer is updated."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, end = self._window.next, self._window.next + key_states.shape[-2]
        if end > self._capacity:
            raise ValueError(f"slot {end} is beyond the cache's {self._capacity}")
        assert self._place.pair is not None  # noqa: S101 - made with the first layer
        for here, home, states in zip(
            self._place.pair, (self.keys, self.values), (key_states, value_states), strict=True
        ):
            here[:, :, start:end] = states
            # Head by head: each lies in one piece. Of what does not, torch would first make a copy that is not
            # pinned. All in the device's one order of work: no copy overtakes the one that wrote what it reads.
            for there, kept in zip(here[0], home[0], strict=True):
                there[:start].copy_(kept[:start], non_blocking=True)
                kept[start:end].copy_(there[start:end], non_blocking=True)
        keys, values = self._place.pair
        return keys[:, :, self._window.first : end], values[:, :, self._window.first : end]
