"""A folder of one's own on the command line: one data set by any name, what is not read of it, and no evidence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_commands import Command, journals

from rmtbench.cli import progress

TINY = ("--model", "random:tiny", "--max-answer-tokens", "4")


def lay(folder: Path, *evidence: str) -> Path:
    """A folder of two documents and two questions; the first question names the evidence."""
    (folder / "documents").mkdir(parents=True)
    (folder / "documents" / "ferry.md").write_text("The ferry is called Petrel. It sails at nine.", encoding="utf-8")
    (folder / "documents" / "mill.md").write_text("The mill grinds oats. It was built in 1642.", encoding="utf-8")
    rows = [
        {"question": "What is the ferry called?", "answers": "Petrel", "evidence": list(evidence)},
        {"question": "When was the mill built?", "answers": "1642"},
    ]
    lines = "".join(f"{json.dumps(row)}\n" for row in rows)
    (folder / "questions.jsonl").write_text(lines, encoding="utf-8")
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(folder: Path) -> list[str]:
    """Ways to name a folder that lies in the current one."""
    up = f"../{folder.parent.name}/{folder.name}"
    return [folder.name, f"{folder.name}/", f"./{folder.name}", str(folder), f"{folder}/", up]


def test_a_folder_by_another_name_is_the_same_run(rmtbench: Command, here: Path) -> None:
    made = []
    for name in names(lay(here / "ok")):
        said = rmtbench("run", "--system", "closed-book", "--dataset", name, *TINY, "--results", "r")
        assert said.code == 0, said.err
        made.append("finished already" in said.err)
    assert made == [False, True, True, True, True, True]
    [run] = Path("r").iterdir()
    assert json.loads((run / "spec.json").read_text())["spec"]["dataset"] == "ok"


def test_a_half_done_run_goes_on_by_another_name(rmtbench: Command, here: Path) -> None:
    words = ("run", "--system", "closed-book", *TINY, "--results", "r", "--dataset")
    assert rmtbench(*words, lay(here / "ok")).code == 0
    [run] = Path("r").iterdir()
    whole = journals(Path("r"))[run.name]
    (run / "answers.jsonl").write_text(f"{json.dumps(whole[0])}\n", encoding="utf-8")
    (run / "summary.json").unlink()
    assert rmtbench(*words, "./ok").code == 0
    again = journals(Path("r"))[run.name]
    assert again[0] == whole[0], "the first answer is kept"
    assert [row["question_id"] for row in again] == [row["question_id"] for row in whole]


def test_a_folder_called_like_a_data_set_is_not_that(rmtbench: Command, here: Path) -> None:
    lay(here / "squad")
    for name in ("./squad", str(here / "squad")):
        assert rmtbench("run", "--system", "closed-book", "--dataset", name, *TINY, "--results", "r").code == 0
    [run] = Path("r").iterdir()
    assert json.loads((run / "spec.json").read_text())["spec"]["dataset"] == "./squad"


def test_what_is_not_read_is_said_once_before_answers(rmtbench: Command, here: Path) -> None:
    (lay(here / "ok") / "documents" / "notes.log").write_text("a log", encoding="utf-8")
    words = ("--system", "closed-book,full-context", "--dataset", "ok", *TINY, "--results", "r")
    said = rmtbench("run", *words)
    [remark] = [line for line in said.err.splitlines() if "not read" in line]
    assert remark.startswith("ok/documents: not read: 1 .log (notes.log)")
    assert said.err.index(remark) < said.err.index("closed-book")
    assert "not read" not in rmtbench("run", *words).err, "nothing is answered"


def test_a_sweep_says_once_what_is_not_read(rmtbench: Command, here: Path) -> None:
    (lay(here / "ok") / "documents" / "notes.log").write_text("a log", encoding="utf-8")
    run = "{system: [%s], dataset: ok, model: 'random:tiny', max_answer_tokens: 4}"
    Path("s.yaml").write_text(f"runs: [{run % 'closed-book'}, {run % 'full-context'}]", encoding="utf-8")
    said = rmtbench("sweep", "s.yaml", "--results", "r")
    assert said.code == 0, said.err
    assert said.err.count("not read") == 1


@pytest.mark.parametrize("systems", ["oracle", "closed-book,oracle"])
def test_an_oracle_without_any_evidence_is_refused(rmtbench: Command, here: Path, systems: str) -> None:
    lay(here / "ok")
    said = rmtbench("run", "--system", systems, "--dataset", "ok", "--model", "./no-such-model", "--results", "r")
    assert said.code == 2
    assert "--system oracle: no question has evidence, and the oracle reads nothing else" in said.err
    assert "name the documents that answer a question under 'evidence'" in said.err
    assert not list(here.glob("r/*"))


def test_an_oracle_with_some_evidence_runs(rmtbench: Command, here: Path) -> None:
    lay(here / "ok", "ferry.md")
    said = rmtbench("run", "--system", "oracle", "--dataset", "ok", *TINY, "--results", "r")
    assert said.code == 0, said.err
    [rows] = journals(Path("r")).values()
    assert len(rows) == 2


def test_all_leaves_out_an_oracle_without_evidence(rmtbench: Command, here: Path) -> None:
    lay(here / "ok")
    said = rmtbench("run", "--system", "all", "--dataset", "ok", *TINY, "--results", "r", "--embedder", "minilm")
    assert "oracle skipped: no question has evidence" in said.err
    assert said.code == 0, said.err
    made = journals(Path("r"))
    assert made
    assert not any(name.startswith("oracle") for name in made)


def test_paths_in_any_script_are_read_and_written(rmtbench: Command, here: Path) -> None:
    folder = lay(here / "данные" / "書 類", "ferry.md")
    (folder / "documents" / "渡し 船.md").write_text("渡し船は九時に出る。", encoding="utf-8")
    results = here / "результаты 2"
    words = ("run", "--system", "full-context", "--dataset", folder, *TINY, "--results", results)
    assert rmtbench(*words).code == 0
    assert "finished already" in rmtbench(*words).err
    assert rmtbench("report", results, "--quick").code == 0
    [run] = journals(results)
    assert run.startswith("full-context-")


def test_a_folder_of_a_very_long_name_can_be_run(rmtbench: Command, here: Path) -> None:
    folder = lay(here / ("long-" * 50), "ferry.md")
    said = rmtbench("run", "--system", "closed-book", "--dataset", folder, *TINY, "--results", "r")
    assert said.code == 0, said.err
    assert [len(rows) for rows in journals(Path("r")).values()] == [2]


@pytest.mark.parametrize("command", ["check", "run", "plan"])
def test_much_text_is_said_to_be_counted(
    rmtbench: Command, here: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(progress, "LONG_TEXT", 1_000_000)
    folder = lay(here / "ok", "ferry.md")
    (folder / "documents" / "long.txt").write_text("The ferry sails. " * 70_000, encoding="utf-8")
    run = ("run", "--system", "closed-book", "--dataset", "ok", *TINY, "--results", "r")
    words = {"check": ("data", "check", "ok", "--model", "random:tiny"), "run": run, "plan": (*run, "--dry-run")}
    said = rmtbench(*words[command])
    assert said.code == 0, said.err
    assert "counting tokens of 3 documents (1 million characters)" in said.err
