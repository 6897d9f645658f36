"""What produced a run's numbers: versions, machine, threads, code. Reads package metadata and imports no package."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import rmtbench
from rmtbench.measure import processor_name

PACKAGES = (
    "torch", "transformers", "tokenizers", "numpy", "llama-index-core", "rank-bm25", "PyStemmer", "faiss-cpu",
    "llama-index-retrievers-bm25", "bm25s", "llama-index-vector-stores-qdrant", "qdrant-client",
    "bert-score", "datasets", "openai",
)  # fmt: skip


def surroundings(device: str, threads: str | None = None) -> dict[str, Any]:
    """Return facts about this process and machine.

    Args:
        device: The torch device that answers.
        threads: What to record for the number of threads if no model computes here; None asks torch.

    Returns:
        `versions`, `threads`, `machine`, `code` and `started` (UTC), all as JSON values.
    """
    return {
        "versions": {"python": platform.python_version(), **_versions()},
        "threads": threads or _threads(),
        "machine": machine_facts(device),
        "code": _code(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def machine_facts(device: str) -> dict[str, Any]:
    """Return processor, cores, memory and accelerator of the machine that answers.

    Args:
        device: The torch device.
    """
    import psutil

    facts: dict[str, Any] = {
        "system": platform.system(),
        "architecture": platform.machine(),
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
    }
    if device.startswith("cuda"):
        import torch

        facts["accelerator"] = torch.cuda.get_device_name(device)
    return facts


@cache
def _code() -> dict[str, Any]:
    """Return the version, and the commit if the package runs from its own git checkout."""
    folder = Path(rmtbench.__file__).parent
    commit = _git(folder, "rev-parse", "HEAD") if (folder.parent / ".git").exists() else None
    dirty = bool(_git(folder, "status", "--porcelain", "--", str(folder))) if commit else None
    return {"version": rmtbench.__version__, "commit": commit, "dirty": dirty}


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - fixed words
            ["git", "-C", str(folder), *words],  # noqa: S607 - whichever git the user has
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
