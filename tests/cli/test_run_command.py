"""`rmtbench run` says how it went by its exit code, and the same command goes on where the last one ended."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cli_commands import CONSOLE, Command, child_environment, journals, of_systems, told

LINE = "interrupted: every answer so far is kept; the same command resumes\n"


def test_a_good_run_exits_with_0_and_keeps_every_answer(
    rmtbench: Command, sample_run: tuple[str, ...], tmp_path: Path
) -> None:
    said = rmtbench(*sample_run)
    assert said.code == 0
    assert said.err.endswith(f"next: rmtbench report {tmp_path / 'results'}\n")
    [(run, answers)] = journals(tmp_path / "results").items()
    assert run.startswith("closed-book-handbook-4k-random-tiny-")
    assert len(answers) == 2
    assert all(len(answer["output_ids"]) == 4 and answer["error"] is None for answer in answers)
    assert (tmp_path / "results" / run / "summary.json").is_file()


def test_random_weights_are_told_before_anything_is_answered(rmtbench: Command, sample_run: tuple[str, ...]) -> None:
    lines = rmtbench(*sample_run).err.splitlines()
    assert lines[0] == "1 run x 2 questions; handbook 4k (embedded: handbook); random:tiny in float32 on cpu"
    assert lines[1] == "random:tiny has random weights: its answers are meaningless, its timings are real"


def test_the_same_command_again_measures_nothing_and_says_so(
    rmtbench: Command, sample_run: tuple[str, ...], tmp_path: Path
) -> None:
    rmtbench(*sample_run)
    before = {path: path.read_bytes() for path in (tmp_path / "results").rglob("*.json*")}
    said = rmtbench(*sample_run)
    [run] = journals(tmp_path / "results")
    assert (said.code, said.out) == (0, "")
    assert said.err.splitlines()[0] == f"{run}: finished already; --fresh begins anew"
    assert {path: path.read_bytes() for path in (tmp_path / "results").rglob("*.json*")} == before


def test_fresh_begins_anew(rmtbench: Command, sample_run: tuple[str, ...], tmp_path: Path) -> None:
    rmtbench(*sample_run)
    [journal] = (tmp_path / "results").glob("*/answers.jsonl")
    kept = told(tmp_path / "results")
    journal.write_text("")
    journal.with_name("stale").write_text("of an earlier attempt")
    assert rmtbench(*sample_run, "--fresh").code == 0
    assert told(tmp_path / "results") == kept
    assert not journal.with_name("stale").exists()


def test_every_top_k_is_a_run_and_other_systems_have_one(
    rmtbench: Command, sample_run: tuple[str, ...], tmp_path: Path
) -> None:
    said = rmtbench(*of_systems(sample_run, "closed-book, rag-sparse"), "--top-k", "2,1,2")
    assert said.code == 0
    names = [name.partition("-handbook")[0] for name in journals(tmp_path / "results")]
    assert names == ["closed-book", "rag-sparse-top1", "rag-sparse-top2"]


def test_a_flag_of_several_values_may_be_given_again(rmtbench: Command, sample_run: tuple[str, ...]) -> None:
    said = rmtbench(*sample_run, "--system", "rag-sparse", "--top-k", "3", "--top-k", "1", "--dry-run")
    assert said.code == 0, said.err
    systems = ["closed-book", "rag-sparse-top1", "rag-sparse-top3"]
    assert [line.partition("-handbook")[0] for line in said.out.splitlines()] == systems


def test_failed_answers_exit_with_1_every_time(
    rmtbench: Command, sample_run: tuple[str, ...], model_of_context: Callable[[int], Path], tmp_path: Path
) -> None:
    words = (*of_systems(sample_run, "oracle"), "--model", model_of_context(200), "--questions", "24")
    said = rmtbench(*words)
    [answers] = journals(tmp_path / "results").values()
    failed = [answer for answer in answers if answer["error"] is not None]
    assert len(answers) == 24
    assert 0 < len(failed) < 24
    assert all("exceed the model's context of 200" in answer["error"] for answer in failed)
    line = f"{len(failed)} of 24 answers failed; they are kept with their reasons and count as wrong\n"
    assert said.code == 1
    assert line in said.err
    again = rmtbench(*words)
    assert again.code == 1
    assert "finished already" in again.err
    assert line in again.err


def test_ctrl_c_keeps_answers_and_same_command_completes(
    rmtbench: Command, sample_run: tuple[str, ...], tmp_path: Path
) -> None:
    words = [*sample_run, "--questions", "8", "--max-answer-tokens", "64"]
    child = subprocess.Popen(
        [*CONSOLE, *words], stderr=subprocess.PIPE, text=True, env=child_environment(tmp_path), start_new_session=True
    )
    until = time.monotonic() + 60
    while not any(len(answers) >= 2 for answers in journals(tmp_path / "results").values()):
        assert child.poll() is None, "it ended before it could be interrupted"
        assert time.monotonic() < until
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert err.endswith(LINE)
    assert "Traceback" not in err
    [answered] = told(tmp_path / "results").values()
    assert 2 <= len(answered) < 8
    assert rmtbench(*words).code == 0
    [resumed] = told(tmp_path / "results").values()
    assert resumed[: len(answered)] == answered
    assert len(resumed) == 8
    whole = ["--results", tmp_path / "whole"]
    assert rmtbench(*words, *whole).code == 0
    assert list(told(tmp_path / "whole").values()) == [resumed]


def test_ctrl_c_while_libraries_are_still_loading_says_the_same(sample_run: tuple[str, ...], tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "class AtTorch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'torch': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, AtTorch())\n"
        "from rmtbench.cli.main import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", script, *sample_run]
    ended = subprocess.run(command, capture_output=True, text=True, env=child_environment(tmp_path), check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", LINE)
    assert not (tmp_path / "results").exists()


def test_a_request_to_terminate_is_an_interruption_too(sample_run: tuple[str, ...], tmp_path: Path) -> None:
    script = "import os, signal\nfrom rmtbench.cli import main, run\n"
    script += "run.run = lambda: os.kill(os.getpid(), signal.SIGTERM)\n"
    script += "main.main()\n"
    command = [sys.executable, "-c", script, "run", "--"]
    ended = subprocess.run(command, capture_output=True, text=True, env=child_environment(tmp_path), check=False)
    assert (ended.returncode, ended.stderr) == (130, LINE)


def test_a_reader_that_has_had_enough_ends_the_command_quietly(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        command = [*CONSOLE, "systems"]
        ended = subprocess.run(
            command, stdout=closed, stderr=subprocess.PIPE, env=child_environment(tmp_path), check=False
        )
    assert (ended.returncode, ended.stderr) == (141, b"")
