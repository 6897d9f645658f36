"""`rmtbench sweep` does what as many `rmtbench run` would, and no request that fails stops the others."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_commands import CONSOLE, Command, child_environment, journals, told

ENTRY = {"system": "closed-book", "dataset": "handbook", "model": "random:tiny", "questions": 2, "max_answer_tokens": 4}
RUN = ("run", *(word for name, value in ENTRY.items() for word in (f"--{name.replace('_', '-')}", value)))
Words = Callable[..., tuple[object, ...]]


@pytest.fixture
def sweep(tmp_path: Path) -> Words:
    """Make the words of a sweep whose entries, from the third line on, are small runs with other options."""

    def words(*entries: dict[str, Any]) -> tuple[object, ...]:
        path = tmp_path / "mine.yaml"
        rows = [f"  - {json.dumps(ENTRY | entry)}\n" for entry in entries]
        path.write_text("description: small\nruns:\n" + "".join(rows))
        return ("sweep", path, "--results", tmp_path / "results")

    return words


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_sweep_equals_single_runs_and_says_next_once(rmtbench: Command, sweep: Words, tmp_path: Path) -> None:
    said = rmtbench(*sweep({"size": ["all", "smoke"]}))
    assert (said.code, said.out) == (0, "")
    assert said.err.count("next: ") == 1
    assert said.err.endswith(f"next: rmtbench report {tmp_path / 'results'}\n")
    for size in ("all", "smoke"):
        assert rmtbench(*RUN, "--size", size, "--results", tmp_path / "single").code == 0
    assert told(tmp_path / "results") == told(tmp_path / "single")
    assert len(list((tmp_path / "results").glob("*/summary.json"))) == 2


def test_the_plan_is_told_first_and_each_request_as_it_begins(rmtbench: Command, sweep: Words) -> None:
    lines = rmtbench(*sweep({}, {"seed": 1, "draws": 2})).err.splitlines()
    first = "line 3  closed-book  handbook 4k  random:tiny  1 draw  at most 2 questions each"
    second = "line 4  closed-book  handbook 4k  random:tiny  2 draws  at most 2 questions each"
    assert lines[:5] == ["mine: small", "2 requests", f"  {first}", f"  {second}", f"[1/2] {first}"]
    assert f"[2/2] {second}" in lines[5:]


def test_a_file_that_cannot_be_read_stops_its_request_alone(rmtbench: Command, sweep: Words, tmp_path: Path) -> None:
    words = sweep({}, {"seed": 1})
    assert rmtbench(*words).code == 0
    gold = min((tmp_path / "results").glob("*/gold.jsonl"))
    gold.unlink()
    gold.mkdir()
    said = rmtbench(*words)
    assert said.code == 2
    assert "Traceback" not in said.err
    assert "cannot be done: " in said.err
    assert str(gold) in said.err
    assert said.err.count("1 of 2 requests cannot be done") == 1


def test_a_dry_run_prints_every_run_and_leaves_nothing(rmtbench: Command, sweep: Words, tmp_path: Path) -> None:
    words = sweep({"size": "smoke", "system": ["rag-sparse", "closed-book"], "top_k": [1, 2]})
    said = rmtbench(*words, "--dry-run")
    assert said.code == 0
    assert not (tmp_path / "results").exists()
    assert "next: " not in said.err
    assert "  line 3  rag-sparse,closed-book  handbook smoke  random:tiny  1 draw  " in said.err
    rest = "handbook smoke  random:tiny  1 draw  at most 2 questions each  time not known"
    ids, asked = zip(*(line.split("  ", 1) for line in said.out.splitlines()), strict=True)
    assert asked == (f"rag-sparse top-1  {rest}", f"rag-sparse top-2  {rest}", f"closed-book  {rest}")
    assert rmtbench(*words).code == 0
    assert set(journals(tmp_path / "results")) == set(ids)


def test_a_mistake_anywhere_in_the_file_is_told_before_first_run(
    rmtbench: Command, sweep: Words, tmp_path: Path
) -> None:
    said = rmtbench(*sweep({}, {"sead": 1}))
    assert said.code == 2
    what, remedy = said.err.splitlines()
    assert what == f"error: {tmp_path / 'mine.yaml'}, line 4: no option 'sead'"
    assert remedy.startswith("  did you mean 'seed'? Known: adapter, answer_style")
    assert not (tmp_path / "results").exists()


def test_impossible_request_stops_no_other(rmtbench: Command, sweep: Words, tmp_path: Path) -> None:
    said = rmtbench(*sweep({"size": ["large", "all"]}, {"dataset": "./nowhere"}, {"seed": 1}))
    assert said.code == 2
    assert len(journals(tmp_path / "results")) == 2
    assert "[3/4] line 4 cannot be done: dataset ./nowhere: no such folder" in said.err.splitlines()
    count, first, do_first, second, do_second = said.err.splitlines()[-5:]
    file = tmp_path / "mine.yaml"
    assert count == "2 of 4 requests cannot be done; once mended, the same command does what is left:"
    assert first.startswith(f"error: {file}, line 3, handbook large, random:tiny: handbook: size 'large' needs 85")
    assert do_first == "  use more data, or size all or smoke"
    place = f"{file}, line 4, ./nowhere all, random:tiny"
    assert second == f"error: {place}: dataset ./nowhere: no such folder"
    assert do_second == "  give a folder that holds documents/"


def test_a_dry_run_lists_what_cannot_be_done_too(rmtbench: Command, sweep: Words, tmp_path: Path) -> None:
    said = rmtbench(*sweep({"dataset": ["squad", "handbook"]}), "--dry-run", "--data-dir", tmp_path / "nowhere")
    assert said.code == 2
    assert said.out.startswith("closed-book-handbook-4k-")
    assert "nowhere: no such file or folder\n  check --data-dir or RMTBENCH_DATA\n" in said.err


def test_failed_answers_exit_with_1_unless_request_fails(
    rmtbench: Command, sweep: Words, model_of_context: Callable[[int], Path]
) -> None:
    failing = {"system": "oracle", "model": str(model_of_context(110))}
    assert rmtbench(*sweep(failing)).code == 1
    assert rmtbench(*sweep(failing, {})).code == 1
    assert rmtbench(*sweep(failing | {"size": ["all", "large"]})).code == 2


def test_finished_runs_are_left_alone_unless_fresh_is_asked(rmtbench: Command, sweep: Words, tmp_path: Path) -> None:
    words = sweep({})
    assert rmtbench(*words).code == 0
    before, answers = contents(tmp_path / "results"), told(tmp_path / "results")
    said = rmtbench(*words)
    assert said.code == 0
    assert "finished already; --fresh begins anew" in said.err
    assert contents(tmp_path / "results") == before
    [journal] = (tmp_path / "results").glob("*/answers.jsonl")
    journal.write_text("")
    assert rmtbench(*words, "--fresh").code == 0
    assert told(tmp_path / "results") == answers


def test_ctrl_c_ends_all_at_once_and_same_command_completes_it(rmtbench: Command, sweep: Words, tmp_path: Path) -> None:
    long = {"questions": 8, "max_answer_tokens": 64}
    words = [str(word) for word in sweep(long, long | {"seed": 1})]
    child = subprocess.Popen([*CONSOLE, *words], stderr=subprocess.PIPE, text=True, env=child_environment(tmp_path))
    until = time.monotonic() + 60
    while not any(len(answers) >= 2 for answers in journals(tmp_path / "results").values()):
        assert child.poll() is None, "it ended before it could be interrupted"
        assert time.monotonic() < until
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert err.endswith("interrupted: every answer so far is kept; the same command resumes\n")
    assert "[2/2]" not in err
    [answered] = told(tmp_path / "results").values()
    assert 2 <= len(answered) < 8
    assert rmtbench(*words).code == 0
    resumed = told(tmp_path / "results")
    assert [len(answers) for answers in resumed.values()] == [8, 8]
    assert answered in [answers[: len(answered)] for answers in resumed.values()]
