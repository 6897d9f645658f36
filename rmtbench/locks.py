"""Locks between processes, by `filelock`. The operating system drops a lock when its holder dies, however it dies."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import BaseFileLock

POLL_SECONDS = 0.1


class HeldError(Exception):
    """Another holder has the lock.

    Attributes:
        holder: Its process id as a text, or ``unknown``.
    """

    def __init__(self, holder: str) -> None:
        super().__init__(f"held by process {holder}")
        self.holder = holder


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold a lock file for the length of the block, and write this process's id into it.

    Args:
        path: The lock file; made if missing, left in place.

    Raises:
        HeldError: Another process, or another part of this one, holds it.
        OSError: The file cannot be made.
    """
    lock = _lock(path)
    if not _take(lock):
        raise HeldError(_holder(path))
    with _held(lock, path):
        yield


@contextmanager
def take_turn(path: Path, waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold a lock file for the length of the block, after whoever holds it now.

    Args:
        path: The lock file; made if missing, left in place.
        waiting: Told once whose end is awaited.

    Raises:
        OSError: The file cannot be made.
    """
    lock = _lock(path)
    if not _take(lock):
        waiting(f"waiting for process {_holder(path)}, which makes this cache now")
        lock.acquire(poll_interval=POLL_SECONDS)
    with _held(lock, path):
        yield


@contextmanager
def turn_if_free(path: Path) -> Iterator[bool]:
    """Hold a lock file for the length of the block if nobody else does; yields whether it is held.

    Args:
        path: The lock file; made if missing, left in place.

    Raises:
        OSError: The file cannot be made.
    """
    lock = _lock(path)
    free = _take(lock)
    try:
        yield free
    finally:
        lock.release()


def _lock(path: Path) -> BaseFileLock:
    """Without flock there is no lock: a marker file in its place would outlive its holder."""
    from filelock import FileLock  # a tenth of a second, and most commands take no lock

    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path, fallback_to_soft=False)


def _take(lock: BaseFileLock) -> bool:
    from filelock import Timeout

    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    return True


@contextmanager
def _held(lock: BaseFileLock, path: Path) -> Iterator[None]:
    try:
        path.write_text(str(os.getpid()), encoding="utf-8")
        yield
    finally:
        lock.release()


def _holder(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip() or "unknown"
