"""A preallocated key-value cache for any transformers model: written in place, never grown, never copied.

Rows lie side by side; each forward appends the same number of slots to one row or to all. It stands in for
`DynamicCache`, whose every step copies all that was cached.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch  # noqa: TC002 - every importer of this module has it already
from transformers.cache_utils import Cache, CacheLayerMixin


@dataclass
class Window:
    """Which slots the next forward reads and writes; shared by all layers of one cache.

    Attributes:
        first: First slot that is visible.
        next: Slot that the next token goes to.
        row: The one row that is read and written; None for all rows.
    """

    first: int = 0
    next: int = 0
    row: int | None = None


class SlotLayer(CacheLayerMixin):  # type: ignore[misc]
    """Keys and values of one layer, each ``[rows, key-value heads, capacity, head width]``."""

    is_sliding = False

    def __init__(self, window: Window, rows: int, capacity: int) -> None:
        super().__init__()
        self._window, self._rows, self._capacity = window, rows, capacity

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Take the memory, once the model has shown how many heads it has and how wide they are."""
        shape = (self._rows, key_states.shape[1], self._capacity)
        self.keys = key_states.new_zeros((*shape, key_states.shape[-1]))
        self.values = value_states.new_zeros((*shape, value_states.shape[-1]))
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_args: object, **_kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the new slots and return views of all visible ones: ``[rows read, heads, visible, width]``."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        window = self._window
        rows = slice(None) if window.row is None else slice(window.row, window.row + 1)
        end = window.next + key_states.shape[-2]
        if end > self._capacity:
            raise ValueError(f"slot {end} is beyond the cache's {self._capacity}")
        self.keys[rows, :, window.next : end] = key_states
        self.values[rows, :, window.next : end] = value_states
        return self.keys[rows, :, window.first : end], self.values[rows, :, window.first : end]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Keys that a mask must cover, and the first key's offset."""
        return self.get_seq_length() + query_length, 0

    def get_seq_length(self) -> int:
        """Visible slots before the next forward."""
        return self._window.next - self._window.first

    def get_max_length(self) -> int:
        """Slots a row can hold."""
        return self._capacity


class SlotCache(Cache):  # type: ignore[misc]
    """All layers of a model, over one window."""

    def __init__(self, layers: int, rows: int, capacity: int) -> None:
        self.window = Window()
        super().__init__(layers=[SlotLayer(self.window, rows, capacity) for _ in range(layers)])

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        tensors = [tensor for layer in self.layers for tensor in (layer.keys, layer.values) if tensor is not None]
        return sum(tensor.nbytes for tensor in tensors)
