"""Reading runs back: whole ones, torn ones, damaged ones."""

import json
from dataclasses import replace

import pytest
from journal_runs import SPEC, answer, append, write_run

from rmtbench.errors import UserError
from rmtbench.journal.find import find_runs
from rmtbench.journal.lines import encode
from rmtbench.journal.record import read_run
from rmtbench.journal.rows import answer_to_row

ALL = {(draw, question): answer(question, 1.0 + draw) for draw in (0, 1) for question in ("q0", "q1")}


def test_a_whole_run_reads_back_and_is_complete(tmp_path):
    run = read_run(write_run(tmp_path, ALL).path)
    assert run.spec == SPEC
    assert run.answers == ALL
    assert list(run.gold) == list(run.questions) == list(ALL)
    assert (run.complete, run.expected, run.errors) == (True, 4, 0)
    assert (run.scores, run.scorers) == ({}, {})


def test_run_with_torn_answer_lacks_it_until_made_again(tmp_path):
    folder = write_run(tmp_path, ALL)
    folder.answers.write_bytes(folder.answers.read_bytes()[:-20])
    torn = read_run(folder.path)
    assert list(torn.answers) == list(ALL)[:-1]
    assert not torn.complete
    append(folder.answers, answer_to_row(ALL[1, "q1"], 1, 1))
    assert read_run(folder.path).answers == ALL


def test_the_first_of_two_answers_to_one_question_counts(tmp_path):
    folder = write_run(tmp_path, ALL)
    append(folder.answers, answer_to_row(answer("q0", text="second"), 0, 1))
    assert read_run(folder.path).answers == ALL


def test_the_first_of_two_rows_of_one_draw_counts(tmp_path):
    folder = write_run(tmp_path, ALL)
    folder.corpora.write_bytes(folder.corpora.read_bytes() * 2)
    run = read_run(folder.path)
    assert [corpus["draw"] for corpus in run.corpora] == [0, 1]
    assert run.complete


def test_a_failed_answer_counts_as_answered_and_as_an_error(tmp_path):
    failed = {**ALL, (1, "q1"): answer("q1", text="", finish="error", error="out of memory")}
    run = read_run(write_run(tmp_path, failed).path)
    assert (run.complete, run.errors, run.expected) == (True, 1, 4)


def test_a_run_that_was_only_begun_is_read_and_is_not_complete(tmp_path):
    folder = write_run(tmp_path, {})
    for path in (folder.corpora, folder.gold, folder.prepared, folder.answers):
        path.unlink()
    run = read_run(folder.path)
    assert (run.complete, run.expected, run.answers) == (False, 0, {})


def test_a_draw_not_yet_begun_makes_a_run_incomplete(tmp_path):
    folder = write_run(tmp_path, ALL)
    row = json.loads(folder.spec.read_bytes())
    row["spec"]["draws"] = 3
    folder.spec.write_text(json.dumps(row))
    assert not read_run(folder.path).complete


def test_questions_lost_from_the_gold_file_make_a_run_incomplete(tmp_path):
    folder = write_run(tmp_path, {key: given for key, given in ALL.items() if key != (1, "q1")})
    folder.gold.write_bytes(b"".join(folder.gold.read_bytes().splitlines(keepends=True)[:-1]))
    assert not read_run(folder.path).complete


def test_scores_and_their_scorers_are_read_when_they_are_there(tmp_path):
    folder = write_run(tmp_path, ALL)
    append(folder.scores, {"draw": 0, "question_id": "q0", "scores": {"em": 1.0, "recall": None}})
    folder.summary.write_bytes(encode({"scorers": {"em": "em:1"}}))
    run = read_run(folder.path)
    assert run.scores == {(0, "q0"): {"em": 1.0, "recall": None}}
    assert run.scorers == {"em": "em:1"}


def drop_field(name):
    def change(folder):
        row = json.loads(folder.spec.read_bytes())
        del row[name]
        folder.spec.write_text(json.dumps(row))

    return change


