"""What a sweep says of the whole: what a plan will take, how far it is, and what failed without ending it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from cli_commands import Command, journals

if TYPE_CHECKING:
    import pytest

ENTRY = {"system": "closed-book", "dataset": "sample", "model": "random:tiny", "questions": 2, "max_answer_tokens": 4}


def words(tmp_path: Path, *entries: dict) -> tuple[object, ...]:
    path = tmp_path / "plan.yaml"
    path.write_text("runs:\n" + "".join(f"  - {json.dumps(ENTRY | entry)}\n" for entry in entries))
    return ("sweep", path, "--results", tmp_path / "results")


def test_a_plan_counts_runs_questions_and_tokens_and_knows_times_only_of_what_was_run(
    rmtbench: Command, tmp_path: Path
) -> None:
    asked = words(tmp_path, {"draws": 3}, {"system": "full-context", "size": "smoke"})
    before = rmtbench(*asked, "--dry-run")
    assert before.code == 0
    runs, counts, time, disk = before.err.splitlines()[-4:]
    assert runs == "in all 2 runs, 0 of them finished already"
    assert counts.startswith("8 questions; about ")
    assert time.startswith("time: unknown for 2 runs (closed-book, full-context): no finished run of theirs in ")
    assert disk == "disk: about 0.1 MB of answers"
    assert rmtbench(*words(tmp_path, {"draws": 3})).code == 0
    words(tmp_path, {"draws": 3}, {"system": "full-context", "size": "smoke"})
    after = rmtbench(*asked, "--dry-run").err.splitlines()
    assert after[-4] == "in all 2 runs, 1 of them finished already"
    assert after[-3].startswith("2 questions; ")
    assert "time: unknown for 1 runs (full-context)" in after[-2]
    again = rmtbench(*asked, "--dry-run", "--fresh").err.splitlines()[-2]
    assert "for 1 runs, as finished ones here took; unknown for 1 runs (full-context)" in again


def test_a_plan_refuses_documents_without_questions_as_the_run_would(rmtbench: Command, tmp_path: Path) -> None:
    folder = tmp_path / "silent"
    (folder / "documents").mkdir(parents=True)
    (folder / "documents" / "one.md").write_text("Arden lies on the Oss.")
    (folder / "questions.jsonl").write_text("")
    said = rmtbench(*words(tmp_path, {"dataset": str(folder)}), "--dry-run")
    assert said.code == 2
    assert "no questions" in said.err


def test_a_profile_in_the_command_takes_the_place_of_the_file_s(rmtbench: Command, tmp_path: Path) -> None:
    said = rmtbench(*words(tmp_path, {}), "--dry-run", "--profile", "nowhere")
    assert (said.code, said.err.splitlines()[0]) == (2, "error: --profile: no profile 'nowhere'")
    assert rmtbench(*words(tmp_path, {}), "--dry-run", "--profile", "paper").code == 0


def test_a_defect_in_one_request_ends_no_other_and_is_listed_with_code_1(
    rmtbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rmtbench.systems.registry import find_system

    def broken(name: str) -> object:
        if name == "oracle":
            raise RuntimeError("out of memory")
        return find_system(name)

    monkeypatch.setattr("rmtbench.runs.loop.find_system", broken)
    said = rmtbench(*words(tmp_path, {"system": "oracle"}, {}))
    assert said.code == 1
    assert "[1/2] ended; " in said.err
    assert "[2/2] ended; " in said.err
    assert len([rows for rows in journals(tmp_path / "results").values() if rows]) == 1
    assert "RuntimeError: out of memory" in said.err.splitlines()[-2]
