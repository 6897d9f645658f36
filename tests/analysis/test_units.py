"""Own documents that are read whole: their questions are the sample, and asking them in more draws adds nothing."""

import json

import pytest
from report_runs import add_run, spec_of

from rmtbench.analysis.candidates import make_contests
from rmtbench.analysis.contest import Terms
from rmtbench.analysis.decision import decide
from rmtbench.analysis.pairs import compare_all
from rmtbench.analysis.read import read_figures
from rmtbench.analysis.run_comparison import compare_runs
from rmtbench.analysis.sections import make_grids, make_sections
from rmtbench.journal.record import read_run
from rmtbench.report.verdicts import verdict_lines
from rmtbench.report.write import write_report

WHOLE = {"dataset": "town", "size": "all", "data": "own:town:dd44"}


def add_answers(results, system, rights, *, draws=1, **fields):
    """A run over documents that are all there are: the same questions in every draw, right where `rights` says so."""
    spec = spec_of(system, draws=draws, **{**WHOLE, **fields})
    kind = spec.data.partition(":")[0]
    folder = add_run(results, spec, questions=len(rights), kind=kind)
    for path in (folder.gold, folder.answers, folder.scores):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for line in lines:
            number = int(line["question_id"].partition("-")[2])
            if "size" not in fields:
                line["question_id"] = f"q{number}"
            if "scores" in line:
                line["scores"] = dict.fromkeys(line["scores"], float(rights[number]))
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder.path


def contest_of(results):
    [made] = make_contests(make_sections(read_figures(results)), "em")
    return made


def told(results, **terms):
    asked = Terms(**terms)
    made = contest_of(results)
    return made, verdict_lines(made, asked, decide(made, asked))


GOOD = [1] * 18 + [0] * 2
BAD = [1] * 4 + [0] * 16


def test_one_draw_decides_since_questions_are_sample(tmp_path):
    add_answers(tmp_path, "cag", GOOD)
    add_answers(tmp_path, "rag-sparse", BAD, top_k=1)
    made, lines = told(tmp_path)
    assert (made.unit, made.units, made.questions) == ("question", 20, 20)
    assert lines[0] == "Use cag."
    assert lines[1].startswith("Its EM is 0.700 higher than that of rag-sparse top-1 (95 % interval")
    assert lines[2].endswith("measured on 20 questions about these documents")


def test_asking_the_same_questions_again_makes_nothing_surer(tmp_path):
    close = [1] * 17 + [0] * 3
    for results, draws in ((tmp_path / "once", 1), (tmp_path / "often", 8)):
        results.mkdir()
        add_answers(results, "cag", GOOD, draws=draws)
        add_answers(results, "rag-sparse", close, draws=draws, top_k=1)
    once, often = contest_of(tmp_path / "once"), contest_of(tmp_path / "often")
    assert once.pairs == often.pairs
    assert once.units == often.units == 20
    [run, _] = read_figures(tmp_path / "often")
    assert run.standard_errors["em"] == pytest.approx((0.9 * 0.1 / 19) ** 0.5)


def test_what_is_missing_is_told_in_questions(tmp_path):
    add_answers(tmp_path, "cag", GOOD)
    add_answers(tmp_path, "rag-sparse", [1] * 15 + [0] * 5, top_k=1)
    _, lines = told(tmp_path)
    assert lines[0] == "Use cag for now."
    assert "more questions (20 so far)" in lines[2]


def test_equal_answers_show_equivalence_only_if_enough(tmp_path):
    add_answers(tmp_path, "cag", GOOD)
    add_answers(tmp_path, "rag-sparse", GOOD, top_k=1)
    # (1 - 0.02)^149 <= 0.05: so many questions without a difference leave none of two in a hundred.
    assert "At least 129 more questions (20 so far)" in told(tmp_path)[1][2]
    assert "It costs the least of those that are as good" in told(tmp_path, margin=0.15)[1][1]


def test_pairs_flip_questions_and_need_the_same_ones(tmp_path):
    add_answers(tmp_path, "cag", GOOD)
    add_answers(tmp_path, "rag-sparse", BAD, top_k=1)
    add_answers(tmp_path, "closed-book", BAD[:10])
    [grid] = make_grids(read_figures(tmp_path))
    [pair] = compare_all(grid, "all", "em")
    assert (pair.unit, pair.units, pair.draws, pair.questions) == ("question", 20, 1, 20)
    assert pair.p == pytest.approx(2 * 0.5**14)
    text = (write_report(tmp_path, quick=True).folder / "report.md").read_text()
    assert "clustered by question: these documents are all there are, and every draw has the same" in text


def test_two_runs_are_compared_by_question_too(tmp_path):
    first, second = add_answers(tmp_path, "cag", GOOD), add_answers(tmp_path, "rag-sparse", BAD, top_k=1)
    made = compare_runs(read_run(first), read_run(second), "em")
    assert made.scores.clusters == 20
    assert made.scores.high < 0
    assert made.times.low is not None
    assert made.certainty(0.02).startswith("certain")


def test_a_few_questions_without_any_difference_are_no_certainty(tmp_path):
    first, second = add_answers(tmp_path, "cag", GOOD), add_answers(tmp_path, "rag-sparse", GOOD, top_k=1)
    made = compare_runs(read_run(first), read_run(second), "em")
    assert made.certainty(0.02) == "uncertain: 20 questions without a difference are too few to say"
    assert made.certainty(0.15).startswith("certain")
    assert made.certainty(0.0).startswith("uncertain")


def test_folder_with_drawn_documents_is_clustered_by_draw(tmp_path):
    add_answers(tmp_path, "cag", GOOD, size="8k", draws=2)
    assert (contest_of(tmp_path).unit, contest_of(tmp_path).units) == ("draw", 2)


def test_a_model_of_miniature_is_no_candidate_over_other_texts(tmp_path):
    add_answers(tmp_path, "cag", GOOD, model="mini")
    made, lines = told(tmp_path)
    assert lines[0] == "Nothing to choose from: mini knows the miniature alone: no score counts."
    text = (write_report(tmp_path, quick=True).folder / "report.md").read_text()
    assert "mini knows the miniature world's English alone: of these texts its answers mean nothing" in text
    assert [candidate.score for candidate in made.candidates] == [0.9]
