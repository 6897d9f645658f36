"""`--engine ray`: the results of one process, whichever process is killed; without Ray, one line says what to do."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from cli_commands import CONSOLE, child_environment, rows

if TYPE_CHECKING:
    from cli_commands import Command

DRAWS, QUESTIONS = 8, 2
STUDY = f"""
name: draws
runs:
  - system: [closed-book, rag-sparse]
    dataset: [squad, hotpotqa, triviaqa]
    size: smoke
    model: mini
    top_k: 1
    draws: {DRAWS}
    questions: {QUESTIONS}
"""
OF_A_PROCESS = ("timings", "session", "warmup")

without_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed here")
with_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs rmtbench[ray]")


@without_ray
def test_without_ray_one_line_says_how_to_install_it(rmtbench: Command, sample_run: tuple[str, ...]) -> None:
    said = rmtbench(*sample_run, "--engine", "ray")
    assert said.code == 2
    assert said.err.splitlines() == ["error: --engine ray: Ray is not installed", "  pip install 'rmtbench[ray]'"]


def test_shares_of_a_cluster_need_one(rmtbench: Command, sample_run: tuple[str, ...], tmp_path: Path) -> None:
    said = rmtbench(*sample_run, "--set", "cpus=1")
    assert (said.code, said.err.splitlines()[0]) == (2, "error: --set cpus: means nothing without --engine ray")
    study = tmp_path / "study.yaml"
    study.write_text(STUDY)
    said = rmtbench("sweep", study, "--set", "gpus=1")
    assert (said.code, said.err.splitlines()[0]) == (2, "error: --set gpus: means nothing without --engine ray")


def test_an_entry_of_a_file_names_no_engine(rmtbench: Command, tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(STUDY + "    workers: 2\n")
    said = rmtbench("sweep", study)
    assert said.code == 2
    assert "'workers' is the whole command's" in said.err
    assert "rmtbench sweep: --workers" in said.err


Start = Callable[..., subprocess.Popen]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Start the sweep with more words, into a folder of that name."""
    study = tmp_path / "study.yaml"
    study.write_text(STUDY)

    def begin(folder: str, *words: str, **variables: str) -> subprocess.Popen:
        command = [*CONSOLE, "sweep", str(study), "--results", str(tmp_path / folder), *words]
        inherited = {name: value for name, value in child_environment(tmp_path).items() if name != "RAY_ADDRESS"}
        environment = {**inherited, "TMPDIR": str(tmp_path), **variables}
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return begin


def ended(process: subprocess.Popen) -> tuple[int, str]:
    out, err = process.communicate(timeout=900)
    assert out == ""
    assert "Traceback" not in err, err
    return process.returncode, err


def made(results: Path) -> dict[str, list[dict]]:
    """All rows of all runs, without what differs from process to process."""
    return {
        f"{path.parent.name}/{path.name}": [
            {name: value for name, value in row.items() if name not in OF_A_PROCESS} for row in rows(path)
        ]
        for path in sorted(results.glob("*/*.jsonl"))
        if path.stem in ("answers", "gold", "corpora", "scores")
    }


def answered(results: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in results.glob("*/answers.jsonl"))


def wait_for(answers: int, results: Path, process: subprocess.Popen) -> None:
    until = time.monotonic() + 600
    while answered(results) < answers:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.005)


RAY = ("--engine", "ray", "--workers", "2")
TOTAL = 2 * 3 * DRAWS * QUESTIONS


@pytest.mark.slow
@with_ray
def test_two_ray_workers_make_what_one_process_makes(start: Start, tmp_path: Path) -> None:
    for folder, words in (("plain", ()), ("workers", ("--workers", "2")), ("ray", RAY)):
        code, err = ended(start(folder, *words))
        assert code == 0, err
    assert answered(tmp_path / "plain") == TOTAL
    assert made(tmp_path / "workers") == made(tmp_path / "plain")
    assert made(tmp_path / "ray") == made(tmp_path / "plain")
    assert len(made(tmp_path / "ray")) == 4 * 6
    for sessions in (tmp_path / "ray").glob("*/sessions.jsonl"):
        for row in rows(sessions):
            engine = row["provenance"]["engine"]
            assert (engine["name"], engine["workers"]) == ("ray", 2)
            assert row["provenance"]["threads"] == max(1, int(engine["cpus"]))
    code, err = ended(start("ray", *RAY))
    assert code == 0
    assert err.count("finished already") == 6
    assert "workers: 2" not in err, "a finished study starts no cluster"


@pytest.mark.slow
@with_ray
@pytest.mark.parametrize("killed", ["worker", "command", "interrupted"])
def test_a_kill_in_the_middle_changes_no_answer(start: Start, tmp_path: Path, killed: str) -> None:
    assert ended(start("plain"))[0] == 0
    results = tmp_path / "ray"
    process = start("ray", *RAY)
    wait_for(TOTAL // 4, results, process)
    descendants = psutil.Process(process.pid).children(recursive=True)
    if killed == "worker":
        actors = [child for child in descendants if child.cmdline()[:1] and "ray::Actor" in child.cmdline()[0]]
        assert len(actors) == 2
        actors[0].kill()
        code, err = ended(process)
        assert code == 0, err
        assert err.count("a worker was lost") == 1
    else:
        process.send_signal(signal.SIGKILL if killed == "command" else signal.SIGINT)
        _, err = process.communicate(timeout=120)
        assert process.returncode == (-9 if killed == "command" else 130), err
        assert TOTAL // 4 <= answered(results) < TOTAL
        _, alive = psutil.wait_procs(descendants, timeout=60)
        assert alive == [], "nothing of the cluster outlives its command"
        code, err = ended(start("ray", *RAY))
        assert code == 0, err
    assert answered(results) == TOTAL
    assert made(results) == made(tmp_path / "plain")
    if killed != "command":
        assert list(tmp_path.glob("rmtbench-ray-*")) == []


@pytest.mark.slow
@with_ray
def test_a_cluster_that_cannot_be_reached_is_said_so(start: Start) -> None:
    code, err = ended(start("ray", *RAY, RAY_ADDRESS="127.0.0.1:1"))
    assert code == 2
    assert "RAY_ADDRESS=127.0.0.1:1: no Ray cluster here" in err
