"""One writer a run, and a training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from rmtbench.errors import UserError, disk_errors
from rmtbench.locks import HeldError, hold, lease_of
from rmtbench.options import flag


@contextmanager
def only_writer(path: Path, what: str = "this run", option: str = flag.results) -> Iterator[Callable[[], None]]:
    """Hold the lock file for the length of the block.

    Args:
        path: The lock file; made if missing, left in place.
        what: Is written under it.
        option: What chooses another folder.

    Yields:
        What to call before each write: it raises a `UserError` if another process has taken over meanwhile.

    Raises:
        UserError: Another process holds it, or the file cannot be made.
    """
    with ExitStack() as stack:
        try:
            with disk_errors(path, option):
                claim = stack.enter_context(hold(path))
        except HeldError as error:
            raise UserError(
                f"another process (pid {error.holder}) is writing {what}",
                where=str(path.parent),
                remedy=f"wait for it to end, or choose another folder with {option}",
            ) from error

        def check() -> None:
            if claim.lost():
                raise UserError(
                    f"this process was stopped for a while, and another one (pid {claim.holder()}) has taken over",
                    where=str(path.parent),
                    remedy="everything written so far is kept; once the other process has ended, give the same command "
                    "again",
                )

        yield check


def forget_dead_writer(path: Path) -> None:
    """Remove the lease that a killed process has left of a run that needs no other writer.

    Args:
        path: The lock file.
    """
    if lease_of(path).exists():
        with suppress(HeldError, OSError), hold(path):
            pass
