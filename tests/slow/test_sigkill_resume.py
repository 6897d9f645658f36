"""A run killed without warning, again and again, ends with the very answers of a run that nobody disturbed."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

KILLS = 10
SEED = 20241220
QUESTIONS = 24
SYSTEMS = ("closed-book", "cag", "rag-sparse")
WORDS = ("run", "--system", ",".join(SYSTEMS), "--top-k", "1", "--dataset", "handbook", "--model", "random:tiny",
         "--questions", str(QUESTIONS), "--max-answer-tokens", "24", "--results")  # fmt: skip

# A disk that takes forty bytes at a time and a while for each: so kills fall into the midst of a row, too.
SLOW_DISK = """
import io, time
really_open = io.open

class SlowDisk(io.FileIO):
    def write(self, data):
        time.sleep(0.004)
        return super().write(memoryview(data)[:40])

def slowly(file, mode="r", *rest, **options):
    if str(file).endswith(("answers.jsonl", "gold.jsonl", "sessions.jsonl")) and mode == "ab":
        return io.BufferedWriter(SlowDisk(file, mode))
    return really_open(file, mode, *rest, **options)

io.open = slowly
from rmtbench.cli.main import main
main()
"""


def start(results: Path, cache: Path) -> subprocess.Popen:
    environment = {**os.environ, "RMTBENCH_CACHE": str(cache), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SLOW_DISK, *WORDS, str(results)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def answered(results: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in results.glob("*/answers.jsonl"))


def torn(results: Path) -> list[str]:
    """Files whose last row is not whole."""
    files = {path: path.read_bytes() for path in results.glob("*/*.jsonl")}
    return sorted(f"{path.name} of {path.parent.name.split('-handbook')[0]}"
                  for path, data in files.items() if data and not data.endswith(b"\n"))  # fmt: skip


def rows(results: Path, name: str, *, without: tuple[str, ...] = ()) -> dict[str, list[dict]]:
    """All rows of each run's file of that name, in order."""
    return {
        path.parent.name: [
            {field: value for field, value in json.loads(line).items() if field not in without}
            for line in path.read_text(encoding="utf-8").splitlines()
        ]
        for path in sorted(results.glob(f"*/{name}"))
    }


@pytest.mark.slow
def test_ten_kills_at_random_moments_change_no_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, killed, cache = tmp_path / "whole", tmp_path / "killed", tmp_path / "cache"
    undisturbed = start(whole, cache)
    _, err = undisturbed.communicate(timeout=300)
    assert undisturbed.returncode == 0, err
    total = len(SYSTEMS) * QUESTIONS
    assert answered(whole) == total

    chance = random.Random(SEED)
    moments = []
    for number in range(KILLS):
        before = answered(killed)
        child = start(killed, cache)
        began = time.monotonic()
        # Some kills fall while libraries load or the corpus is prepared, some while a row is written, most anywhere.
        further = 0 if number % 4 == 3 else chance.randint(1, 2 * (total - before) // (KILLS - number + 1))
        until = began + (chance.uniform(0, 5) if not further else 120)
        while time.monotonic() < until and not (further and answered(killed) >= before + further):
            assert child.poll() is None, f"it ended before the kill: {child.stderr.read() if child.stderr else ''}"
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.2))
        while number % 4 == 1 and not torn(killed):
            assert child.poll() is None, "it ended before the kill"
            time.sleep(0.0005)
        child.kill()
        child.communicate()
        assert child.returncode == -9
        moments.append((time.monotonic() - began, before, answered(killed), torn(killed)))

    last = start(killed, cache)
    _, err = last.communicate(timeout=300)
    with capsys.disabled():
        print()
        for number, (seconds, before, after, files) in enumerate(moments, start=1):
            print(f"kill {number:2} after {seconds:4.1f} s: {before:2} -> {after:2} of {total} answers; "
                  f"torn: {', '.join(files) or 'nothing'}")  # fmt: skip
    assert last.returncode == 0, err
    assert any(files for *_, files in moments), "no kill fell into the midst of a row: that is to be tested too"

    own = ("timings", "session", "warmup")  # the first answer of every process is a warm-up
    assert rows(killed, "answers.jsonl", without=own) == rows(whole, "answers.jsonl", without=own)
    for name in ("gold.jsonl", "corpora.jsonl", "scores.jsonl"):
        assert rows(killed, name) == rows(whole, name)
    assert torn(killed) == []
    assert all(len(sessions) > 2 for sessions in rows(killed, "sessions.jsonl").values())
    for run in killed.iterdir():
        assert json.loads((run / "summary.json").read_text(encoding="utf-8"))["complete"] is True
