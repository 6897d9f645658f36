"""Processes that share a command's draws: their parts, their ends, and what another number of them finds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from rmtbench.errors import UserError
from rmtbench.journal.packed import pack
from rmtbench.runs import workers
from rmtbench.runs.workers import PARTS, run_in_workers


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Take the place of Python: says its words, and dies once by a signal where a file asks for it."""
    path = tmp_path / "python"
    path.write_text(
        "#!/bin/sh\n"
        'echo "$@" >&2\n'
        f'case "$*" in *2/2*) if [ -e {tmp_path}/kill ]; then rm {tmp_path}/kill; kill -9 $$; fi;; esac\n'
        f'case "$*" in *1/2*) [ -e {tmp_path}/wrong ] && exit 1;; esac\n'
        f"[ -e {tmp_path}/fail ] && exit 2\n"
        "exit 0\n"
    )
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path))
    return tmp_path


def work(results: Path, count: int = 2) -> tuple[int, Sequence[str]]:
    said: list[str] = []
    return run_in_workers(["run", "--system", "cag"], count, results, said.append).code, said


def answered(journals: Iterable[Path]) -> list[list[tuple[int, str, str]]]:
    """Draw, question and answer of each row of each journal."""
    rows = [[json.loads(line) for line in path.read_bytes().splitlines()] for path in journals]
    return [sorted((row["draw"], row["question_id"], row["text"]) for row in part) for part in rows]


def test_every_process_has_its_part(script: Path) -> None:
    code, said = work(script / "results")
    assert code == 0
    assert sorted(line[:6] for line in said) == ["[1/2] ", "[2/2] "]
    assert any("run --system cag --workers 1 --shard 2/2" in line for line in said)


def test_a_killed_process_is_started_once_more(script: Path) -> None:
    (script / "kill").touch()
    code, said = work(script / "results")
    assert code == 0
    assert "1 of 2 processes killed; started once more" in said
    assert sum("--shard 2/2" in line for line in said) == 2
    assert sum("--shard 1/2" in line for line in said) == 1


def test_failed_answers_of_one_part_stop_no_other_part(script: Path) -> None:
    (script / "kill").touch()
    (script / "wrong").touch()
    code, said = work(script / "results")
    assert code == 1
    assert sum("--shard 2/2" in line for line in said) == 2


def test_runs_that_no_process_changed_are_not_touched(script: Path) -> None:
    results = script / "results"
    for name in ("open-run", "packed-run"):
        (results / name).mkdir(parents=True)
        (results / name / "spec.json").write_text(json.dumps({"of": "another version"}))
        (results / name / "scores.jsonl").write_text("scores of another scorer")
    pack(results / "packed-run")
    assert work(results)[0] == 0
    assert sorted(path.name for path in results.iterdir() if path.name[0] != ".") == ["open-run", "packed-run.zip"]
    assert (results / "open-run" / "scores.jsonl").read_text() == "scores of another scorer"


def test_parts_of_a_failed_command_are_kept(script: Path) -> None:
    (script / "fail").touch()
    assert work(script / "results")[0] == 2
    assert sorted(path.name for path in (script / "results" / PARTS).glob("*-of-2")) == ["1-of-2", "2-of-2"]


def test_another_number_of_workers_is_refused_meanwhile(script: Path) -> None:
    (script / "fail").touch()
    work(script / "results")
    with pytest.raises(UserError, match="parts of 2 workers lie here"):
        work(script / "results", 3)


def test_a_new_part_knows_what_the_results_have(tmp_path: Path) -> None:
    run = tmp_path / "results" / "a-run"
    run.mkdir(parents=True)
    (run / "spec.json").write_text("{}")
    (run / ".lock").touch()
    part = tmp_path / "results" / PARTS / "1-of-2"
    part.parent.mkdir()
    workers._begin_with(tmp_path / "results", part)
    assert [path.name for path in part.rglob("*")] == ["a-run", "spec.json"]


def test_processes_end_with_the_command_that_started_them(tmp_path: Path) -> None:
    words = ("run", "--system", "closed-book", "--dataset", "handbook", "--model", "random:tiny", "--questions", "400",
             "--results", str(tmp_path), "--draws", "2", "--workers", "2")  # fmt: skip
    environ = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "rmtbench", *words]
    with subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL) as driver:
        while not list(tmp_path.glob(f"{PARTS}/*/*/answers.jsonl")):
            assert driver.poll() is None
            time.sleep(0.05)
        children = Path(f"/proc/{driver.pid}/task/{driver.pid}/children").read_text().split()
        assert len(children) == 2
        driver.kill()
    until = time.monotonic() + 60
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{child}").exists() for child in children)
    assert sum(path.read_bytes().count(b"\n") for path in tmp_path.glob(f"{PARTS}/*/*/answers.jsonl")) < 800


def test_an_interrupted_command_merges_what_is_answered(tmp_path: Path) -> None:
    words = ("run", "--system", "closed-book", "--dataset", "handbook", "--model", "random:tiny", "--questions", "400",
             "--results", str(tmp_path), "--draws", "2", "--workers", "2")  # fmt: skip
    environ = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "rmtbench", *words]
    with subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL, start_new_session=True) as driver:
        while not list(tmp_path.glob(f"{PARTS}/*/*/answers.jsonl")):
            assert driver.poll() is None
            time.sleep(0.05)
        os.killpg(driver.pid, signal.SIGINT)
        assert driver.wait(timeout=120) == 130
    answers = [path for path in tmp_path.rglob("answers.jsonl") if PARTS not in path.parts]
    [merged], in_parts = map(answered, (answers, tmp_path.glob(f"{PARTS}/*/*/answers.jsonl")))
    assert merged == sorted(row for part in in_parts for row in part)
    assert 0 < len(merged) < 800
