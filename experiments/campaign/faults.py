"""The failing file layer (`faults.c`): compiled once, loaded before everything else, and armed in a child process."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

SOURCE = Path(__file__).with_name("faults.c")

What = Literal["count", "full", "unreadable", "kill", "clock"]
_NUMBERS = {"count": 0, "full": 1, "unreadable": 2, "kill": 3, "clock": 4}


@dataclass(frozen=True, slots=True)
class Fault:
    """What a child's file layer does.

    Attributes:
        what: ``full`` refuses every write from number `at` on, ``unreadable`` some reads, ``kill`` kills the process in
            the middle of write number `at`, ``clock`` moves the wall clock, and ``count`` only counts.
        at: Number of the write, read or look at the clock, from 1.
        size: Seconds of a clock's step, or how many reads fail (0: all from `at` on).
    """

    what: What = "count"
    at: int = 0
    size: float = 0.0


@dataclass(frozen=True, slots=True)
class Counts:
    """What a child's file layer has seen."""

    writes: int = 0
    reads: int = 0
    clocks: int = 0
    injected: int = 0


def start_under_layer(words: Sequence[str], folder: Path) -> bool:
    """Start this command again with the layer loaded, unless it is loaded.

    Args:
        words: The command's words after ``python -m experiments.campaign``.
        folder: Where the compiled layer is kept.

    Returns:
        False without a C compiler; does not return if the command is started again.
    """
    if "libfaults" in os.environ.get("LD_PRELOAD", ""):
        return True
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        return False
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]
    library = folder.resolve() / f"libfaults-{digest}.so"
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        made = library.with_suffix(f".{os.getpid()}")
        command = [compiler, "-shared", "-fPIC", "-O1", "-D_LARGEFILE64_SOURCE", "-o", str(made), str(SOURCE), "-ldl"]
        subprocess.run(command, check=True)  # noqa: S603 - our own words
        made.replace(library)
    environ = {**os.environ, "LD_PRELOAD": str(library), "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    return _start_again(words, environ)


def _start_again(words: Sequence[str], environ: dict[str, str]) -> NoReturn:
    os.execve(sys.executable, [sys.executable, "-m", "experiments.campaign", *words], environ)  # noqa: S606


def arm(folder: Path, fault: Fault) -> None:
    """Let the layer do this from now on to the files below a folder."""
    layer = ctypes.CDLL(None)
    layer.campaign_arm.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_long, ctypes.c_double]
    layer.campaign_arm(os.fsencode(f"{folder}/"), _NUMBERS[fault.what], fault.at, fault.size)


def counts() -> Counts:
    """Return what the layer has seen since it was armed."""
    layer = ctypes.CDLL(None)
    names = ("campaign_writes", "campaign_reads", "campaign_clocks", "campaign_injected")
    for name in names:
        getattr(layer, name).restype = ctypes.c_long
    return Counts(*(getattr(layer, name)() for name in names))


def is_loaded() -> bool:
    """Return whether the layer is there."""
    return hasattr(ctypes.CDLL(None), "campaign_arm")
