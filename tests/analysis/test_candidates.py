"""Which runs may be chosen between: never across sections, and never on other questions or by other scorers."""

import json

import pytest
from report_runs import add_run, spec_of

from rmtbench.analysis.candidates import make_contests
from rmtbench.analysis.contest import Terms
from rmtbench.analysis.decision import decide
from rmtbench.analysis.read import read_figures
from rmtbench.analysis.sections import make_sections


def contests_of(results, metric="em"):
    return make_contests(make_sections(read_figures(results)), metric)


def unfit(made):
    return {candidate.name: candidate.unfit for candidate in made.candidates}


def test_models_datasets_sizes_and_kinds_of_data_never_meet(tmp_path):
    add_run(tmp_path, spec_of("cag"))
    add_run(tmp_path, spec_of("cag", size="large"))
    add_run(tmp_path, spec_of("cag", dataset="squad", data="official:squad.json:ee"))
    add_run(tmp_path, spec_of("cag", data="miniature:x@1"), kind="miniature")
    add_run(tmp_path, spec_of("cag", batch=8))
    add_run(tmp_path, spec_of("cag", model="random:tiny"))
    found = contests_of(tmp_path)
    assert len(found) == 6
    assert all(len(made.candidates) == 1 for made in found)
    assert [made.candidates[0].unfit for made in found if made.model.endswith("(random weights)")] == [
        "random weights: its scores mean nothing"
    ]


def test_pairs_are_those_of_the_scores_in_the_journal(tmp_path):
    add_run(tmp_path, spec_of("cag", draws=8), score=0.9)
    add_run(tmp_path, spec_of("rag-sparse", top_k=3, draws=8), score=0.5, seconds=0.2)
    made = contests_of(tmp_path)[0]
    assert [candidate.name for candidate in made.candidates] == ["cag", "rag-sparse top-3"]
    assert made.pairs[0, 1].difference == pytest.approx(0.4)
    assert (made.units, made.questions) == (8, 32)
    assert decide(made, Terms()).kind == "best"


def test_who_is_out_and_why(tmp_path):
    add_run(tmp_path, spec_of("cag"))
    add_run(tmp_path, spec_of("full-context"))
    add_run(tmp_path, spec_of("oracle"))
    add_run(tmp_path, spec_of("closed-book"), answered=5)
    add_run(tmp_path, spec_of("rag-sparse", top_k=1), score=None)
    add_run(tmp_path, spec_of("rag-sparse", top_k=3), questions=5)
    add_run(tmp_path, spec_of("rag-sparse", top_k=5), scorers={"em": "em:other"})
    made = contests_of(tmp_path)[0]
    assert unfit(made) == {
        "closed-book": "incomplete: 5 of 8 questions answered",
        "oracle": "reads the gold evidence: a ceiling, not a system to use",
        "full-context": "",
        "cag": "",
        "rag-sparse top-1": "no em yet: rmtbench score makes it",
        "rag-sparse top-3": "asked other questions (10 in 2 draws)",
        "rag-sparse top-5": "em made by another scorer",
    }
    assert len(made.pairs) == 1


def rewritten(folder, change):
    """Change every row of a run's answers, given its number."""
    rows = [json.loads(line) for line in folder.answers.read_text().splitlines()]
    folder.answers.write_text("".join(json.dumps(row | change(number)) + "\n" for number, row in enumerate(rows)))


@pytest.mark.parametrize(
    ("at_once", "failed", "warmups", "reason"),
    [
        ({}, 0, 1, "no timed answer, only warm-ups: ask more than 1 question, or more draws"),
        ({"batch": 8}, 0, 8, "no timed answer, only warm-ups: ask more than 8 questions, or more draws"),
        (
            {"settings": (("concurrency", "16"),)},
            2,
            8,
            "no timed answer, only warm-ups: ask more than 16 questions, or more draws",
        ),
        ({}, 8, 1, "every answer failed"),
        ({}, 7, 1, "no timed answer: all but the warm-up answers failed"),
    ],
)
def test_without_a_timed_answer_it_says_what_to_ask(tmp_path, at_once, failed, warmups, reason):
    questions = 1 if warmups == 1 and not failed else 8
    folder = add_run(tmp_path, spec_of("cag", draws=1, **at_once), questions=questions, failed=failed)
    rewritten(folder, lambda number: {"warmup": number < warmups})
    assert list(unfit(contests_of(tmp_path)[0]).values()) == [reason]


def test_in_a_batch_the_wait_is_the_whole_batchs(tmp_path):
    add_run(tmp_path, spec_of("cag", batch=4), seconds=0.5)
    one = contests_of(tmp_path)[0].candidates[0]
    assert (one.seconds, one.slow) == (pytest.approx(0.5), pytest.approx(2.0))


def test_no_batch_is_larger_than_a_draws_questions(tmp_path):
    add_run(tmp_path, spec_of("cag", batch=16), seconds=0.5, questions=3)
    assert contests_of(tmp_path)[0].candidates[0].slow == pytest.approx(1.5)


def test_the_last_batch_of_a_draw_counts_only_its_own_questions(tmp_path):
    folder = add_run(tmp_path, spec_of("cag", batch=4, draws=1), seconds=2.0, questions=5)
    rewritten(folder, lambda number: {"warmup": number < 4})  # a batch of four, and one question alone
    assert contests_of(tmp_path)[0].candidates[0].slow == pytest.approx(2.0)


def test_the_last_round_of_a_server_takes_as_long_as_others(tmp_path):
    add_run(tmp_path, spec_of("cag", settings=(("concurrency", "8"),)), seconds=0.4, questions=9)
    assert contests_of(tmp_path)[0].candidates[0].seconds == pytest.approx(2 * 0.4 / 9)


def test_concurrent_questions_share_server_and_time(tmp_path):
    add_run(tmp_path, spec_of("cag", settings=(("concurrency", "8"),)), seconds=0.4, questions=16)
    one = contests_of(tmp_path)[0].candidates[0]
    assert (one.seconds, one.slow) == (pytest.approx(0.05), pytest.approx(0.4))


def test_no_more_questions_share_the_server_than_a_draw_has(tmp_path):
    add_run(tmp_path, spec_of("cag", settings=(("concurrency", "16"),)), seconds=0.4, questions=2)
    assert contests_of(tmp_path)[0].candidates[0].seconds == pytest.approx(0.2)


def test_a_server_s_warming_calls_are_charged_as_preparation(tmp_path):
    add_run(tmp_path, spec_of("cag"), counts={"warming_prompt_tokens": 21_000})
    run = contests_of(tmp_path)[0].candidates[0]
    assert run.prepared_tokens == pytest.approx(21_000)


def test_tokens_read_while_preparing_are_charged(tmp_path):
    add_run(tmp_path, spec_of("rmt-memory"), counts={"segments": 165, "read_tokens": 21_107})
    assert contests_of(tmp_path)[0].candidates[0].prepared_tokens == 21_107.0


def test_what_a_cache_holds_was_read_once(tmp_path):
    add_run(tmp_path, spec_of("cag"))
    one = contests_of(tmp_path)[0].candidates[0]
    assert one.tokens == (20.0, 21_000.0, 3.0)
    assert one.prepared_tokens == 21_000.0


def test_who_was_not_judged_is_told_how_to_be(tmp_path):
    add_run(tmp_path, spec_of("cag"))
    [made] = contests_of(tmp_path, "judged")
    assert unfit(made) == {"cag": "no judged yet: rmtbench score --judge MODEL makes it"}
