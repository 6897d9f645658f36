"""What the tests of the command line share: how a command ended, and what lies in its results folder."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

CONSOLE = (sys.executable, "-c", "from rmtbench.cli.main import main; main()")
"""What the console script does, for tests that need a process of their own."""


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Said]


def of_systems(words: Sequence[str], systems: str) -> tuple[str, ...]:
    """The words of a run with other systems: ``--system`` given again would add them."""
    place = words.index("--system") + 1
    return (*words[:place], systems, *words[place + 1 :])


def rows(path: Path) -> list[dict]:
    """All rows of a JSON-lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def journals(results: Path) -> dict[str, list[dict]]:
    """Each run's answers."""
    return {path.parent.name: rows(path) for path in sorted(results.glob("*/answers.jsonl"))}


def told(results: Path) -> dict[str, list[tuple]]:
    """Each run's answers without their timings: what an interruption must not change."""
    fields = ("draw", "question_id", "text", "raw", "finish", "error", "output_ids")
    return {run: [tuple(map(str, map(row.get, fields))) for row in made] for run, made in journals(results).items()}


def child_environment(tmp_path: Path) -> dict[str, str]:
    """Environment of a command in a process of its own; its help has no colours, wherever the tests run."""
    plain = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "_TYPER_FORCE_DISABLE_TERMINAL": "1"}
    return {**os.environ, **plain, "RMTBENCH_CACHE": str(tmp_path / "cache")}
