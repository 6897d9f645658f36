"""Keys and values of texts in memory, by token ids; beyond a limit, those used longest ago are removed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rmtbench.kvcache.disk.obtain import Obtained
from rmtbench.kvcache.exact.prefill import prefill

if TYPE_CHECKING:
    from rmtbench.kvcache.base import PrefixKV
    from rmtbench.models.local import LocalModel


class PartCaches:
    """Caches of texts that are each read alone.

    Args:
        model: The model that reads.
        limit: Most bytes of all caches together; a larger one is not kept.
    """

    def __init__(self, model: LocalModel, limit: int) -> None:
        self._model, self._limit = model, limit
        self._held: OrderedDict[tuple[int, ...], PrefixKV] = OrderedDict()
        self.bytes = 0

    def get(self, ids: Sequence[int]) -> Obtained:
        """Return a text's keys and values; they are read now if they are not in memory."""
        key = tuple(ids)
        if (found := self._held.get(key)) is not None:
            self._held.move_to_end(key)
            return Obtained(found, found.tokens)
        read = prefill(self._model.model, key)
        if read.bytes <= self._limit:
            self._held[key] = read
            self.bytes += read.bytes
        while self.bytes > self._limit:
            self.bytes -= self._held.popitem(last=False)[1].bytes
        return Obtained(read)
