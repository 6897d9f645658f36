"""One writer a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rmtbench.errors import UserError, disk_errors
from rmtbench.locks import HeldError, hold


@contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Hold the lock file for the length of the block.

    Args:
        path: The lock file; made if missing, left in place.

    Raises:
        UserError: Another process holds it, or the file cannot be made.
    """
    with ExitStack() as stack:
        try:
            with disk_errors(path):
                stack.enter_context(hold(path))
        except HeldError as error:
            raise UserError(
                f"another process (pid {error.holder}) is writing this run",
                where=str(path.parent),
                remedy="wait for it to end, or choose another folder with --results",
            ) from error
        yield
