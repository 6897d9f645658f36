"""`--engine ray`: the results of one process, whichever process is killed; without Ray, one line says what to do."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the study, its cache and all results."""
    made = tmp_path_factory.mktemp("ray")
    (made / "study.yaml").write_text(STUDY)
    return made


@pytest.fixture(scope="module")
def temporary() -> Iterator[Path]:
    """The folder of temporary files, with a name so short that Ray's sockets have room in it."""
    with tempfile.TemporaryDirectory(prefix="r") as made:
        yield Path(made)


@pytest.fixture(scope="module")
def start(folder: Path, temporary: Path) -> Start:
    """Start the sweep with more words, into a results folder of that name."""

    def begin(results: str, *words: str, **variables: str) -> subprocess.Popen:
        command = [*CONSOLE, "sweep", str(folder / "study.yaml"), "--results", str(folder / results), *words]
        inherited = {name: value for name, value in child_environment(folder).items() if name != "RAY_ADDRESS"}
        environment = {**inherited, "TMPDIR": str(temporary), **variables}
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return begin


@pytest.fixture(scope="module")
def plain(start: Start, folder: Path) -> Path:
    """What one process makes of the study."""
    code, err = ended(start("plain"))
    assert code == 0, err
    return folder / "plain"


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


def descendants(process: subprocess.Popen, *names: str) -> list[psutil.Process]:
    """The processes below one whose program has one of the names."""
    below = psutil.Process(process.pid).children(recursive=True)
    return [child for child in below if any(name in "".join(child.cmdline()[:1]) for name in names)]


RAY = ("--engine", "ray", "--workers", "2")


@pytest.mark.slow
@with_ray
def test_two_ray_workers_make_what_one_process_makes(start: Start, folder: Path, plain: Path) -> None:
    for results, words in (("workers", ("--workers", "2")), ("ray", RAY)):
        code, err = ended(start(results, *words))
        assert code == 0, err
    assert made(folder / "workers") == made(plain)
    assert made(folder / "ray") == made(plain)
    assert len(made(plain)) == 4 * 6
    assert answered(plain) > 3 * DRAWS
    for sessions in (folder / "ray").glob("*/sessions.jsonl"):
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
def test_the_draw_of_a_killed_worker_goes_to_another(start: Start, folder: Path, plain: Path) -> None:
    process = start("lost", *RAY)
    wait_for(answered(plain) // 4, folder / "lost", process)
    actors = descendants(process, "ray::Actor")
    assert len(actors) == 2
    actors[0].kill()
    code, err = ended(process)
    assert code == 0, err
    assert err.count("a worker was lost") == 1
    assert made(folder / "lost") == made(plain)


@pytest.mark.slow
@with_ray
@pytest.mark.parametrize(("sign", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_stopped_command_resumes(
    start: Start, folder: Path, temporary: Path, plain: Path, sign: signal.Signals, code: int
) -> None:
    results = folder / sign.name
    process = start(sign.name, *RAY)
    wait_for(answered(plain) // 4, results, process)
    before, cluster = set(temporary.iterdir()), descendants(process, "ray::Actor", "raylet", "gcs_server")
    assert len(cluster) >= 4
    process.send_signal(sign)
    _, err = process.communicate(timeout=300)
    assert process.returncode == code, err
    assert "Traceback" not in err
    assert answered(plain) // 4 <= answered(results) < answered(plain)
    _, alive = psutil.wait_procs(cluster, timeout=60)
    assert alive == [], "no cluster outlives its command"
    if sign == signal.SIGINT:
        assert "interrupted: every answer so far is kept; the same command resumes" in err
        assert len(before - set(temporary.iterdir())) == 1, "its folder is removed"
    code, err = ended(start(sign.name, *RAY))
    assert code == 0, err
    assert made(results) == made(plain)


@pytest.mark.slow
@with_ray
def test_a_cluster_that_cannot_be_reached_is_said_so(start: Start) -> None:
    code, err = ended(start("unreached", *RAY, RAY_ADDRESS="127.0.0.1:1"))
    assert code == 2
    assert "RAY_ADDRESS=127.0.0.1:1: no Ray cluster here" in err
