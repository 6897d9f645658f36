"""Get a context's keys and values: compute them, or load them from a store and compute the rest; each part is timed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

from rmtbench.errors import disk_errors
from rmtbench.kvcache.base import PrefixKV
from rmtbench.kvcache.disk import store as stored
from rmtbench.kvcache.disk.eviction import lock_of, make_room
from rmtbench.kvcache.disk.identity import model_identity
from rmtbench.kvcache.disk.unfinished import UnfinishedCache
from rmtbench.kvcache.exact.prefill import CHUNK_TOKENS, prefill
from rmtbench.kvcache.watching import NOBODY, Watch
from rmtbench.locks import Claim, take_turn
from rmtbench.measure import Stopwatch, Timed, add_seconds, synchroniser, timed
from rmtbench.models.local import LocalModel
from rmtbench.options import flag

TAKEN_OVER = "this process was stopped for a while and another one has taken over, so that nothing more is stored here"


@dataclass(frozen=True)
class Obtained:
    """A context's keys and values, on the model's device unless they were asked for on the host.

    Attributes:
        tensors: The keys and values.
        reused_tokens: Tokens of the context that were loaded, not computed.
        recomputed_tokens: Tokens that were read twice; None where that was not asked for.
    """

    tensors: PrefixKV
    reused_tokens: int = 0
    recomputed_tokens: int | None = None

    def counts(self, store: stored.CacheStore | None) -> Mapping[str, int]:
        """Return what happened to the context's tokens by name; `store` is where caches are kept, if anywhere."""
        read = self.tensors.tokens - self.reused_tokens
        counts = {} if store is None else {"reused_tokens": self.reused_tokens, "read_tokens": read}
        return counts if self.recomputed_tokens is None else {**counts, "recomputed_tokens": self.recomputed_tokens}


def obtain(
    model: LocalModel,
    ids: Sequence[int],
    *,
    store: stored.CacheStore | None = None,
    watch: Watch = NOBODY,
    chunk_tokens: int = CHUNK_TOKENS,
    host: bool = False,
) -> Timed[Obtained]:
    """Load a context from the store, and read what the store does not have of it.

    Args:
        model: The model that reads.
        ids: The context, at least one token.
        store: Where caches are kept; None to compute everything and keep nothing.
        watch: Gets the progress, and what the store had.
        chunk_tokens: Tokens read at once.
        host: Keep the context in the host's memory, and none of it on the device.

    Returns:
        The context with its seconds: ``prefill`` without a store; ``load``, and after a miss ``save`` and
        ``prefill``, with one.

    Raises:
        UserError: The store has no room, or cannot be written.
    """
    if store is None:
        read = partial(prefill, model.model, ids, chunk_tokens=chunk_tokens, watch=watch, host=host)
        return timed("prefill", lambda: Obtained(read()), synchroniser(model.device))
    wanted = stored.Wanted(model_identity(model, chunk_tokens), ids)
    watch = replace(watch, notice=_once(watch.notice))  # the store is asked before and behind the lock
    with disk_errors(store.folder, flag.kv_cache):
        store.folder.mkdir(parents=True, exist_ok=True)
        found = timed("load", partial(stored.load, store, wanted, watch), synchroniser(model.device))
        if found.value is None:
            with ExitStack() as stack:
                turn = take_turn(lock_of(store.folder, wanted.name), watch.notice)
                waited = timed("load", partial(stack.enter_context, turn))
                spent = add_seconds(found.seconds, waited.seconds)
                return _complete(model, wanted, store, watch, waited.value, spent, host=host)
    return _placed(model, found.value, found.seconds, host=host)


