"""Locks between processes: one makes a kept file, and the others that want it wait. A lock dies with its holder."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def take_turn(path: Path, waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold a lock file for the length of the block, after whoever holds it now.

    Args:
        path: The lock file; made if missing, left in place.
        waiting: Told once whose end is awaited.

    Raises:
        OSError: The file cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as stream:
        told = False
        while not _take(stream):
            if not told:
                stream.seek(0)
                waiting(f"waiting for process {stream.read().strip() or 'unknown'}, which makes this cache now")
                told = True
            time.sleep(0.1)
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        yield


@contextmanager
def turn_if_free(path: Path) -> Iterator[bool]:
    """Hold a lock file for the length of the block if nobody else does; tells whether it is held.

    Args:
        path: The lock file; made if missing, left in place.

    Raises:
        OSError: The file cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as stream:
        yield _take(stream)


def _take(stream: IO[str]) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
