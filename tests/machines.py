"""Processes that share a disk as machines do: each has another host name, and a `flock` that may be missing.

`works` is an ordinary `flock`. An errno's name is what the call answers. `for-everybody` succeeds for every process, as
on a network file system that is mounted with local locks.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FLOCKS = ("works", "ENOSYS", "ENOLCK", "EOPNOTSUPP", "for-everybody")
LEASE_SECONDS = 1.5

BEGIN = """
import errno, fcntl, os, signal, socket, sys
from pathlib import Path
sys.path[:0] = {paths!r}
socket.gethostname = lambda: {host!r}
really = fcntl.flock
def flock(descriptor, operation):
    if {flock!r} == "works":
        return really(descriptor, operation)
    if {flock!r} != "for-everybody":
        raise OSError(getattr(errno, {flock!r}), os.strerror(getattr(errno, {flock!r})))
fcntl.flock = flock
from rmtbench import locks
locks.LEASE_SECONDS = {lease!r}
def pause(text="stopped"):
    print(text, flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
"""


@contextmanager
def machine(host: str, flock: str, script: str) -> Iterator[subprocess.Popen[str]]:
    """Run a script as another machine would; its `pause()` says ``stopped`` and stops it until it gets a SIGCONT."""
    paths = [
        str(Path(__file__).parent),
        str(Path(__file__).parent / "kvcache"),
        str(Path(__file__).parent / "retrieval"),
    ]
    begin = BEGIN.format(paths=paths, host=host, flock=flock, lease=LEASE_SECONDS)
    process = subprocess.Popen(
        [sys.executable, "-c", begin + script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str]) -> str:
    """The next line that a machine says."""
    assert process.stdout is not None
    return process.stdout.readline().strip()
