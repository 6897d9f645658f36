"""Writing a run: begun, interrupted, resumed, begun anew, and never mixed from two kinds."""

import json
from dataclasses import replace

import pytest
from journal_runs import SPEC, answer

from rmtbench.core import Corpus, Document, Draw, Gold, Prepared, Question, Source
from rmtbench.errors import UserError
from rmtbench.journal.record import read_run
from rmtbench.journal.writer import RunWriter, finished_run

PROVENANCE = {"model": {"weights_sha256": "aa", "tokenizer_sha256": "bb", "prompt_contract": 1}, "threads": 1}
SPEC_ONE = replace(SPEC, draws=1)


def draw_of(text="It is blue.", number=0):
    questions = (Question("q0", "What colour?"), Question("q1", "Which town?"))
    corpus = Corpus("c", "squad", "small", number, (Document("d", "Sky", text),), questions, Source("own", "x", "ab"))
    return Draw(corpus, tuple(Gold(question.id, ("blue",)) for question in questions))


def write(results, *questions, spec=SPEC_ONE, provenance=PROVENANCE, draw=None, fresh=False):
    """One process: begin, prepare, answer these questions, end."""
    draw = draw or draw_of()
    with RunWriter(results, spec, fresh=fresh) as writer:
        writer.begin(provenance)
        writer.add_draw(draw, tokens=12)
        writer.prepared(Prepared({"index": 0.5}), 0)
        for question in questions:
            writer.answer(answer(question), 0)
        writer.usage(0, 1000, None)
        return writer


def test_a_run_written_in_one_go_is_read_back_complete(tmp_path):
    writer = write(tmp_path, "q0", "q1")
    run = read_run(writer.folder.path)
    assert (run.run_id, run.spec, run.complete) == (writer.run_id, SPEC_ONE, True)
    assert (run.provenance, run.sessions, run.peak_bytes) == (PROVENANCE, [PROVENANCE], (1000, None))
    assert finished_run(tmp_path, SPEC_ONE)


def test_an_interrupted_run_owes_the_rest_and_is_same_afterwards(tmp_path):
    folder = write(tmp_path / "halves", "q0").folder
    assert not finished_run(tmp_path / "halves", SPEC_ONE)
    with RunWriter(tmp_path / "halves", SPEC_ONE) as writer:
        assert [question.id for question in writer.remaining(draw_of().corpus)] == ["q1"]
    write(tmp_path / "halves", "q1")
    whole = read_run(write(tmp_path / "whole", "q0", "q1").folder.path)
    halves = read_run(folder.path)
    assert (halves.answers, halves.gold, halves.corpora) == (whole.answers, whole.gold, whole.corpora)
    assert [json.loads(line)["session"] for line in folder.answers.read_text().splitlines()] == [0, 1]
    assert finished_run(tmp_path / "halves", SPEC_ONE)


@pytest.mark.parametrize("name", ["answers", "gold", "corpora", "prepared", "sessions", "usage"])
def test_run_ends_complete_after_any_file_is_torn(tmp_path, name):
    folder = write(tmp_path, "q0").folder
    path = getattr(folder, name)
    if name in ("gold", "corpora"):
        folder.answers.unlink()  # answers come after both: a kill there leaves none
    path.write_bytes(path.read_bytes()[:-5])
    with RunWriter(tmp_path, SPEC_ONE) as writer:
        owed = [question.id for question in writer.remaining(draw_of().corpus)]
    write(tmp_path, *owed)
    run = read_run(folder.path)
    assert run.complete
    assert list(run.gold) == [(0, "q0"), (0, "q1")]


def test_fresh_begins_anew_and_leaves_nothing_of_before(tmp_path):
    folder = write(tmp_path, "q0", "q1").folder
    folder.scores.write_text("old")
    (folder.path / "extra").mkdir()
    write(tmp_path, "q0", fresh=True)
    assert list(read_run(folder.path).answers) == [(0, "q0")]
    assert not folder.scores.exists()
    assert not (folder.path / "extra").exists()


@pytest.mark.parametrize("field", ["weights_sha256", "tokenizer_sha256", "prompt_contract"])
def test_a_run_is_not_resumed_with_another_model(tmp_path, field):
    folder = write(tmp_path, "q0").folder
    other = {**PROVENANCE, "model": PROVENANCE["model"] | {field: "another"}}
    with pytest.raises(UserError) as caught:
        write(tmp_path, "q1", provenance=other)
    assert caught.value.what == f"this run was begun with another model {field}"
    assert caught.value.where == str(folder.spec)
    assert "--fresh" in caught.value.remedy
    assert list(read_run(folder.path).answers) == [(0, "q0")]


def test_a_run_is_not_resumed_over_other_documents(tmp_path):
    folder = write(tmp_path, "q0").folder
    with pytest.raises(UserError, match="draw 0 was begun with other documents or questions") as caught:
        write(tmp_path, "q1", draw=draw_of("It is green."))
    assert caught.value.where == str(folder.corpora)
    assert list(read_run(folder.path).answers) == [(0, "q0")]


def test_a_run_may_be_resumed_with_other_threads_and_tells_so(tmp_path):
    write(tmp_path, "q0")
    folder = write(tmp_path, "q1", provenance=PROVENANCE | {"threads": 8}).folder
    assert [session["threads"] for session in read_run(folder.path).sessions] == [1, 8]


def test_a_run_that_another_one_is_writing_is_refused(tmp_path):
    with RunWriter(tmp_path, SPEC_ONE), pytest.raises(UserError, match="is writing this run"):
        write(tmp_path, "q0")


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("answers", '{"schema":1,"draw":0}\n', "field 'question_id' is missing"),
        ("gold", '{"schema":1,"question_id":"q"}\n', "field 'draw' is missing"),
        ("corpora", '{"schema":1,"draw":0}\n', "field 'documents' is missing"),
        ("answers", '{"schema":99}\n', "schema 99"),
        ("sessions", "{broken\n", "damaged: not JSON"),
    ],
)
def test_a_damaged_run_is_not_written_to(tmp_path, name, text, what):
    folder = write(tmp_path, "q0").folder
    path = getattr(folder, name)
    path.write_text(text + path.read_text())
    before = folder.answers.read_bytes()
    with pytest.raises(UserError) as caught:
        write(tmp_path, "q1")
    assert what in caught.value.what
    assert caught.value.where == f"{path}, line 1"
    assert folder.answers.read_bytes() == before


def test_a_full_disk_keeps_every_answer_that_was_given(tmp_path):
    folder = write(tmp_path, "q0").folder
    folder.usage.unlink()
    folder.usage.symlink_to("/dev/full")
    with pytest.raises(UserError, match="the disk is full"):
        write(tmp_path, "q1")
    folder.usage.unlink()
    assert read_run(folder.path).complete


def test_a_run_never_begun_is_not_finished(tmp_path):
    assert not finished_run(tmp_path, SPEC_ONE)
    write(tmp_path, "q0", "q1", spec=SPEC)
    assert not finished_run(tmp_path, SPEC)