def _complete(
    model: LocalModel,
    wanted: stored.Wanted,
    store: stored.CacheStore,
    watch: Watch,
    claim: Claim,
    spent: Mapping[str, float],
    *,
    host: bool,
) -> Timed[Obtained]:
    """Look again while holding the lock, then continue from the longest beginning that is stored.

    `spent` are the seconds so far; they are part of the result's. A process that was stopped so long that another one
    has taken over computes the rest and stores nothing more.
    """
    ids, chunk_tokens = wanted.ids, wanted.identity["chunk_tokens"]
    room = partial(make_room, store.folder, limit=store.limit, told=watch.notice)
    unfinished = UnfinishedCache(stored.unfinished_folder(store, wanted), ids, room)
    clock, saving = Stopwatch(synchroniser(model.device)), Stopwatch()
    alone = _Alone(claim, partial(watch.notice, f"kv cache {wanted.name}: {TAKEN_OVER}"))
    with clock.part("load"):
        whole = stored.load(store, wanted, watch)  # another process may have made it meanwhile
        known = unfinished.ready() if whole is None else None
        begun = known.tokens if known is not None else 0
        if whole is None and begun < len(ids):
            other = stored.load_beginning(store, wanted, watch)
            known = other if other is not None and other.tokens > begun else known
    if whole is not None:
        return _placed(model, whole, add_seconds(spent, clock.seconds), host=host)
    reused = known.tokens if known is not None else 0
    if begun:
        watch.notice(f"kv cache {wanted.name}: goes on behind {begun:,} tokens of an interrupted reading")
    with saving.part("save"):
        for start in range(begun, reused, chunk_tokens):
            assert known is not None  # noqa: S101 - else nothing is reused
            alone.write(partial(unfinished.keep, start, known.cut(start, min(start + chunk_tokens, reused))))
    saved_before = saving.seconds["save"]

    def keep(start: int, chunk: PrefixKV) -> None:
        with saving.part("save"):
            alone.write(partial(unfinished.keep, start, chunk))

    with clock.part("prefill"):
        tensors = prefill(model.model, ids, chunk_tokens=chunk_tokens, known=known, keep=keep, watch=watch, host=host)
    computing = clock.seconds["prefill"] - (saving.seconds["save"] - saved_before)  # chunks were saved in between
    so_far = add_seconds(spent, {"load": clock.seconds["load"]}, saving.seconds, {"prefill": computing})
    publish = partial(stored.publish, store, wanted, unfinished, tensors, so_far, reused)
    published = timed("save", partial(alone.write, publish), synchroniser(model.device))
    return Timed(Obtained(tensors, reused), add_seconds(so_far, published.seconds))


class _Alone:
    """Writes for as long as the lock is held."""

    def __init__(self, claim: Claim, tell: Callable[[], None]) -> None:
        self._claim, self._tell = claim, tell
        self._alone = True

    def write(self, step: Callable[[], None]) -> None:
        """Do a step, unless another process has taken over; that is told once.

        Raises:
            UserError: There is no room for the cache.
            OSError: The disk refuses.
        """
        if not self._alone:
            return
        if not self._claim.lost():
            try:
                step()
            except FileNotFoundError:
                if not self._claim.lost():
                    raise
            else:
                return
        self._alone = False
        self._tell()


def _once(notice: Callable[[str], None]) -> Callable[[str], None]:
    told: set[str] = set()

    def tell(text: str) -> None:
        if text not in told:
            told.add(text)
            notice(text)

    return tell


def _placed(model: LocalModel, tensors: PrefixKV, spent: Mapping[str, float], *, host: bool) -> Timed[Obtained]:
    """Bring a loaded context to the model's device; on the host it stays memory-mapped."""

    def place() -> PrefixKV:
        if host or model.model.device.type == "cpu":
            return tensors
        keys, values = (
            tuple(tensor.to(model.model.device) for tensor in side) for side in (tensors.keys, tensors.values)
        )
        return PrefixKV(keys, values, tensors.token_ids)

    placed = timed("load", place, synchroniser(model.device))
    return Timed(Obtained(placed.value, tensors.tokens), add_seconds(spent, placed.seconds))
