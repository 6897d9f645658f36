"""One writer a run: an advisory lock that the operating system drops when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rmtbench.errors import UserError, disk_errors


@contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Hold the lock file for the length of the block.

    Args:
        path: The lock file; made if missing, left in place.

    Raises:
        UserError: Another process holds it.
    """
    with disk_errors(path):
        stream = path.open("a+")
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            stream.seek(0)
            holder = stream.read().strip() or "unknown"
            raise UserError(
                f"another process (pid {holder}) is writing this run",
                where=str(path.parent),
                remedy="wait for it to end, or choose another folder with --results",
            ) from error
        with disk_errors(path):
            stream.truncate(0)
            stream.write(str(os.getpid()))
            stream.flush()
        yield
