"""Several processes of one machine that share the draws of a command, each as a part of its own that is merged.

A process that is killed is started again once; what it had answered is kept. After an interruption, too, what was
answered is merged. Parts stay in a hidden folder beside the runs only where the command was killed or could not merge
them: the next one with several workers does it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from rmtbench.errors import UserError, disk_errors
from rmtbench.journal.find import find_runs
from rmtbench.journal.layout import RunFolder
from rmtbench.journal.lock import only_writer
from rmtbench.journal.merge import Merged, merge
from rmtbench.journal.packed import packed_of
from rmtbench.locks import take_turn
from rmtbench.options import flag

PARTS = ".parts"
"""Folder of the parts within the results; a hidden one is no run."""

PART_OF_WORKERS = "RMTBENCH_PART_OF_WORKERS"
"""Environment variable of a process that another one started, which will merge its results."""
DRIVER = "RMTBENCH_DRIVER"
"""Variable that tells a process which one has started it."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Worked:
    """How the processes ended: their highest exit code (2 if one was killed twice), and the runs that they changed."""

    code: int
    merged: Sequence[Merged]


def run_in_workers(words: Sequence[str], workers: int, results: Path, tell: Tell) -> Worked:
    """Do a command's draws in several processes, and join what they made.

    Args:
        words: The command's own words, such as ``["run", "--system", "cag"]``.
        workers: Processes, each with an equal share of the processor's cores.
        results: Folder of all runs.
        tell: Gets every line that a process says, with its number before it.

    Raises:
        UserError: Another process works on the same parts, or parts, an earlier command's too, cannot be merged.
        KeyboardInterrupt: Interrupted; every answer so far is merged.
    """
    folder = results / PARTS
    with disk_errors(folder, flag.results):
        folder.mkdir(parents=True, exist_ok=True)
    with only_writer(folder / ".lock"):
        _take_in_left(folder, results, tell)
        parts = [folder / f"{number}-of-{workers}" for number in range(1, workers + 1)]
        for part in parts:
            _begin_with(results, part)
        try:
            codes = _work_twice(words, parts, tell)
        except KeyboardInterrupt:
            with suppress(UserError):  # the next command says what is wrong with the parts
                _take_in(parts, results)
            raise
        merged = _take_in(parts, results)
        shutil.rmtree(folder, ignore_errors=True)
    return Worked(2 if min(codes) < 0 else max(codes), merged)


def end_with_driver(driver: int) -> None:
    """Have the system interrupt this process when the one that has started it dies, however that is.

    Without it, the processes of a killed command would go on, and keep the same command from resuming. Where the system
    has no such call, the next command waits for them. Interruptions that came since the process was started come now.

    Args:
        driver: Process id of the one that has started it.
    """
    import ctypes

    set_signal_at_parents_death = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(set_signal_at_parents_death, signal.SIGINT)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    if os.getppid() != driver:  # it died before that
        raise KeyboardInterrupt


def _await_orphans(parts: Sequence[Path], tell: Tell) -> None:
    """Wait until the processes of a killed command, which are interrupted, have ended."""
    for part in parts:
        for run in [run for run in find_runs(part) if packed_of(run) is None]:
            with take_turn(RunFolder(run).lock, tell, "part"):
                pass


def _take_in_left(folder: Path, results: Path, tell: Tell) -> None:
    """Merge the parts of a command that was killed, or could not merge them, whatever the number of its workers.

    Raises:
        UserError: They do not belong to the runs that are there now.
    """
    left = sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")
    _await_orphans(left, tell)
    try:
        _take_in(left, results)
    except UserError as error:
        raise UserError(
            f"what an earlier command has left cannot be joined with the runs ({error})",
            where=str(folder),
            remedy="mend that, or remove this folder to go on without its answers",
        ) from error


def _take_in(parts: Sequence[Path], results: Path) -> list[Merged]:
    """Merge the runs that a part has changed, and remove the parts; runs that none has changed are not touched."""
    names = _changed(results, parts)
    merged = merge(parts, results, names, adding=True) if names else []
    for part in parts:
        shutil.rmtree(_hidden(part), ignore_errors=True)
        part.rename(_hidden(part))  # a part that is half removed would be half a run
        shutil.rmtree(_hidden(part), ignore_errors=True)
    return merged


def _changed(results: Path, parts: Sequence[Path]) -> set[str]:
    """Return the names of the runs that a part has and the results have not, or not so: others are not touched."""
    return {run.name for part in parts for run in find_runs(part) if _journal(run) != _journal(results / run.name)}


def _journal(run: Path) -> list[bytes]:
    folder = RunFolder(run)
    files = (folder.spec, folder.sessions, folder.corpora, folder.prepared, folder.answers)
    return [file.read_bytes() if file.exists() else b"" for file in files]


def _begin_with(results: Path, part: Path) -> None:
    """Let a new part know what the results have already, so that nothing is answered twice."""
    made = _hidden(part)
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    for run in find_runs(results):
        packed = packed_of(run)
        if packed is None:
            shutil.copytree(run, made / run.name, ignore=shutil.ignore_patterns(".lock*"))
        else:
            shutil.copy2(packed, made / packed.name)
    made.rename(part)


def _hidden(part: Path) -> Path:
    """Return the name of a part that is not whole."""
    return part.with_name(f".{part.name}")


def _work_twice(words: Sequence[str], parts: Sequence[Path], tell: Tell) -> list[int]:
    """Do each part in a process, one that is killed once more; exit codes in any order, negative if killed twice."""
    codes = _work(words, parts, tell)
    killed = [part for part, code in zip(parts, codes, strict=True) if code < 0]
    if not killed or max(codes) >= 2:
        return codes
    tell(f"{len(killed)} of {len(parts)} processes killed; started once more")
    return [*(code for code in codes if code >= 0), *_work(words, parts, tell, only=killed)]


def _work(words: Sequence[str], parts: Sequence[Path], tell: Tell, only: Sequence[Path] | None = None) -> list[int]:
    """Start a process for each part and wait for all; their exit codes, negative for a signal."""
    threads = str(max(1, (os.cpu_count() or 1) // len(parts)))
    mine = {PART_OF_WORKERS: "1", DRIVER: str(os.getpid())}
    flags_end = words.index("--") if "--" in words else len(words)
    environ = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, **os.environ, **mine}
    running: list[tuple[subprocess.Popen[str], Thread]] = []
    try:
        for number, part in enumerate(parts, start=1):
            if only is not None and part not in only:
                continue
            share = [flag.workers, "1", flag.shard, f"{number}/{len(parts)}", flag.results, str(part)]
            command = [sys.executable, "-m", "rmtbench", *words[:flags_end], *share, *words[flags_end:]]
            with _interrupts_blocked():  # until `end_with_driver`: Python would print a traceback
                process = subprocess.Popen(  # noqa: S603 - the user's own words
                    command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
                )
            listener = Thread(target=_listen, args=(process, f"[{number}/{len(parts)}] ", tell), daemon=True)
            listener.start()
            running.append((process, listener))
        return [process.wait() for process, _ in running]
    except KeyboardInterrupt:
        for process, _ in running:
            process.send_signal(signal.SIGINT)
        for process, _ in running:
            process.wait()
        raise
    finally:
        for process, listener in running:
            if process.poll() is None:
                process.kill()
            listener.join(timeout=5)


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block interruptions in this thread, and in processes that the block starts."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _listen(process: subprocess.Popen[str], mark: str, tell: Tell) -> None:
    assert process.stderr is not None  # noqa: S101 - asked for
    for line in process.stderr:
        tell(mark + line.rstrip("\n"))
