"""A corpus's cache composed of its documents' own: read, or kept by their content, then made ready for questions.

`compose` says how it is put together, `docs/cag.md` what it is worth.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rmtbench.kvcache.approximate.compose import check_composable, compose
from rmtbench.kvcache.approximate.recompute import recompute
from rmtbench.kvcache.disk.obtain import Obtained, obtain
from rmtbench.kvcache.watching import NOBODY, Reading, Watch
from rmtbench.measure import Stopwatch, synchroniser

if TYPE_CHECKING:
    from rmtbench.kvcache.base import PrefixKV
    from rmtbench.kvcache.disk.store import CacheStore
    from rmtbench.models.local import LocalModel


def obtain_composed(
    model: LocalModel,
    parts: Sequence[Sequence[int]],
    seconds: dict[str, float],
    *,
    store: CacheStore | None = None,
    share: float | None = None,
    watch: Watch = NOBODY,
) -> tuple[PrefixKV, dict[str, int]]:
    """Read the documents, each by itself behind the head, or load what is kept of them; then put them together.

    Args:
        model: The model that reads.
        parts: Token ids of the head and of each document: see `PromptContract.context_parts`.
        seconds: Gets those of `obtain`, of ``compose`` and, with a share, of ``recompute``.
        store: Where documents' caches are kept; None for nowhere.
        share: Of each document's tokens that are read again: see `recompute`; None for none.
        watch: Told how far the reading is, and what the store had.

    Returns:
        The context, and counts by name: with a store the context's tokens that were loaded, ``reused_tokens``, and
        that were not, ``read_tokens``, where the head counts with the first document; with a share
        ``recomputed_tokens``.

    Raises:
        UserError: The model cannot be composed, or the store has no room.
    """
    frequencies = check_composable(model.model)
    clock = Stopwatch(synchroniser(model.device))
    head, total = len(parts[0]), sum(map(len, parts))
    begun, before = time.perf_counter(), sum(seconds.values())
    done = reused = whole = 0

    def read(ids: Sequence[int]) -> PrefixKV:
        nonlocal done, reused, whole
        found = _obtain_part(model, ids, seconds, store, watch)
        repeated = head if done else 0
        done += len(ids) - repeated
        reused += max(0, found.reused_tokens - repeated)
        whole += found.reused_tokens == len(ids)
        read_now = max(1e-9, time.perf_counter() - begun)
        watch.reading(Reading(done, total, (done - reused) / read_now))
        return found.tensors

    context = compose(parts, read, frequencies)
    synchroniser(model.device)()
    seconds["compose"] = time.perf_counter() - begun - (sum(seconds.values()) - before)
    counts = {} if store is None else {"reused_tokens": reused, "read_tokens": total - reused}
    if whole:
        watch.notice(f"kv cache: {whole:,} of {max(1, len(parts) - 1):,} documents loaded, not computed")
    if share is not None:
        with clock.part("recompute"):
            counts["recomputed_tokens"] = recompute(model.model, context, [len(part) for part in parts], share)
        seconds |= clock.seconds
    return context, counts


def _obtain_part(
    model: LocalModel, ids: Sequence[int], seconds: dict[str, float], store: CacheStore | None, watch: Watch
) -> Obtained:
    """As `obtain`; of a document that was there nothing is said, since there may be hundreds."""
    said: list[str] = []
    found = obtain(
        model, ids, seconds, store=store, watch=replace(watch, reading=lambda _reading: None, notice=said.append)
    )
    if found.reused_tokens < len(ids):
        for text in said:
            watch.notice(text)
    return found
