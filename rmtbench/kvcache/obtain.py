"""Get a context's keys and values: computed, or loaded from a store and completed; each part's cost is told apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

from rmtbench.errors import disk_errors
from rmtbench.kvcache import store as stored
from rmtbench.kvcache.base import PrefixTensors
from rmtbench.kvcache.gc import lock_of, make_room
from rmtbench.kvcache.identity import model_identity
from rmtbench.kvcache.prefill import CHUNK_TOKENS, prefill
from rmtbench.kvcache.unfinished import UnfinishedCache
from rmtbench.kvcache.watching import NOBODY, Watch
from rmtbench.locks import take_turn
from rmtbench.measure import Stopwatch, synchroniser
from rmtbench.models.local import LocalModel

ReadContext = Callable[[LocalModel, Sequence[int], dict[str, float]], PrefixTensors]
"""Gets a context's tensors from a model and token ids, and adds what each part cost."""


@dataclass(frozen=True)
class Obtained:
    """A context's tensors, on the model's device, and how many of its tokens were not computed for it."""

    tensors: PrefixTensors
    reused_tokens: int = 0


def obtain(
    model: LocalModel,
    ids: Sequence[int],
    seconds: dict[str, float],
    *,
    store: stored.CacheStore | None = None,
    watch: Watch = NOBODY,
    chunk_tokens: int = CHUNK_TOKENS,
) -> Obtained:
    """Read a context, or what the store has not of it.

    Args:
        model: The model that reads.
        ids: The context, at least one token.
        seconds: Gets the wall seconds of ``prefill`` without a store, of ``load``, ``prefill`` and ``save`` with one.
        store: Where caches are kept; None for computing everything and keeping nothing.
        watch: Told how far the reading is, and what the store had.
        chunk_tokens: Tokens read at once.

    Raises:
        UserError: The store has no room, or cannot be written.
    """
    clock = Stopwatch(synchroniser(model.device))
    clock.seconds = seconds
    if store is None:
        with clock.part("prefill"):
            return Obtained(prefill(model.model, ids, chunk_tokens=chunk_tokens, watch=watch))
    wanted = stored.Wanted(model_identity(model, chunk_tokens), ids)
    watch = replace(watch, notice=_once(watch.notice))  # whoever looks twice, before and behind the lock, says it once
    with disk_errors(store.folder, "--kv-cache"):
        store.folder.mkdir(parents=True, exist_ok=True)
        with clock.part("load"):
            whole = stored.load(store, wanted, watch)
        if whole is None:
            with ExitStack() as stack:
                with clock.part("load"):
                    stack.enter_context(take_turn(lock_of(store.folder, wanted.name), watch.notice))
                return _complete(model, wanted, clock, store, watch)
    return _placed(model, whole, clock)


def read_in_chunks(model: LocalModel, ids: Sequence[int], seconds: dict[str, float]) -> PrefixTensors:
    """A `ReadContext` that computes everything and keeps nothing."""
    return obtain(model, ids, seconds).tensors


def _complete(
    model: LocalModel, wanted: stored.Wanted, clock: Stopwatch, store: stored.CacheStore, watch: Watch
) -> Obtained:
    """What the holder of the lock does: look again, then go on from the most that stands ready."""
    ids, chunk_tokens = wanted.ids, wanted.identity["chunk_tokens"]
    room = partial(make_room, store.folder, limit=store.limit, told=watch.notice)
    unfinished = UnfinishedCache(stored.unfinished_folder(store, wanted), ids, room)
    with clock.part("load"):
        # Whoever was waited for has made it.
        whole = stored.load(store, wanted, watch)
        known = unfinished.ready() if whole is None else None
        begun = known.tokens if known is not None else 0
        if whole is None and begun < len(ids):
            other = stored.load_beginning(store, wanted, watch)
            known = other if other is not None and other.tokens > begun else known
    if whole is not None:
        return _placed(model, whole, clock)
    reused = known.tokens if known is not None else 0
    if begun:
        watch.notice(f"kv cache {wanted.name}: goes on behind {begun:,} tokens of an interrupted reading")
    with clock.part("save"):
        for start in range(begun, reused, chunk_tokens):
            assert known is not None  # noqa: S101 - else nothing is reused
            unfinished.keep(start, known.cut(start, min(start + chunk_tokens, reused)))
    saving = Stopwatch()

    def keep(start: int, chunk: PrefixTensors) -> None:
        with saving.part("save"):
            unfinished.keep(start, chunk)

    with clock.part("prefill"):
        tensors = prefill(model.model, ids, chunk_tokens=chunk_tokens, known=known, keep=keep, watch=watch)
    clock.seconds["prefill"] -= saving.seconds.get("save", 0.0)
    clock.seconds["save"] += saving.seconds.get("save", 0.0)
    with clock.part("save"):
        stored.publish(store, wanted, unfinished, tensors, clock.seconds, reused)
    return Obtained(tensors, reused)


def _once(notice: Callable[[str], None]) -> Callable[[str], None]:
    told: set[str] = set()

    def tell(text: str) -> None:
        if text not in told:
            told.add(text)
            notice(text)

    return tell


def _placed(model: LocalModel, tensors: PrefixTensors, clock: Stopwatch) -> Obtained:
    """The tensors where the model is: on the CPU they stay mapped."""
    with clock.part("load"):
        if model.model.device.type != "cpu":
            keys, values = (
                tuple(tensor.to(model.model.device) for tensor in side) for side in (tensors.keys, tensors.values)
            )
            tensors = PrefixTensors(keys, values, tensors.token_ids)
    return Obtained(tensors, tensors.tokens)
