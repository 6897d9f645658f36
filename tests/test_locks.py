"""Locks on shared disks: with every kind of `flock`, one holder; a stopped one on another machine is taken over."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from machines import FLOCKS, LEASE_SECONDS, machine, said

from rmtbench import locks
from rmtbench.errors import UserError
from rmtbench.journal.lock import only_writer
from rmtbench.locks import HeldError, hold, lease_of, take_turn, turn_if_free

HOLDER = """
with locks.take_turn(Path({path!r}), print) as claim:
    print("held", flush=True)
    sys.stdin.readline()
    print("lost" if claim.lost() else "kept", flush=True)
"""
STOPPED = """
with locks.take_turn(Path({path!r}), print) as claim:
    pause()
    print("lost" if claim.lost() else "kept", flush=True)
"""


@pytest.fixture(autouse=True)
def short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "LEASE_SECONDS", LEASE_SECONDS)


@pytest.mark.parametrize("flock", FLOCKS)
def test_a_living_holder_elsewhere_keeps_its_lock(tmp_path: Path, flock: str) -> None:
    lock = tmp_path / "lock"
    with machine("node7", flock, HOLDER.format(path=str(lock))) as holder:
        assert said(holder) == "held"
        with turn_if_free(lock) as free:
            assert not free
        with pytest.raises(HeldError) as caught, hold(lock):
            pass
        assert caught.value.holder == f"{holder.pid} on node7"
        assert holder.stdin is not None
        time.sleep(1.5 * LEASE_SECONDS)  # its heartbeats renew the lease
        holder.stdin.write("\n")
        holder.stdin.flush()
        told: list[str] = []
        with take_turn(lock, told.append):
            assert said(holder) == "kept"
    # It lets go in between, and who it was is then no longer known.
    names = (f"{holder.pid} on node7", "unknown")
    assert told in ([], *([f"waiting for process {name}, which makes this cache now"] for name in names))


@pytest.mark.parametrize("flock", FLOCKS[1:])
def test_a_holder_without_heartbeat_loses_its_lock(tmp_path: Path, flock: str) -> None:
    lock = tmp_path / "lock"
    with machine("node7", flock, STOPPED.format(path=str(lock))) as holder:
        assert said(holder) == "stopped"
        began = time.monotonic()
        with hold(lock) as claim:
            assert claim.superseded
            assert time.monotonic() - began >= LEASE_SECONDS
            holder.send_signal(signal.SIGCONT)
            assert said(holder) == "lost"
            holder.wait()
            assert not claim.lost()  # the other one has not taken its lease away with it
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_a_dead_holder_on_this_machine_is_noticed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr(locks, "LEASE_SECONDS", 3600.0)
    lock = tmp_path / "lock"
    script = "locks.LEASE_SECONDS = 3600.0\n" + HOLDER.format(path=str(lock))
    with machine(socket.gethostname(), "ENOLCK", script) as holder:
        assert said(holder) == "held"
        holder.kill()
        holder.wait()
        assert lease_of(lock).exists()
        with hold(lock) as claim:
            assert not claim.superseded


def test_a_writer_that_was_taken_over_writes_no_more(tmp_path: Path) -> None:
    with only_writer(tmp_path / ".lock") as check:
        check()
        with machine("node7", "for-everybody", HOLDER.format(path=str(tmp_path / "other"))) as other:
            assert said(other) == "held"
            (tmp_path / "other.lease").replace(tmp_path / ".lock.lease")
            with pytest.raises(UserError, match=rf"another one \(pid {other.pid} on node7\) has taken over"):
                check()


def test_a_lease_that_names_nobody_is_no_lock_for_ever(tmp_path: Path) -> None:
    lease_of(tmp_path / "lock").touch()  # killed between making its lease and writing into it
    with hold(tmp_path / "lock"):
        assert lease_of(tmp_path / "lock").stat().st_size
    lease_of(tmp_path / "lock").write_text("filelock/2\npid=1")  # killed while writing into it
    with hold(tmp_path / "lock"):
        pass
    assert not lease_of(tmp_path / "lock").exists()
