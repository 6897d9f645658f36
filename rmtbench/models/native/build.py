"""Compile `step.cpp` for this machine's processor, once, and load it.

The compiled file is kept in the cache folder under a name that holds what it depends on: the source, the compiler, the
processor, torch and the user. It shares torch's threads, since two pools of threads would wait for each other's cores.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from rmtbench.files import cache_folder, write_atomically

SOURCE = Path(__file__).with_name("step.cpp")
FLAGS = ("-O3", "-march=native", "-std=c++17", "-fopenmp", "-shared", "-fPIC")
SECONDS = 120
"""After which a compiler is given up; it takes two."""

SETTING = "RMTBENCH_NATIVE"
"""Environment: ``off``, or the folder that keeps the compiled file in place of the cache folder's ``native``."""


@cache
def library() -> ctypes.CDLL | str:
    """Return the compiled code, or in a few words why there is none."""
    threads, compiler = _torchs_threads(), shutil.which(os.environ.get("CXX", "g++"))
    reasons = {
        f"{SETTING} is off": os.environ.get(SETTING) == "off",
        "only Linux is served": sys.platform != "linux",
        "torch has no threads of its own (libgomp)": threads is None,
        "there is no C++ compiler (g++)": compiler is None,
    }
    if threads is None or compiler is None or any(reasons.values()):
        return next(reason for reason, holds in reasons.items() if holds)
    try:
        folder = Path(os.environ.get(SETTING) or cache_folder() / "native").expanduser()
        path = folder / f"step-{_key(compiler, threads)}.so"
        if not path.is_file():
            _compile(compiler, threads, path)
        if not _is_ours(path):
            return f"{path} is another user's, or can be written by others"
        return ctypes.CDLL(str(path))
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        return f"{Path(compiler).name} failed: {said[-1] if said else error.returncode}"
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)


def _torchs_threads() -> Path | None:
    import torch

    root = Path(torch.__file__).parent
    found = sorted([*(root / "lib").glob("libgomp*.so*"), *root.with_name("torch.libs").glob("libgomp*.so*")])
    return found[0] if len(found) == 1 else None


def _key(compiler: str, threads: Path) -> str:
    import torch

    made = Path(compiler).resolve().stat()
    parts = (
        SOURCE.read_bytes(),
        " ".join((*FLAGS, compiler, str(made.st_size), str(made.st_mtime_ns))).encode(),
        f"{torch.__version__} {threads} {os.getuid()}".encode(),  # users who share a folder load their own
        _instructions(),
    )
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _instructions() -> bytes:
    """What the processor can do: a cache folder may be shared by machines that differ."""
    lines = Path("/proc/cpuinfo").read_bytes().splitlines()
    return next((line for line in lines if line.startswith((b"flags", b"Features"))), b"")


def _is_ours(path: Path) -> bool:
    """Whether nobody else can have put other code there."""
    found = path.stat()
    return found.st_uid == os.getuid() and not found.st_mode & 0o022


def _compile(compiler: str, threads: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "step.so"
        command = [compiler, *FLAGS, str(SOURCE), str(threads), "-o", str(made)]
        subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)  # noqa: S603 - the user's compiler
        write_atomically(path, made.read_bytes(), mode=0o600)
