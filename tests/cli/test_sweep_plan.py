"""What a sweep says of the whole: what a plan will take, how far it is, and what failed without ending it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_commands import Command, journals

ENTRY = {"system": "closed-book", "dataset": "handbook", "model": "random:tiny", "questions": 2, "max_answer_tokens": 4}


def words(tmp_path: Path, *entries: dict) -> tuple[object, ...]:
    path = tmp_path / "plan.yaml"
    path.write_text("runs:\n" + "".join(f"  - {json.dumps(ENTRY | entry)}\n" for entry in entries))
    return ("sweep", path, "--results", tmp_path / "results")


def test_plan_counts_all_and_times_only_known_runs(rmtbench: Command, tmp_path: Path) -> None:
    asked = words(tmp_path, {"draws": 3}, {"system": "full-context", "size": "smoke"})
    before = rmtbench(*asked, "--dry-run")
    assert before.code == 0
    runs, counts, time, disk = before.err.splitlines()[-4:]
    assert runs == "in all 2 runs, 0 of them finished already"
    assert counts.startswith("8 questions; about ")
    assert [line.rpartition("  ")[2] for line in before.out.splitlines()] == ["time not known"] * 2
    told = "time: unknown for 2 runs (closed-book, full-context): no finished run of theirs from this machine in "
    assert time == f"{told}{tmp_path / 'results'}"
    assert disk == "disk: about 0.1 MB of answers"
    assert rmtbench(*words(tmp_path, {"draws": 3})).code == 0
    words(tmp_path, {"draws": 3}, {"system": "full-context", "size": "smoke"})
    planned = rmtbench(*asked, "--dry-run")
    assert [line.rpartition("  ")[2] for line in planned.out.splitlines()] == ["finished", "time not known"]
    after = planned.err.splitlines()
    assert after[-4] == "in all 2 runs, 1 of them finished already"
    assert after[-3].startswith("2 questions; ")
    assert "time: unknown for 1 run (full-context)" in after[-2]
    again = rmtbench(*asked, "--dry-run", "--fresh").err.splitlines()[-2]
    assert "for 1 run, as finished ones here took; unknown for 1 run (full-context)" in again


def test_run_of_another_machine_predicts_no_time(rmtbench: Command, tmp_path: Path) -> None:
    assert rmtbench(*words(tmp_path, {})).code == 0
    [head] = (tmp_path / "results").glob("*/spec.json")
    elsewhere = json.loads(head.read_text())
    elsewhere["provenance"]["machine"]["cores"] += 1
    head.write_text(json.dumps(elsewhere))
    time = rmtbench(*words(tmp_path, {}, {"seed": 1}), "--dry-run").err.splitlines()[-2]
    told = "time: unknown for 1 run (closed-book): no finished run of theirs from this machine in "
    assert time == f"{told}{tmp_path / 'results'}"


def test_a_hub_model_that_is_not_here_is_needed_first(rmtbench: Command, tmp_path: Path) -> None:
    said = rmtbench(*words(tmp_path, {"model": "nobody/nothing"}), "--dry-run")
    assert said.code == 0, said.err
    assert said.out.splitlines()[0].endswith("  time not known")
    runs, why, counts, time, disk, what, remedy, place = said.err.splitlines()[-8:]
    assert runs == "in all 1 run, 0 of them finished already"
    assert why.startswith("questions and tokens cannot be counted: model: model 'nobody/nothing' cannot be loaded")
    assert counts == "questions and tokens to read: unknown"
    assert time == "time: unknown for 1 run (closed-book): their tokens cannot be counted"
    assert disk == "disk: unknown"
    assert what.startswith("needed first: model: model 'nobody/nothing' cannot be loaded")
    assert "a hub id needs the network" in remedy
    assert place.endswith("plan.yaml, line 2: handbook 4k, nobody/nothing")


def test_a_missing_folder_is_refused_whatever_the_tokenizer(rmtbench: Command, tmp_path: Path) -> None:
    for entry, told in (
        ({"tokenizer": "./nothing"}, "tokenizer ./nothing: no such folder"),
        ({"model": "./nowhere", "tokenizer": "mini"}, "model ./nowhere: no such folder"),
        ({"system": "rag-dense", "embedder": "./nowhere"}, "embedder ./nowhere: no such folder"),
    ):
        said = rmtbench(*words(tmp_path, entry), "--dry-run")
        assert said.code == 2
        assert told in said.err.splitlines()[-2]


def test_missing_tokenizers_embedders_scorers_are_needed_first(rmtbench: Command, tmp_path: Path) -> None:
    entry = {
        "tokenizer": "nobody/words",
        "scorer": "nobody/scorer",
        "system": "rag-dense",
        "embedder": "nobody/vectors",
    }
    said = rmtbench(*words(tmp_path, entry), "--dry-run")
    assert said.code == 0, said.err
    needed = [line for line in said.err.splitlines() if line.startswith("needed first: ")]
    assert needed[0].startswith("needed first: tokenizer: tokenizer 'nobody/words' cannot be loaded")
    assert needed[1] == "needed first: embedder: embedder 'nobody/vectors' is not on this machine"
    assert needed[2].startswith("needed first: scorer: scorer model 'nobody/scorer' cannot be loaded")


def test_plan_says_how_many_runs_it_cannot_count(rmtbench: Command, tmp_path: Path) -> None:
    entries = ({}, {"model": "nobody/nothing"}, {"top_k": 3})
    said = rmtbench(*words(tmp_path, *entries), "--dry-run")
    assert said.code == 2, "an option that nothing here uses is a mistake in the file"
    lines = said.err.splitlines()
    assert "in all 2 runs, 0 of them finished already; 1 of 3 requests refused, and their runs not counted" in lines
    assert any(line.startswith("2 questions; ") and line.endswith("; unknown for 1 run") for line in lines)
    assert "disk: about 0.1 MB of answers; unknown for 1 run" in lines


def test_served_model_without_tokenizer_is_counted_by_characters(rmtbench: Command, tmp_path: Path) -> None:
    entry = {"model": "openai:some", "base_url": "http://127.0.0.1:9/v1"}
    said = rmtbench(*words(tmp_path, entry), "--dry-run")
    assert said.code == 0, said.err
    counts, calls, price, time, disk = said.err.splitlines()[-5:]
    assert counts == (
        "2 questions; about 200 tokens to read (about 4 characters each, for no tokenizer is named or known)"
    )
    assert calls == "calls: about 3; 200 tokens sent, at most 8 written"
    assert price == "price: unknown for openai:some: no price is known (--prices)"
    assert time.startswith("time: unknown for 1 run (closed-book): no finished run of theirs from this machine in ")
    assert disk == "disk: about 0.1 MB of answers"


def test_a_finished_run_needs_no_model_any_more_in_a_plan_either(
    rmtbench: Command, tmp_path: Path, model_of_context: Callable[[int], Path]
) -> None:
    model = tmp_path / "model"
    shutil.copytree(model_of_context(4000), model)
    assert rmtbench(*words(tmp_path, {"model": str(model)})).code == 0
    shutil.rmtree(model)
    said = rmtbench(*words(tmp_path, {"model": str(model)}), "--dry-run")
    assert said.code == 0, said.err
    runs, counts, time, _ = said.err.splitlines()[-4:]
    assert runs == "in all 1 run, 1 of them finished already"
    assert (counts, time) == ("0 questions; about 0 tokens to read", "time: nothing is left to do")


def test_plan_with_all_requests_refused_does_not_say_done(rmtbench: Command, tmp_path: Path) -> None:
    said = rmtbench(*words(tmp_path, {"system": "cag", "top_k": 3}), "--dry-run")
    assert said.code == 2
    assert "nothing is planned: every request is refused" in said.err.splitlines()
    assert "nothing is left to do" not in said.err
    assert "0 questions" not in said.err


def test_a_plan_refuses_documents_without_questions_as_run_would(rmtbench: Command, tmp_path: Path) -> None:
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


def test_defect_in_one_request_ends_no_other(
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


def test_a_plan_names_the_finished_run_that_predicts_each_run(rmtbench: Command, tmp_path: Path) -> None:
    assert rmtbench(*words(tmp_path, {"system": "full-context", "size": "1k"})).code == 0
    [finished] = journals(tmp_path / "results")
    entries = [
        {"system": "full-context", "size": "2k"},
        {"system": "full-context", "size": "1k", "seed": 3, "draws": 2},
    ]
    said = rmtbench(*words(tmp_path, *entries, {"system": "oracle"}), "--dry-run")
    assert said.code == 0, said.err
    first, second, third = [line.rpartition("  ")[2] for line in said.out.splitlines()]
    for line in (first, second):
        assert line.startswith("about ")
        assert line.endswith(f", an estimate by {finished}")
    assert third == "time not known"


def test_a_damaged_run_predicts_nothing_and_hinders_no_plan(rmtbench: Command, tmp_path: Path) -> None:
    assert rmtbench(*words(tmp_path, {}, {"seed": 7})).code == 0
    broken = next((tmp_path / "results").glob("*/spec.json"))
    broken.write_text("{", encoding="utf-8")
    said = rmtbench(*words(tmp_path, {"seed": 9}), "--dry-run")
    assert said.code == 0, said.err
    assert f"a finished run tells no time: {broken}: damaged" in said.err
    assert "an estimate by closed-book-" in said.out


@pytest.mark.parametrize("command", ["sweep", "run"])
def test_a_plan_refuses_an_oracle_without_evidence(rmtbench: Command, tmp_path: Path, command: str) -> None:
    folder = bare_folder(tmp_path / "bare")
    asked = words(tmp_path, {"system": "oracle", "dataset": str(folder)})
    if command == "run":
        asked = ("run", "--system", "closed-book,oracle", "--dataset", folder, "--model", "random:tiny",
                 "--results", tmp_path / "results")  # fmt: skip
    said = rmtbench(*asked, "--dry-run")
    assert said.code == 2
    assert "system oracle: no question has evidence, and the oracle reads nothing else" in said.err
    assert "name the documents that answer a question under 'evidence'" in said.err


def test_a_plan_for_all_leaves_out_an_oracle_without_evidence(rmtbench: Command, tmp_path: Path) -> None:
    folder = bare_folder(tmp_path / "bare")
    said = rmtbench(*words(tmp_path, {"system": "all", "dataset": str(folder)}), "--dry-run")
    assert said.code == 0, said.err
    assert "oracle skipped: no question has evidence, and the oracle reads nothing else" in said.err
    assert "  oracle  " not in said.out


def bare_folder(folder: Path) -> Path:
    """One document, and a question without evidence."""
    (folder / "documents").mkdir(parents=True)
    (folder / "documents" / "one.md").write_text("Arden lies on the Oss.", encoding="utf-8")
    (folder / "questions.jsonl").write_text(
        '{"question": "Where is Arden?", "answers": "on the Oss"}', encoding="utf-8"
    )
    return folder
