"""Several processes of one machine that share the draws of a command, each as a part of its own that is merged.

A process that is killed is started again once; what it had answered is kept. After an interruption, or if something
cannot be done, what was answered is merged, and the parts stay in a hidden folder beside the runs: the same command
resumes them.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
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
        UserError: Another process works on the same parts, or the parts cannot be merged.
        KeyboardInterrupt: Interrupted; every answer so far is merged, and its part stays.
    """
    folder = results / PARTS
    with disk_errors(folder, flag.results):
        folder.mkdir(parents=True, exist_ok=True)
    with only_writer(folder / ".lock"):
        parts = [folder / f"{number}-of-{workers}" for number in range(1, workers + 1)]
        _refuse_other_numbers(folder, parts)
        for part in parts:
            _begin_with(results, part)
        _await_orphans(parts, tell)
        try:
            codes = _work_twice(words, parts, tell)
        except KeyboardInterrupt:
            with suppress(UserError):  # the same command says what is wrong with the parts
                _merge_changed(parts, results)
            raise
        merged = _merge_changed(parts, results)
        if min(codes) < 0:
            return Worked(2, merged)
        if max(codes) < 2:
            shutil.rmtree(folder, ignore_errors=True)
    return Worked(max(codes), merged)


def end_with_driver(driver: int) -> None:
    """Have the system interrupt this process when the one that has started it dies, however that is.

    Without it, the processes of a killed command would go on, and keep the same command from resuming. Where the system
    has no such call, the next command waits for them.

    Args:
        driver: Process id of the one that has started it.
    """
    import ctypes

    set_signal_at_parents_death = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(set_signal_at_parents_death, signal.SIGINT)
    if os.getppid() != driver:  # it died before that
        raise KeyboardInterrupt


def _await_orphans(parts: Sequence[Path], tell: Tell) -> None:
    """Wait until the processes of a killed command, which are interrupted, have ended."""
    for part in parts:
        for run in find_runs(part):
            with take_turn(RunFolder(run).lock, tell, "part"):
                pass


def _merge_changed(parts: Sequence[Path], results: Path) -> list[Merged]:
    names = _changed(results, parts)
    return merge(parts, results, names) if names else []


def _changed(results: Path, parts: Sequence[Path]) -> set[str]:
    """Return the names of the runs that a part has and the results have not, or not so: others are not touched."""
    return {run.name for part in parts for run in find_runs(part) if _journal(run) != _journal(results / run.name)}


def _journal(run: Path) -> list[bytes]:
    folder = RunFolder(run)
    files = (folder.spec, folder.sessions, folder.corpora, folder.prepared, folder.answers)
    return [file.read_bytes() if file.exists() else b"" for file in files]


def _refuse_other_numbers(folder: Path, parts: Sequence[Path]) -> None:
    others = [path.name for path in folder.iterdir() if path.is_dir() and path not in parts and path.name[0] != "."]
    if others:
        count = others[0].rpartition("-")[2]
        raise UserError(
            f"parts of {count} workers lie here, half done",
            where=str(folder),
            remedy=f"resume with {flag.workers} {count}, or remove that folder",
        )


def _begin_with(results: Path, part: Path) -> None:
    """Let a new part know what the results have already, so that nothing is answered twice."""
    if part.exists():
        return
    made = part.with_name(f".{part.name}")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    for run in find_runs(results):
        packed = packed_of(run)
        if packed is None:
            shutil.copytree(run, made / run.name, ignore=shutil.ignore_patterns(".lock*"))
        else:
            shutil.copy2(packed, made / packed.name)
    made.rename(part)


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
    environ = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, **os.environ, **mine}
    running: list[tuple[subprocess.Popen[str], Thread]] = []
    try:
        for number, part in enumerate(parts, start=1):
            if only is not None and part not in only:
                continue
            command = [sys.executable, "-m", "rmtbench", *words]
            command += [flag.workers, "1", flag.shard, f"{number}/{len(parts)}", flag.results, str(part)]
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


def _listen(process: subprocess.Popen[str], mark: str, tell: Tell) -> None:
    assert process.stderr is not None  # noqa: S101 - asked for
    for line in process.stderr:
        tell(mark + line.rstrip("\n"))
