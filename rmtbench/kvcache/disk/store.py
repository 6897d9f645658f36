"""Caches on disk, one folder each: found by everything that decides their bytes, and checked before every use.

A cache that is damaged or belongs to another model is a miss, with a notice. See `docs/explanation/cache-store.md`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from rmtbench.kvcache.base import PrefixKV
from rmtbench.kvcache.disk.eviction import UNFINISHED, Entry, entries, remove
from rmtbench.kvcache.disk.identity import cache_key, differences, ids_bytes
from rmtbench.kvcache.disk.layer_file import layer_name, read
from rmtbench.kvcache.disk.manifest import (
    FILE,
    IDS_FILE,
    DamagedCacheError,
    Manifest,
    read_ids,
    read_manifest,
    write_manifest,
)
from rmtbench.kvcache.disk.unfinished import CHUNKS, UnfinishedCache, flush
from rmtbench.kvcache.watching import Watch


@dataclass(frozen=True, slots=True)
class CacheStore:
    """Where caches are kept, and how many bytes all of them may have."""

    folder: Path
    limit: int


@dataclass(frozen=True)
class Wanted:
    """The cache that is needed: its token ids and everything else that decides its bytes."""

    identity: Mapping[str, Any]
    ids: Sequence[int]

    @cached_property
    def key(self) -> str:
        """See `cache_key`."""
        return cache_key(self.identity, self.ids)

    @cached_property
    def name(self) -> str:
        """Its folder."""
        slug = re.sub(r"[^a-z0-9.]+", "-", str(self.identity["model"]).rpartition("/")[2].lower()).strip("-.")
        return f"{slug}-{len(self.ids)}-{self.key[:16]}"


def load(store: CacheStore, wanted: Wanted, watch: Watch) -> PrefixKV | None:
    """The whole cache from the disk, mapped, after every byte was checked.

    Args:
        store: Where to look.
        wanted: What to look for.
        watch: Gets a notice of a hit, and of why a cache that is there was not used.

    Returns:
        The tensors, on the CPU; None for a miss.
    """
    folder = store.folder / wanted.name
    if not folder.exists():
        return None
    try:
        tensors = _checked(folder, read_manifest(folder), wanted)
    except DamagedCacheError as error:
        watch.notice(f"kv cache {wanted.name} is not used, and made anew: {error}")
        return None
    _touch(folder)
    watch.notice(f"kv cache {wanted.name}: {len(wanted.ids):,} tokens loaded, not computed")
    return tensors


def load_beginning(store: CacheStore, wanted: Wanted, watch: Watch) -> PrefixKV | None:
    """The most leading tokens that a cache of the same identity shares, in whole chunks, mapped and checked.

    Args:
        store: Where to look.
        wanted: What to look for.
        watch: Gets a notice of what is reused, and of caches that could have been.

    Returns:
        The shared beginning's tensors, on the CPU; None where no cache shares a chunk.
    """
    found = sorted(_beginnings(store, wanted, watch), key=lambda pair: pair[0], reverse=True)
    for shared, entry in found:
        assert entry.manifest is not None  # noqa: S101 - `_beginnings` gives no others
        try:
            whole = _checked(entry.path, entry.manifest)
        except DamagedCacheError as error:
            watch.notice(f"kv cache {entry.name} is not used: {error}")
            continue
        _touch(entry.path)
        watch.notice(f"kv cache {entry.name}: its first {shared:,} of {len(wanted.ids):,} tokens are reused")
        return whole.cut(0, shared)
    return None


def _beginnings(store: CacheStore, wanted: Wanted, watch: Watch) -> Iterator[tuple[int, Entry]]:
    """Trustworthy caches with the number of tokens they share; the others are told of where they come near."""
    ids, chunk = ids_bytes(wanted.ids), wanted.identity["chunk_tokens"]

    def near(folder: Path) -> bool:
        """Token ids first, a small file: of hundreds of documents' caches none may share a chunk."""
        stored = read_ids(folder)
        return stored == ids or _common(ids, stored) >= 4 * chunk

    for entry in entries(store.folder, near):
        if entry.unfinished or entry.name == wanted.name:
            continue
        if entry.manifest is None:
            watch.notice(f"kv cache {entry.name} is not used: {entry.damage}")
            continue
        stored = read_ids(entry.path)
        if other := differences(wanted.identity, entry.manifest.identity):
            if stored == ids:
                watch.notice(f"kv cache {entry.name} has these tokens and is not used: made with another {other[0]}")
            continue
        shared = _common(ids, stored) // 4 // chunk * chunk
        if shared:
            yield shared, entry


def publish(
    store: CacheStore,
    wanted: Wanted,
    unfinished: UnfinishedCache,
    tensors: PrefixKV,
    seconds: Mapping[str, float],
    reused_tokens: int,
) -> None:
    """Complete a cache and give it its name: before the rename it is not found, and after it, it is whole.

    Args:
        store: Where it goes.
        wanted: What it is.
        unfinished: Its files, all chunks written.
        tensors: Its tensors.
        seconds: What making it has cost so far, by part.
        reused_tokens: Tokens that were not computed for it.

    Raises:
        OSError: The disk refuses.
    """
    import safetensors

    import rmtbench

    files = unfinished.complete(tensors)
    manifest = Manifest(
        key=wanted.key,
        identity=wanted.identity,
        tokens=len(wanted.ids),
        token_ids_sha256=files[IDS_FILE]["sha256"],
        bytes=sum(facts["bytes"] for facts in files.values()),
        files=files,
        seconds={part: round(value, 6) for part, value in seconds.items()},
        reused_tokens=reused_tokens,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        made_by={"rmtbench": rmtbench.__version__, "safetensors": safetensors.__version__},
    )
    write_manifest(unfinished.folder, manifest)
    flush(unfinished.folder)
    target = store.folder / wanted.name
    if target.exists():
        remove(target)  # damaged, or made meanwhile where a lock was not respected: either is made good by this one
    unfinished.folder.rename(target)
    flush(store.folder)
    (target / CHUNKS).unlink(missing_ok=True)


def unfinished_folder(store: CacheStore, wanted: Wanted) -> Path:
    """Where the cache is made."""
    return store.folder / f"{UNFINISHED}{wanted.name}"


def _checked(folder: Path, manifest: Manifest, wanted: Wanted | None = None) -> PrefixKV:
    """Hash every file, then map the layers; where one cache alone will do, make sure that it is this one.

    Raises:
        DamagedCacheError: Some file is not as it was written, or it is another cache.
    """
    if wanted is not None and (names := differences(wanted.identity, manifest.identity)):
        raise DamagedCacheError(f"made with another {', '.join(names)}")
    damage = manifest.damage(folder)
    if damage:
        raise DamagedCacheError("; ".join(damage))
    try:
        layers = [read(folder / layer_name(layer)) for layer in range(len(manifest.files) - 1)]
        ids = tuple(memoryview(read_ids(folder)).cast("I"))
    except Exception as error:  # checked a moment ago: another process has taken it away
        raise DamagedCacheError(f"vanished while it was read ({type(error).__name__})") from error
    if wanted is not None and (manifest.key != wanted.key or ids != tuple(wanted.ids)):
        raise DamagedCacheError(f"{IDS_FILE}: other token ids")
    return PrefixKV(tuple(keys for keys, _ in layers), tuple(values for _, values in layers), ids)


def _common(one: bytes, other: bytes) -> int:
    """Length of the longest common beginning."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _touch(folder: Path) -> None:
    """Record the use as the manifest's time stamp, so that its bytes never change."""
    with suppress(OSError):
        os.utime(folder / FILE)
