"""A corpus's cache composed of its documents' own: read, or loaded by their content, then put together.

`compose` says how it is put together, `docs/explanation/cag.md` what it is worth.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from rmtbench.kvcache.approximate.compose import check_composable, compose
from rmtbench.kvcache.approximate.recompute import recompute
from rmtbench.kvcache.disk.obtain import Obtained, obtain
from rmtbench.kvcache.watching import NOBODY, ReadProgress, Watch
from rmtbench.measure import Timed, add_seconds, synchroniser, timed
from rmtbench.plural import many

if TYPE_CHECKING:
    from rmtbench.kvcache.base import PrefixKV
    from rmtbench.kvcache.disk.store import CacheStore
    from rmtbench.models.local import LocalModel


class _Documents:
    """Reads documents one by one behind their head, and counts what that took."""

    def __init__(
        self, model: LocalModel, parts: Sequence[Sequence[int]], store: CacheStore | None, watch: Watch
    ) -> None:
        self._model, self._store, self._watch = model, store, watch
        self._head, self._total = len(parts[0]), sum(map(len, parts))
        self._begun, self._done = time.perf_counter(), 0
        self.reused = self.whole = 0
        self.seconds: dict[str, float] = {}

    def read(self, ids: Sequence[int]) -> PrefixKV:
        """Read or load head and document; the head counts once, with the first document."""
        found = _obtain_part(self._model, ids, self._store, self._watch)
        self.seconds = add_seconds(self.seconds, found.seconds)
        reused, repeated = found.value.reused_tokens, self._head if self._done else 0
        self._done += len(ids) - repeated
        self.reused += max(0, reused - repeated)
        self.whole += reused == len(ids)
        spent = max(1e-9, time.perf_counter() - self._begun)
        self._watch.reading(ReadProgress(self._done, self._total, (self._done - self.reused) / spent))
        return found.value.tensors


def obtain_composed(
    model: LocalModel,
    parts: Sequence[Sequence[int]],
    *,
    store: CacheStore | None = None,
    share: float | None = None,
    watch: Watch = NOBODY,
) -> Timed[Obtained]:
    """Read each document by itself behind the head, or load it from the store; then put them together.

    Args:
        model: The model that reads.
        parts: Token ids of the head and of each document: see `PromptContract.context_parts`.
        store: Where documents' caches are kept; None to keep nothing.
        share: Of each document's tokens that are read again: see `recompute`; None for none.
        watch: Told how far the reading is, and what the store had.

    Returns:
        The context with its seconds: those of `obtain`, ``compose`` and, with a share, ``recompute``.

    Raises:
        UserError: The model cannot be composed, or the store has no room.
    """
    frequencies = check_composable(model.model)
    synchronise = synchroniser(model.device)
    documents, begun = _Documents(model, parts, store, watch), time.perf_counter()
    context = compose(parts, documents.read, frequencies)
    synchronise()
    spent = time.perf_counter() - begun
    seconds = add_seconds(documents.seconds, {"compose": spent - sum(documents.seconds.values())})
    if documents.whole:
        total = max(1, len(parts) - 1)
        watch.notice(f"kv cache: {documents.whole:,} of {many(total, 'document')} loaded, not computed")
    if share is None:
        return Timed(Obtained(context, documents.reused), seconds)
    lengths = [len(part) for part in parts]
    again = timed("recompute", partial(recompute, model.model, context, lengths, share), synchronise)
    return Timed(Obtained(context, documents.reused, again.value), add_seconds(seconds, again.seconds))


def _obtain_part(model: LocalModel, ids: Sequence[int], store: CacheStore | None, watch: Watch) -> Timed[Obtained]:
    """As `obtain`, without a line for each document that was loaded: there may be hundreds."""
    said: list[str] = []
    quiet = replace(watch, reading=lambda _reading: None, notice=said.append)
    found = obtain(model, ids, store=store, watch=quiet)
    if found.value.reused_tokens < len(ids):
        for text in said:
            watch.notice(text)
    return found
