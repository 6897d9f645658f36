"""`rmtbench compare`: what it says of two runs, and the exit codes that continuous integration relies on."""

import json

import pytest

from rmtbench.core import Answer, Corpus, Document, Draw, Gold, Prepared, Question, RunSpec, Source, Timings
from rmtbench.journal.lines import LineWriter, encode, write_whole
from rmtbench.journal.writer import RunWriter

MODEL = {"id": "mini", "label": "", "weights_sha256": "aa"}
DRAWS = 8


def make_run(
    results, system="cag", *, draws=DRAWS, questions=4, right=lambda draw, number: True, threads=2, seconds=1.0
):
    """A run whose every question is right or wrong as told."""
    spec = RunSpec(system=system, dataset="towns", size="small", model="mini", data="own:towns@0", draws=draws)
    with RunWriter(results, spec) as run:
        run.begin({"model": MODEL, "threads": threads, "machine": "two cores"})
        scores = []
        for draw in range(draws):
            asked = tuple(Question(f"q{number}", f"What is {draw}-{number}?") for number in range(questions))
            corpus = Corpus(
                f"c{draw}", "towns", "small", draw, (Document("d", "D", f"Text {draw}."),), asked,
                Source("own", "towns", "00"),
            )  # fmt: skip
            run.add_draw(Draw(corpus, tuple(Gold(question.id, ("yes",)) for question in asked)), tokens=10)
            run.prepared(Prepared({"prefill": 1.0}), draw=draw)
            for number, question in enumerate(asked):
                good = right(draw, number)
                text = "yes" if good else "no"
                timings = Timings(total=seconds * (1 + draw / 10))
                run.answer(Answer(question.id, text, "eos", timings=timings), draw=draw)
                scores.append({"draw": draw, "question_id": question.id, "scores": {"em": float(good)}})
        with LineWriter(run.folder.scores) as writer:
            for row in scores:
                writer.append(row)
        write_whole(run.folder.summary, encode({"scorers": {"em": "rules v1"}}))
    return run.folder.path


def test_the_same_run_twice_differs_in_nothing(rmtbench, tmp_path):
    run = make_run(tmp_path)
    said = rmtbench("compare", run, run, "--fail-if-worse", 0)
    assert said.code == 0, said.err
    assert "em: 1.000, then 1.000: 0.000 over 32 question(s) in 8 draw(s)" in said.out
    assert "Nothing in spec and provenance." in said.out
    assert "time: the second takes 1 times as long" in said.out
    assert "flipped: 0 right to wrong, 0 wrong to right" in said.out


def test_a_run_that_is_worse_fails_by_the_point_estimate_and_says_how_surely(rmtbench, tmp_path):
    before = make_run(tmp_path)
    after = make_run(tmp_path, "oracle", right=lambda draw, number: number > 0, seconds=2.0)
    said = rmtbench("compare", before, after, "--fail-if-worse", 0.02)
    assert said.code == 1
    assert "em: 1.000, then 0.750: −0.250 over 32 question(s) in 8 draw(s)" in said.out
    assert "95 % interval −0.250 to −0.250, p .008" in said.out
    assert "worse by more than 0.02; certain: the whole 95 % interval is worse by more than that" in said.out
    assert "flipped: 8 right to wrong, 0 wrong to right" in said.out
    assert "spec.system" in said.out
    assert "time: the second takes 2 times as long (95 % interval 2 to 2, 32 questions)" in said.out
    assert rmtbench("compare", before, after, "--fail-if-worse", 0.25).code == 0
    assert rmtbench("compare", before, after).code == 0
    better = rmtbench("compare", after, before, "--fail-if-worse", 0)
    assert better.code == 0
    assert "not worse by more than 0; certain" in better.out


def test_what_cannot_be_known_is_said_to_be_uncertain(rmtbench, tmp_path):
    before = make_run(tmp_path, right=lambda draw, number: (draw + number) % 3 > 0)
    after = make_run(tmp_path, "oracle", right=lambda draw, number: (draw * number) % 4 < 2)
    assert "; uncertain: " in rmtbench("compare", before, after, "--fail-if-worse", 0.02).out
    one = [make_run(tmp_path / name, draws=1) for name in ("a", "b")]
    said = rmtbench("compare", *one, "--fail-if-worse", 0.02)
    assert "95 % interval undefined, p undefined, detectable difference undefined" in said.out
    assert "uncertain: with one draw no interval is defined" in said.out


def test_two_versions_of_one_run_in_two_folders_are_found_by_name_and_by_hash(rmtbench, tmp_path):
    old = make_run(tmp_path / "old")
    new = make_run(tmp_path / "new", right=lambda draw, number: (draw, number) != (3, 2), threads=4)
    assert old.name == new.name
    said = rmtbench("compare", old, new.name[-8:], "--results", tmp_path / "new")
    assert said.code == 0, said.err
    assert "times are not compared: threads differ" in said.out
    assert [word for word in said.out.splitlines() if "provenance.threads" in word]
    assert "right → wrong" in said.out
    assert "What is 3-2?" in said.out


def test_questions_that_one_run_lacks_are_left_out_and_counted(rmtbench, tmp_path):
    many, few = make_run(tmp_path / "a"), make_run(tmp_path / "b", questions=3)
    said = rmtbench("compare", many, few)
    assert "over 24 question(s)" in said.out
    assert "left out: 8 question(s) of the first alone, 0 of the second" in said.out
    assert "in 8 draw(s) the documents or the other questions are not the same" in said.out


def test_the_json_file_holds_everything(rmtbench, tmp_path):
    before = make_run(tmp_path)
    after = make_run(tmp_path, "oracle", right=lambda draw, number: number > 0)
    out = tmp_path / "made.json"
    assert rmtbench("compare", before, after, "--fail-if-worse", 0.02, "--json", out, "--flips", 0).code == 1
    made = json.loads(out.read_text())
    assert (made["schema"], made["worse"], made["means"], len(made["flips"])) == (1, True, [1.0, 0.75], 8)
    assert made["scores"]["difference"]["mean"] == -0.25
    assert made["changes"][0] == {"field": "spec.system", "first": "cag", "second": "oracle"}


@pytest.mark.parametrize("case", ["no run", "other questions", "no metric"])
def test_what_cannot_be_compared_is_an_error_with_a_remedy(rmtbench, tmp_path, case):
    run = make_run(tmp_path / "a")
    if case == "no run":
        said = rmtbench("compare", run, "cag-towns-al", "--results", tmp_path / "a")
        told = "no such run"
        assert f"did you mean {run.name}?" in said.err
    elif case == "other questions":
        other = make_run(tmp_path / "b")
        gold = other / "gold.jsonl"
        gold.write_text(gold.read_text().replace("What is", "Where is"))
        said, told = rmtbench("compare", run, other), "the two runs share no question"
    else:
        said, told = rmtbench("compare", run, run, "--metric", "f1"), "the run has no f1"
    assert said.code == 2
    assert told in said.err
    assert len(said.err.splitlines()) == 2
