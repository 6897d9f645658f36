"""Processes that share a command's draws: their parts, their ends, and what another number of them finds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rmtbench.core import Answer, Corpus, Document, Draw, Gold, Question, RunSpec, Source
from rmtbench.errors import UserError
from rmtbench.journal.find import find_runs
from rmtbench.journal.packed import pack
from rmtbench.journal.record import read_run
from rmtbench.journal.writer import RunWriter
from rmtbench.runs import workers
from rmtbench.runs.workers import PARTS, run_in_workers

SPEC = RunSpec(system="cag", dataset="squad", size="small", model="mini", data="own:x@ab", draws=2)


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


def work(results: Path, count: int = 2, *more: str) -> tuple[int, Sequence[str]]:
    said: list[str] = []
    return run_in_workers(["run", "--system", "cag", *more], count, results, said.append).code, said


def answer(results: Path, draw: int, *names: str, said: str = "blue", text: str = "It is blue.") -> None:
    """One process that answers some of the three questions of a draw, in a new run or in one that is there."""
    asked = tuple(Question(f"q{number}", "What colour?") for number in range(3))
    corpus = Corpus("c", "squad", "small", draw, (Document("d", "Sky", text),), asked, Source("own", "x", "ab"))
    with RunWriter(results, SPEC) as writer:
        writer.begin({"model": {"weights_sha256": "aa"}, "started": f"{results.name} {draw} {names}"})
        writer.add_draw(Draw(corpus, tuple(Gold(each.id, ("blue",)) for each in asked)), tokens=4)
        for name in names:
            writer.answer(Answer(name, said, "eos"), draw)


def texts(results: Path) -> dict[tuple[int, str], str]:
    [run] = find_runs(results)
    return {key: each.text for key, each in read_run(run).answers.items()}


def test_every_process_has_its_part(script: Path) -> None:
    code, said = work(script / "results")
    assert code == 0
    assert sorted(line[:6] for line in said) == ["[1/2] ", "[2/2] "]
    assert any("run --system cag --workers 1 --shard 2/2" in line for line in said)


def test_flags_of_a_part_stand_before_two_dashes(script: Path) -> None:
    _, said = work(script / "results", 2, "--", "plan.yaml")
    part = script / "results" / PARTS / "2-of-2"
    assert f"[2/2] -m rmtbench run --system cag --workers 1 --shard 2/2 --results {part} -- plan.yaml" in said


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


def test_no_part_of_a_failed_command_stays(script: Path) -> None:
    (script / "fail").touch()
    assert work(script / "results")[0] == 2
    assert not (script / "results" / PARTS).exists()


def test_parts_of_a_killed_command_are_taken_in_by_the_next(script: Path) -> None:
    """By one with another number of workers, too, and beside what a command without workers answered meanwhile."""
    results = script / "results"
    answer(results / PARTS / "1-of-3", 0, "q0", "q1", said="red")
    answer(results / PARTS / "2-of-3", 1, "q0")
    answer(results, 0, "q1", "q2")
    assert work(results)[0] == 0
    assert texts(results) == {(0, "q0"): "red", (0, "q1"): "blue", (0, "q2"): "blue", (1, "q0"): "blue"}
    assert not (results / PARTS).exists()


def test_parts_of_other_documents_are_refused_at_once(script: Path) -> None:
    results = script / "results"
    answer(results / PARTS / "1-of-2", 0, "q0", text="It is green.")
    answer(results, 0, "q0")
    with pytest.raises(UserError, match="draw 0 has other documents than in") as caught:
        work(results)
    assert caught.value.where == str(results / PARTS)
    assert "remove this folder" in caught.value.remedy


def test_answers_given_meanwhile_by_another_command_stay(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = script / "results"
    answer(results, 0, "q0")

    def other(*_: object, **__: object) -> list[int]:
        answer(results / PARTS / "1-of-2", 0, "q1")
        answer(results, 0, "q2")
        return [0, 0]

    monkeypatch.setattr(workers, "_work", other)
    assert work(results)[0] == 0
    assert set(texts(results)) == {(0, "q0"), (0, "q1"), (0, "q2")}


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


def test_a_process_interrupted_at_its_start_prints_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = subprocess.Popen

    def start_and_interrupt(*words: Any, **options: Any) -> Any:
        process = start(*words, **options)
        process.send_signal(signal.SIGINT)
        return process

    monkeypatch.setattr(subprocess, "Popen", start_and_interrupt)
    said: list[str] = []
    assert workers._work(["run", "--dataset", "handbook"], [tmp_path / "1-of-1"], said.append) == [130]
    assert said
    assert not [line for line in said if "Traceback" in line or "KeyboardInterrupt" in line]


def test_an_interrupted_command_merges_what_is_answered(tmp_path: Path) -> None:
    words = ("run", "--system", "closed-book", "--dataset", "handbook", "--model", "random:tiny", "--questions", "400",
             "--results", str(tmp_path), "--draws", "2", "--workers", "2")  # fmt: skip
    environ = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "rmtbench", *words]
    with subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL, start_new_session=True) as driver:
        while not list(tmp_path.glob(f"{PARTS}/*/*/answers.jsonl")):
            assert driver.poll() is None
            time.sleep(0.05)
        before = sum(path.read_bytes().count(b"\n") for path in tmp_path.glob(f"{PARTS}/*/*/answers.jsonl"))
        os.killpg(driver.pid, signal.SIGINT)
        assert driver.wait(timeout=120) == 130
    assert not list(tmp_path.glob(f"{PARTS}/*-of-*"))
    [merged] = tmp_path.glob("*/answers.jsonl")
    assert before <= merged.read_bytes().count(b"\n") < 800
