"""What a report of many runs costs: time and memory of the whole command, over synthetic runs."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from experiments.benches.report_scale import Scale, write_runs

SAMPLE_SECONDS = 0.1


def run(scale: Scale) -> dict[str, Any]:
    """Write synthetic runs, report on them twice, and remove them.

    Args:
        scale: How much is reported.

    Returns:
        Of the first report, which reads every journal, and of the second, which finds their columns: wall and CPU
        seconds, and peak resident bytes of all processes together.

    Raises:
        subprocess.CalledProcessError: The command failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        for _ in write_runs(Path(folder), scale):
            pass
        first, second = (measure(Path(folder)) for _ in range(2))
    return {"runs": scale.runs, "answers": scale.runs * scale.answers, "first": first, "second": second}


def measure(results: Path) -> dict[str, float]:
    """Report on a folder in a process of its own.

    Args:
        results: The folder.

    Returns:
        Wall and CPU seconds, and the most bytes that all processes of the command held together, seen ten times a
        second.

    Raises:
        subprocess.CalledProcessError: The command failed.
    """
    command = [sys.executable, "-m", "rmtbench", "report", str(results)]
    before, start, peak = _cpu_seconds(), time.perf_counter(), 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as started:  # noqa: S603 (our own command)
        while started.poll() is None:
            peak = max(peak, _resident(psutil.Process(started.pid)))
            time.sleep(SAMPLE_SECONDS)
    if started.returncode:
        raise subprocess.CalledProcessError(started.returncode, command)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "cpu_seconds": _cpu_seconds() - before, "peak_resident_bytes": peak}


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _resident(process: psutil.Process) -> int:
    total = 0
    with suppress(psutil.NoSuchProcess):
        for each in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                total += each.memory_info().rss
    return total