def in_file(name, damage):
    def change(folder):
        path = getattr(folder, name)
        path.write_bytes(damage(path.read_bytes()))

    return change


@pytest.mark.parametrize(
    ("change", "what", "where"),
    [
        (lambda folder: folder.spec.unlink(), "missing", "spec.json"),
        (in_file("spec", lambda data: data[:-9]), "damaged: not JSON", "spec.json"),
        (in_file("spec", lambda _: b"[]"), "damaged: not an object", "spec.json"),
        (in_file("spec", lambda data: data.replace(b'"schema":1', b'"schema":99')), "schema 99", "spec.json"),
        (drop_field("spec"), "field 'spec' is missing", "spec.json"),
        (drop_field("provenance"), "field 'provenance' is missing", "spec.json"),
        (in_file("answers", lambda data: b"x" + data), "damaged: not JSON", "answers.jsonl, line 1"),
        (
            in_file("answers", lambda data: data.replace(b'"draw":0,', b"")),
            "'draw' is missing",
            "answers.jsonl, line 1",
        ),
        (in_file("corpora", lambda data: data.replace(b'"tokens":100,', b"")), "'tokens'", "corpora.jsonl, line 1"),
        (in_file("prepared", lambda data: data.replace(b'"bytes":64,', b"")), "'bytes'", "prepared.jsonl, line 1"),
        (in_file("gold", lambda data: data.replace(b'["blue"]', b"[]")), "no reference answer", "gold.jsonl, line 1"),
        (lambda folder: folder.gold.unlink(), "has an answer and stands not here", "gold.jsonl"),
        (lambda folder: append(folder.scores, {"draw": 0, "scores": {}}), "'question_id'", "scores.jsonl, line 1"),
        (lambda folder: folder.summary.write_text("{}"), "schema None", "summary.json"),
        (lambda folder: folder.corpora.unlink(), "draw 0 has answers and stands not here", "corpora.jsonl"),
    ],
)
def test_a_damaged_run_is_an_error_that_names_the_file_and_line(tmp_path, change, what, where):
    folder = write_run(tmp_path, ALL)
    change(folder)
    with pytest.raises(UserError) as caught:
        read_run(folder.path)
    assert what in caught.value.what
    assert caught.value.where == f"{folder.path}/{where}"
    assert caught.value.remedy


@pytest.mark.parametrize("name", ["scores", "summary"])
def test_damaged_scores_are_made_again_and_cost_no_answer(tmp_path, name):
    folder = write_run(tmp_path, ALL)
    getattr(folder, name).write_bytes(b"{\n{\n")
    with pytest.raises(UserError) as caught:
        read_run(folder.path)
    assert caught.value.remedy.startswith("delete that file and give `rmtbench score`")
    getattr(folder, name).unlink()
    assert len(read_run(folder.path).answers) == len(ALL)


def test_runs_are_found_by_name_and_nothing_else_is(tmp_path):
    names = [write_run(tmp_path, {}, replace(SPEC, system=system)).path for system in ("rmt", "cag", "oracle")]
    (tmp_path / "report").mkdir()
    (tmp_path / "README.md").write_text("not a run")
    assert find_runs(tmp_path) == sorted(names)


def test_a_run_folder_is_found_as_itself(tmp_path):
    folder = write_run(tmp_path, {})
    assert find_runs(folder.path) == [folder.path]


def test_answers_without_spec_are_found_and_fail_to_read(tmp_path):
    folder = write_run(tmp_path, ALL)
    folder.spec.unlink()
    assert find_runs(tmp_path) == [folder.path]


def test_an_empty_folder_holds_no_runs_and_missing_one_is_error(tmp_path):
    assert find_runs(tmp_path) == []
    with pytest.raises(UserError, match="no such folder") as caught:
        find_runs(tmp_path / "none")
    assert "rmtbench run" in caught.value.remedy
