"""The store's housekeeping: list its caches, remove them, and make room for a new one."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rmtbench.errors import UserError
from rmtbench.kvcache.disk.identity import cache_key
from rmtbench.kvcache.disk.manifest import FILE, DamagedCacheError, Manifest, read_ids, read_manifest
from rmtbench.locks import turn_if_free
from rmtbench.options import flag

SPARE_BYTES = 256 * 2**20
"""What a new cache must leave free on the disk."""

LOCKS, REMOVED, UNFINISHED = ".locks", ".removed-", ".unfinished-"
_OURS = re.compile(r"-\d+-[0-9a-f]{16}$")


@dataclass(frozen=True)
class Entry:
    """One folder of the store.

    Attributes:
        path: The folder.
        bytes: What its files take.
        last_used: Seconds since the epoch.
        manifest: None where it cannot be trusted.
        damage: Why not; else empty.
        unfinished: Whether it was never completed.
    """

    path: Path
    bytes: int
    last_used: float
    manifest: Manifest | None
    damage: str = ""
    unfinished: bool = False

    @property
    def name(self) -> str:
        """The folder's name, which `rmtbench cache remove` takes."""
        return self.path.name.removeprefix(UNFINISHED)


def size_text(count: float) -> str:
    """Bytes for people, such as ``2.75 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def entries(folder: Path, only: Callable[[Path], bool] = lambda _path: True) -> list[Entry]:
    """Return everything in the store, least recently used first; empty if it does not exist yet.

    Args:
        folder: The store.
        only: Which of its folders; asked before their sizes and manifests are read.
    """
    return sorted(_entries(folder, only), key=lambda entry: (entry.last_used, entry.name))


def _folders(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir() if folder.is_dir() else ():
        # Other folders are not ours: the user may name a folder that holds other things.
        if _OURS.search(path.name) and not path.name.startswith(REMOVED) and path.is_dir():
            yield path


def _total(folder: Path) -> int:
    """Return the bytes of everything in the store; reads no manifest."""
    total = 0
    for path in _folders(folder):
        with suppress(FileNotFoundError):  # removed by another process meanwhile
            total += _measure(path)[0]
    return total


def _entries(folder: Path, only: Callable[[Path], bool]) -> Iterator[Entry]:
    for path in filter(only, _folders(folder)):
        try:
            size, used = _measure(path)
            if path.name.startswith(UNFINISHED):
                yield Entry(path, size, used, None, unfinished=True)
                continue
            yield Entry(path, size, used, read_manifest(path))
        except DamagedCacheError as error:
            yield Entry(path, size, used, None, str(error))
        except FileNotFoundError:
            continue  # removed by another process meanwhile


def _measure(path: Path) -> tuple[int, float]:
    stats = [file.stat() for file in path.iterdir()]
    return sum(stat.st_size for stat in stats), max((stat.st_mtime for stat in stats), default=path.stat().st_mtime)


def check(path: Path) -> list[str]:
    """Return all that is wrong with a stored cache, by file; an empty list for a good one.

    Args:
        path: Its folder.
    """
    try:
        manifest = read_manifest(path)
    except DamagedCacheError as error:
        return [str(error)]
    found = manifest.damage(path)
    if not found:
        ids = read_ids(path)
        if cache_key(manifest.identity, memoryview(ids).cast("I")) != manifest.key:
            found.append(f"{FILE}: its key is another cache's")
        elif not path.name.endswith(manifest.key[:16]):
            found.append(f"{FILE}: the folder's name is another cache's")
    return found


def remove(path: Path) -> None:
    """Remove a folder: renamed first, so that no process finds half of it. A process that has it mapped keeps it."""
    aside = path.with_name(f"{REMOVED}{path.name}-{time.time_ns()}")
    with suppress(FileNotFoundError):
        path.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)


def collect(folder: Path, limit: int, told: Callable[[str], None]) -> int:
    """Remove caches that cannot be used, then the least recently used ones beyond the limit.

    Args:
        folder: The store.
        limit: Bytes that may stay.
        told: Gets a line for each removal.

    Returns:
        Bytes removed.
    """
    before = _total(folder)
    for left in folder.glob(f"{REMOVED}*"):
        shutil.rmtree(left, ignore_errors=True)
    for entry in entries(folder):
        if entry.unfinished:
            with turn_if_free(lock_of(folder, entry.name)) as free:
                if free:
                    told(f"removed {entry.name}: never completed")
                    remove(entry.path)
        elif entry.damage:
            told(f"removed {entry.name}: {entry.damage}")
            remove(entry.path)
    _evict(folder, limit, told)
    return before - _total(folder)


def make_room(folder: Path, needed: int, limit: int, told: Callable[[str], None]) -> None:
    """Make room for one more cache: evict the least recently used ones, or refuse it if it cannot fit.

    Args:
        folder: The store.
        needed: Bytes of the new cache.
        limit: Bytes that the whole store may have.
        told: Gets a line for each eviction.

    Raises:
        UserError: The cache alone is beyond the limit, or the disk is too small.
    """
    if needed > limit:
        raise UserError(
            f"the cache needs {size_text(needed)}, and the store may have {size_text(limit)}",
            where=flag.cache_limit,
            remedy=f"give {flag.cache_limit} {-(-needed // 10**9)}GB or more, or leave {flag.kv_cache} out",
        )
    _evict(folder, limit - needed, told)
    free = shutil.disk_usage(folder).free
    if needed + SPARE_BYTES > free:
        raise UserError(
            f"the cache needs {size_text(needed)}, and the disk has {size_text(free)} left",
            where=str(folder),
            remedy=f"free some room (rmtbench cache list, remove, gc), name another folder with {flag.kv_cache}, "
            f"or leave {flag.kv_cache} out",
        )


def _evict(folder: Path, limit: int, told: Callable[[str], None]) -> None:
    """Remove the least recently used caches until the rest fits; one that is being made counts, and stays."""
    if _total(folder) <= limit:  # the usual case, which comes with every document of a composed context
        return
    there = entries(folder)
    total = sum(entry.bytes for entry in there)
    for entry in there:
        if total <= limit:
            return
        with turn_if_free(lock_of(folder, entry.name)) as free:
            if free or not entry.unfinished:
                told(f"removed {entry.name} ({size_text(entry.bytes)}), the least recently used, for the store's limit")
                remove(entry.path)
                total -= entry.bytes


def lock_of(folder: Path, name: str) -> Path:
    """The lock of one cache's making."""
    return folder / LOCKS / name
