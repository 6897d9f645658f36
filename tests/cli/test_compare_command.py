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


def keep(run, files, wanted):
    """Cut files of a run to the rows that are wanted, as a kill would have left them."""
    for name in files:
        path = run / f"{name}.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows if wanted(row)))
    return run


def answered(run, wanted):
    """The run with answers to the wanted questions alone."""
    return keep(run, ("answers", "scores"), wanted)


def begun(run, draws):
    """The run with its first draws alone: of the others not even the questions are written yet."""
    return keep(run, ("corpora", "gold", "prepared", "answers", "scores"), lambda row: row["draw"] < draws)


def test_the_same_run_twice_differs_in_nothing(rmtbench, tmp_path):
    run = make_run(tmp_path)
    said = rmtbench("compare", run, run, "--fail-if-worse", 0)
    assert said.code == 0, said.err
    assert "em: 1.000, then 1.000: 0.000 over 32 questions in 8 draws" in said.out
    assert "Nothing in spec and provenance." in said.out
    assert "time: the second takes 1 times as long" in said.out
    assert "flipped: 0 right to wrong, 0 wrong to right" in said.out


def test_worse_run_fails_by_point_estimate_with_certainty(rmtbench, tmp_path):
    before = make_run(tmp_path)
    after = make_run(tmp_path, "oracle", right=lambda draw, number: number > 0, seconds=2.0)
    said = rmtbench("compare", before, after, "--fail-if-worse", 0.02)
    assert said.code == 1
    assert "em: 1.000, then 0.750: −0.250 over 32 questions in 8 draws" in said.out
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


def test_two_versions_of_run_are_found_by_name_and_hash(rmtbench, tmp_path):
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
    assert "over 24 questions" in said.out
    assert "left out: 8 questions that the first alone is asked\n" in said.out
    assert "in 8 draws the documents or the other questions are not the same" in said.out
    assert "left out: 8 questions that the second alone is asked\n" in rmtbench("compare", few, many).out


def test_questions_of_one_run_only_are_not_paired(rmtbench, tmp_path):
    whole, part = make_run(tmp_path / "a"), answered(make_run(tmp_path / "b"), lambda row: row["question_id"] == "q0")
    said = rmtbench("compare", whole, part)
    assert said.code == 0, said.err
    assert "over 8 questions" in said.out
    assert "left out: 24 questions that the second has not answered\n" in said.out
    assert "left out: 24 questions that the first has not answered\n" in rmtbench("compare", part, whole).out


