"""Locks between processes and machines, by `filelock`.

A lock has two parts. A `flock`, where the file system has one, ends with its holder. A lease works on every file
system: its holder touches a file, and a lease that nobody touched for `LEASE_SECONDS` may be taken over. A lease gives
no guarantee: a holder that was stopped that long may continue. So every writer asks `Claim.lost` before it writes.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

POLL_SECONDS = 0.1

LEASE_SECONDS = 60.0
"""Seconds without a heartbeat after which a holder on another machine counts as dead; a heartbeat comes each third."""

EMPTY_SECONDS = 2.0
"""Seconds after which a lease without a name counts as left by a killed process; `filelock` keeps it forever."""

_WITHOUT_FLOCK = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP)
"""What file systems without `flock` answer."""


class HeldError(Exception):
    """Another holder has the lock.

    Attributes:
        holder: Its process id as a text, with its machine if that is another one; or ``unknown``.
    """

    def __init__(self, holder: str) -> None:
        super().__init__(f"held by process {holder}")
        self.holder = holder


class Claim:
    """A lock that may be held: see the module.

    Attributes:
        superseded: Whether the lease of the holder before ran out, so that it may be alive on another machine.
        refused_by_flock: Whether the last `take` met a living holder on this machine.
    """

    def __init__(self, path: Path) -> None:
        """Make a lock; nothing is held yet.

        Args:
            path: The file of the `flock`; made if missing, left in place. The lease is beside it while it is held.
        """
        from filelock import FileLock, SoftFileLease  # a tenth of a second, and most commands take no lock

        path.parent.mkdir(parents=True, exist_ok=True)
        # A marker file in place of a flock would outlive its holder: for that there is the lease.
        self._flock = FileLock(path, fallback_to_soft=False)
        self._lease = SoftFileLease(lease_of(path), lease_duration=LEASE_SECONDS, thread_local=False)
        self._tried: float | None = None
        self._empty: tuple[object, float] | None = None
        self.superseded = False
        self.refused_by_flock = False

    def take(self) -> bool:
        """Take the lock unless another holder has it; returns whether it is held now.

        Raises:
            OSError: A file cannot be made.
        """
        from filelock import Timeout

        now = time.monotonic()
        self._tried = now if self._tried is None else self._tried
        self.refused_by_flock = not self._take_flock()
        if self.refused_by_flock:
            return False
        before = self._lease.owner
        try:
            self._lease.acquire(blocking=False)
        except Timeout:
            self._break_empty(now)
            self._flock.release()
            return False
        except BaseException:
            self._flock.release()
            raise
        # One that is dead on this machine is known to be at once; others have to be watched.
        self.superseded = before is not None and now - self._tried >= LEASE_SECONDS
        return True

    def _break_empty(self, now: float) -> None:
        """Remove a lease without a word in it: its holder was killed before it had written its name."""
        sign = self.sign_of_life()
        if sign is None or lease_of(Path(self._flock.lock_file)).stat().st_size:
            self._empty = None
        elif self._empty is None or self._empty[0] != sign:
            self._empty = (sign, now)
        elif now - self._empty[1] >= EMPTY_SECONDS:
            self._lease.force_break()

    def _take_flock(self) -> bool:
        from filelock import Timeout

        try:
            self._flock.acquire(blocking=False)
        except Timeout:
            return False
        except OSError as error:
            if error.errno not in _WITHOUT_FLOCK:
                raise
        return True

    def release(self) -> None:
        """Let others have it."""
        self._lease.release()
        self._flock.release()

    def lost(self) -> bool:
        """Return whether another holder has taken it over, because this process was stopped for a while."""
        if self._lease.is_lock_held_by_us:
            return False
        time.sleep(POLL_SECONDS)  # a process that checks whether a lease has run out moves it aside for a moment
        return not self._lease.is_lock_held_by_us

    def holder(self) -> str:
        """Return who has it: a process id, with its machine if that is another one; or ``unknown``."""
        owner = self._lease.owner
        if owner is None:  # an earlier version, which has only the flock and its process id in that file
            return Path(self._flock.lock_file).read_text(encoding="utf-8", errors="replace").strip() or "unknown"
        machine = owner.hostname.partition("?")[0]  # behind that is its container
        return str(owner.pid) if machine == socket.gethostname() else f"{owner.pid} on {machine}"

    def sign_of_life(self) -> object:
        """Return what changes with each heartbeat of the holder; None without a holder."""
        try:
            facts = lease_of(Path(self._flock.lock_file)).stat()
        except FileNotFoundError:
            return None
        return facts.st_mtime_ns, facts.st_ino, facts.st_ctime_ns


def lease_of(path: Path) -> Path:
    """Return the file of the lease that belongs to a lock file."""
    return path.with_name(f"{path.name}.lease")


@contextmanager
def hold(path: Path) -> Iterator[Claim]:
    """Hold a lock for the length of the block.

    A holder on another machine is watched until its next heartbeat, or until it counts as dead.

    Args:
        path: The lock file; made if missing, left in place.

    Raises:
        HeldError: Another process, or another part of this one, holds it.
        OSError: The file cannot be made.
    """
    claim = Claim(path)
    held, sign = claim.take(), claim.sign_of_life()
    # A flock ends with its holder, so that refused by one means that it lives.
    while not held and not claim.refused_by_flock and claim.sign_of_life() in (sign, None):
        time.sleep(POLL_SECONDS)
        held = claim.take()
    if not held:
        raise HeldError(claim.holder())
    with _held(claim):
        yield claim


@contextmanager
def take_turn(path: Path, waiting: Callable[[str], None], what: str = "cache") -> Iterator[Claim]:
    """Wait for a lock, then hold it for the length of the block.

    Args:
        path: The lock file; made if missing, left in place.
        waiting: Called once, with a line that names the holder.
        what: What its holder makes, for that message.

    Raises:
        OSError: The file cannot be made.
    """
    claim = Claim(path)
    if not claim.take():
        waiting(f"waiting for process {claim.holder()}, which makes this {what} now")
        while not claim.take():
            time.sleep(POLL_SECONDS)
    with _held(claim):
        yield claim


@contextmanager
def turn_if_free(path: Path) -> Iterator[bool]:
    """Hold a lock for the length of the block if it is free; yields whether it is held.

    Args:
        path: The lock file; made if missing, left in place.

    Raises:
        OSError: The file cannot be made.
    """
    claim = Claim(path)
    free = claim.take()
    with _held(claim):
        yield free


@contextmanager
def _held(claim: Claim) -> Iterator[None]:
    try:
        yield
    finally:
        claim.release()
