"""A context's keys and values: what a prefill returns, the store keeps, and every prefix cache reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class PrefixKV:
    """Keys and values of a context, by layer.

    Attributes:
        keys: One tensor a layer, ``[key-value heads, tokens, head width]``, positions already rotated in.
        values: The same of the values.
        token_ids: The context's token ids.
    """

    keys: Sequence[torch.Tensor]
    values: Sequence[torch.Tensor]
    token_ids: tuple[int, ...]

    @property
    def tokens(self) -> int:
        """Tokens of the context."""
        return len(self.token_ids)

    @property
    def bytes(self) -> int:
        """Bytes of keys and values."""
        return sum(tensor.nbytes for tensor in (*self.keys, *self.values))

    def cut(self, start: int, end: int) -> PrefixKV:
        """Views of the tokens from `start` to before `end`."""
        keys, values = (tuple(tensor[:, start:end] for tensor in side) for side in (self.keys, self.values))
        return PrefixKV(keys, values, self.token_ids[start:end])

    def on_host(self) -> PrefixKV:
        """Return the same in the host's memory. Layers of one shape leave a device in one copy."""
        layers = (*self.keys, *self.values)
        if all(layer.device.type == "cpu" for layer in layers):
            return self
        if len({layer.shape for layer in layers}) > 1:
            moved = [layer.cpu() for layer in layers]
        else:
            import torch

            moved = list(torch.stack(layers).cpu().unbind())
        return PrefixKV(tuple(moved[: len(self.keys)]), tuple(moved[len(self.keys) :]), self.token_ids)


@dataclass(frozen=True)
class LayersOnDemand(Sequence["torch.Tensor"]):
    """Keys or values of all layers, each made or brought when it is asked for, and not held beside the others."""

    layers: int
    get: Callable[[int], torch.Tensor]

    def __len__(self) -> int:
        return self.layers

    @overload
    def __getitem__(self, number: int) -> torch.Tensor: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[torch.Tensor]: ...
    def __getitem__(self, number: int | slice) -> torch.Tensor | Sequence[torch.Tensor]:
        if isinstance(number, slice):
            raise TypeError("layers that are made or brought one by one cannot be held side by side")
        return self.get(range(self.layers)[number])