def test_questions_with_a_value_in_one_run_only_are_told(rmtbench, tmp_path):
    whole, part = make_run(tmp_path / "a"), make_run(tmp_path / "b")
    rows = [json.loads(line) for line in (part / "scores.jsonl").read_text().splitlines()]
    lost = [row | {"scores": {"em": None}} if row["question_id"] == "q0" else row for row in rows]
    (part / "scores.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lost))
    said = rmtbench("compare", whole, part, "--fail-if-worse", 0.02)
    assert "over 24 questions" in said.out
    assert "left out: 8 questions that em has a value for in the first alone\n" in said.out
    made = tmp_path / "made.json"
    rmtbench("compare", whole, part, "--json", made)
    scores = json.loads(made.read_text())["scores"]
    assert (scores["only_first"], scores["only_second"]) == (8, 0)
    assert "not worse by more than 0.02 on the questions that em has a value for in both; " in said.out
    assert "left out: 8 questions that em has a value for in the second alone\n" in rmtbench("compare", part, whole).out


@pytest.mark.parametrize("unfinished", ["second", "first"])
def test_run_that_has_yet_to_answer_what_other_did_is_not_judged(rmtbench, tmp_path, unfinished):
    # All that it has answered is right: a mean over these alone would let it pass.
    whole, part = make_run(tmp_path / "a"), answered(make_run(tmp_path / "b"), lambda row: row["question_id"] == "q0")
    said = rmtbench("compare", *((whole, part) if unfinished == "second" else (part, whole)), "--fail-if-worse", 0.02)
    assert (said.code, said.out) == (2, "")
    what, remedy = said.err.splitlines()
    told = f"the {unfinished} run has yet to answer 24 questions that the other is asked, too"
    assert what == f"error: {part.name}: {told}"
    assert remedy == "  finish the run with the command that began it, which resumes it, or leave out --fail-if-worse"


def test_run_with_draws_to_begin_is_not_judged(rmtbench, tmp_path):
    whole, part = make_run(tmp_path / "a"), begun(make_run(tmp_path / "b"), draws=6)
    said = rmtbench("compare", whole, part, "--fail-if-worse", 0.02)
    assert said.code == 2
    assert "the second run has yet to answer 8 questions" in said.err


def test_run_without_answers_must_be_finished_not_scored(rmtbench, tmp_path):
    whole, none = make_run(tmp_path / "a"), answered(make_run(tmp_path / "b"), lambda row: False)
    said = rmtbench("compare", whole, none)
    assert said.code == 2
    assert said.err.splitlines()[0] == f"error: {none.name}: the run has no answer yet"
    assert "finish the run" in said.err


def test_runs_asked_other_questions_by_design_share_some(rmtbench, tmp_path):
    eight, six = make_run(tmp_path / "a"), make_run(tmp_path / "b", draws=6)
    said = rmtbench("compare", eight, six, "--fail-if-worse", 0.15)
    assert said.code == 0, said.err
    assert "left out: 8 questions that the first alone is asked\n" in said.out
    assert "not worse by more than 0.15 on the questions that both are asked; certain: " in said.out


def test_failed_answers_count_as_wrong_when_a_run_is_judged(rmtbench, tmp_path):
    whole, failing = make_run(tmp_path / "a"), keep(make_run(tmp_path / "b"), ["scores"], lambda row: row["draw"] > 0)
    journal = failing / "answers.jsonl"
    rows = [json.loads(line) for line in journal.read_text().splitlines()]
    failed = {"text": "", "finish": "error", "error": "out of memory"}
    journal.write_text("".join(json.dumps({**row, **(failed if row["draw"] == 0 else {})}) + "\n" for row in rows))
    said = rmtbench("compare", whole, failing, "--fail-if-worse", 0.02)
    assert said.code == 1
    assert "em: 1.000, then 0.875: −0.125 over 32 questions" in said.out
    assert "left out" not in said.out
    assert "(failed: out of memory)" in said.out


def test_fewer_draws_than_any_test_needs_are_never_certain(rmtbench, tmp_path):
    for draws, sure in ((2, "uncertain: 2 draws are too few to say; 6 are the fewest"), (5, "uncertain: 5 draws"),
                        (6, "certain: the whole 95 % interval is worse")):  # fmt: skip
        before = make_run(tmp_path / f"{draws}", draws=draws)
        after = make_run(tmp_path / f"{draws}", "oracle", draws=draws, right=lambda draw, number: number > draw % 2)
        said = rmtbench("compare", before, after, "--fail-if-worse", 0.02)
        assert said.code == 1
        assert f"worse by more than 0.02; {sure}" in said.out


def test_equal_draws_are_certain_only_with_enough_questions(rmtbench, tmp_path):
    run = make_run(tmp_path)
    told = "not worse by more than 0.02; uncertain: 32 questions without a difference are too few to say"
    assert told in rmtbench("compare", run, run, "--fail-if-worse", 0.02).out
    # (1 - 0.1)^29 <= 0.05: 32 questions would have shown a difference in one of ten.
    assert "not worse by more than 0.1; certain: " in rmtbench("compare", run, run, "--fail-if-worse", 0.1).out
    after = make_run(tmp_path, "oracle", right=lambda draw, number: number > 0)
    told = "not worse by more than 0.5; certain: "
    assert told in rmtbench("compare", run, after, "--fail-if-worse", 0.5).out
    told = "not worse by more than 0.25; certain: "
    assert told in rmtbench("compare", run, after, "--fail-if-worse", 0.25).out


def test_the_json_file_holds_everything(rmtbench, tmp_path):
    before = make_run(tmp_path)
    after = make_run(tmp_path, "oracle", right=lambda draw, number: number > 0)
    out = tmp_path / "made.json"
    assert rmtbench("compare", before, after, "--fail-if-worse", 0.02, "--json", out, "--flips", 0).code == 1
    made = json.loads(out.read_text())
    assert (made["schema"], made["worse"], made["means"], len(made["flips"])) == (1, True, [1.0, 0.75], 8)
    assert made["scores"]["difference"]["mean"] == -0.25
    assert (made["left_out"], made["unanswered"]) == ([0, 0], [0, 0])
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


def test_unwritable_file_is_named_before_output(rmtbench, tmp_path):
    run = make_run(tmp_path)
    for path, told in ((tmp_path / "no" / "made.json", "no such folder"), (tmp_path, "is a folder")):
        said = rmtbench("compare", run, run, "--json", path)
        assert (said.code, said.out) == (2, "")
        assert said.err.splitlines()[0] == f"error: --json {path}: {told}"
        assert len(said.err.splitlines()) == 2


def test_unknown_metric_is_refused_with_known_ones(rmtbench, tmp_path):
    run = make_run(tmp_path)
    said = rmtbench("compare", run, run, "--metric", "bertscore")
    assert said.code == 2
    what, remedy = said.err.splitlines()
    assert what == "error: --metric: no metric 'bertscore'"
    assert remedy.startswith("  did you mean 'bertscore_f1'? Known: bertscore_f1, bertscore_precision, ")
    assert remedy.endswith("em, f1, minilm_cosine, precision, recall, reciprocal_rank")


@pytest.mark.parametrize("place", ["FIRST", "SECOND"])
def test_an_empty_name_is_told_by_the_argument_that_it_is(rmtbench, tmp_path, place):
    run = make_run(tmp_path)
    said = rmtbench("compare", *((" ", run) if place == "FIRST" else (run, " ")))
    assert said.code == 2
    assert said.err.splitlines()[0] == f"error: {place}: names no run"
    assert len(said.err.splitlines()) == 2


@pytest.mark.parametrize("given", ["nan", "inf", "1.5", "-0.1"])
def test_invalid_share_is_no_limit_of_loss(rmtbench, tmp_path, given):
    run = make_run(tmp_path)
    said = rmtbench("compare", run, run, f"--fail-if-worse={given}")
    assert said.code == 2
    assert said.err.splitlines()[0] == f"error: --fail-if-worse: must be a number from 0 to 1 (given: {given})"


def test_packed_runs_are_compared_by_path_name_or_hash(rmtbench, tmp_path):
    first, second = make_run(tmp_path, "cag"), make_run(tmp_path, "oracle")
    before = rmtbench("compare", first, second)
    assert rmtbench("pack", tmp_path).code == 0
    assert [path.name for path in sorted(tmp_path.iterdir())] == [f"{first.name}.zip", f"{second.name}.zip"]
    named = ((first, second), (f"{first}.zip", f"{second}.zip"), (first.name, second.name.rpartition("-")[2]))
    for pair in named:
        said = rmtbench("compare", *pair, "--results", tmp_path)
        assert (said.code, said.out) == (before.code, before.out)
    assert rmtbench("score", tmp_path).err.count("this run is packed, and nothing can be added to it") == 1
    assert rmtbench("pack", tmp_path, "--undo").code == 0
    assert sorted(tmp_path.iterdir()) == sorted([first, second])
