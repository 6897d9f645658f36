"""One command in a process of its own, forked from this one, which has the libraries loaded already."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path

from experiments.campaign.faults import Counts, Fault, arm, counts, is_loaded

LONGEST_SECONDS = 600.0
"""Until a command counts as stuck; on a busy machine a training of seconds has taken three minutes."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: exit code (negative for a signal), what it said on stderr, and what its files saw."""

    code: int
    err: str
    seconds: float
    counts: Counts

    @property
    def traceback(self) -> bool:
        """Whether it showed a traceback, or another sign that an exception escaped."""
        return any(
            mark in self.err for mark in ("Traceback (most recent call last)", "Exception ignored in", "Error in sys")
        )


class Child:
    """A running command."""

    def __init__(self, words: Sequence[str], place: Path, *, fault: Fault | None = None, name: str = "0") -> None:
        """Start it in its own group of processes.

        Args:
            words: The command line after ``rmtbench``.
            place: Its working folder; its cache folder is `cache` in it.
            fault: What its file layer does to files below `place`.
            name: Distinguishes the logs of several children.
        """
        logs = place.with_name(f"{place.name}.logs")
        logs.mkdir(exist_ok=True)
        self._err, self._counts = logs / f"err-{name}", logs / f"counts-{name}"
        self._counts.unlink(missing_ok=True)
        self._began = time.monotonic()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _be(words, place, fault, self._err, self._counts)

    def wait(self, seconds: float = LONGEST_SECONDS) -> Ended | None:
        """Return how it ended; None if it still runs after so many seconds."""
        until = time.monotonic() + seconds
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() >= until:
                return None
            time.sleep(0.002)
        said = self._err.read_text(encoding="utf-8", errors="replace") if self._err.exists() else ""
        return Ended(os.waitstatus_to_exitcode(status), said, time.monotonic() - self._began, self._counted())

    def _counted(self) -> Counts:
        """What its file layer counted; nothing of a command that was killed before it had written that."""
        try:
            return Counts(**json.loads(self._counts.read_text()))
        except (FileNotFoundError, ValueError):
            return Counts()

    def end(self) -> Ended:
        """Return how it ended; one that takes too long is killed, and its code is that of the signal."""
        ended = self.wait()
        if ended is None:
            self.kill()
            ended = self.wait()
        assert ended is not None  # noqa: S101 - a killed process ends
        return ended

    def kill(self, *, group: bool = True) -> None:
        """Kill it without warning, with or without the processes that it has started."""
        (os.killpg if group else os.kill)(self.pid, signal.SIGKILL)


def run(words: Sequence[str], place: Path, fault: Fault | None = None) -> Ended:
    """Run a command to its end."""
    return Child(words, place, fault=fault).end()


def in_child(action: Callable[[], None]) -> None:
    """Call something in a process of its own: what uses torch would leave threads here, which no fork takes along."""
    pid = os.fork()
    if pid == 0:
        try:
            action()
        except BaseException:  # noqa: BLE001 - it must not go on as the parent
            traceback.print_exc()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def warm(words: Sequence[Sequence[str]], place: Path) -> None:
    """Load here what commands load, so that children need not: each is run once, and its modules are imported."""
    listed = place / "modules.json"
    for command in words:
        pid = os.fork()
        if pid == 0:
            _be(command, place, None, place / "warm-err", place / "warm-counts", modules=listed)
        os.waitpid(pid, 0)
        for name in json.loads(listed.read_text()) if listed.exists() else ():
            try:
                import_module(name)
            except Exception:  # noqa: BLE001, S112 - some can only be imported by others, in their order
                continue
    gc.freeze()


def _be(
    words: Sequence[str], place: Path, fault: Fault | None, err: Path, seen: Path, modules: Path | None = None
) -> None:
    """Be the child: run the command and end without returning."""
    code = 70
    try:
        os.setpgid(0, 0)
        _redirect(err)
        os.chdir(place)
        os.environ.update(environment(place))
        os.environ.pop("RMTBENCH_DATA", None)
        sys.argv = ["rmtbench", *words]
        sys.path.insert(0, str(place / "site"))  # where a trial has its plugins
        if is_loaded():
            arm(place, fault or Fault())
        code = _main()
        if is_loaded():
            made = counts()
            arm(Path("/nonexistent"), Fault())
            with suppress(OSError):  # the disk is small, and full
                seen.write_text(json.dumps(asdict(made)))
        if modules is not None:
            modules.write_text(json.dumps(sorted(name for name in sys.modules if not name.startswith("_"))))
    except BaseException:  # noqa: BLE001 - it must not go on as the parent
        traceback.print_exc()
    finally:
        os._exit(code)


def _main() -> int:
    from rmtbench.cli.main import main

    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    except BaseException:  # noqa: BLE001 - what a user would see
        traceback.print_exc()
        return 1
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                continue
    return 0


def _redirect(err: Path) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    file = os.open(err, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for target, source in ((0, null), (1, null), (2, file)):
        os.dup2(source, target)


def environment(place: Path) -> Mapping[str, str]:
    """Return the variables of a command that works in a folder of its own."""
    return {
        "RMTBENCH_CACHE": str(place / "cache"),
        "HF_HUB_OFFLINE": "1",
        "OPENAI_API_KEY": "sk-test-5up3rs3cr3tk3y-do-not-show",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
