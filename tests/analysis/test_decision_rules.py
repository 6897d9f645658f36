"""Which system is best, by how much, how surely, what would change that: the rules of docs/explanation/decision.md."""

import pytest
from decision_cases import GIB, contest

from rmtbench.analysis.decision import Terms, decide
from rmtbench.analysis.stats.power import clusters_needed, minimum_detectable_effect
from rmtbench.report.verdicts import candidates_table, verdict_lines

HIGH = [9, 8, 9, 10, 9, 8, 9, 9]
LOW = [5, 4, 6, 5, 5, 4, 6, 5]


def told(made, terms=Terms()):  # noqa: B008
    verdict = decide(made, terms)
    return verdict, verdict_lines(made, terms, verdict)


def test_a_system_that_beats_every_other_beyond_chance_is_best():
    made = contest({"cag": (HIGH, {"preparation": 10.0}), "rag": (LOW, {"seconds": 0.5})})
    verdict, lines = told(made)
    assert (verdict.kind, verdict.choice, verdict.rival, verdict.alike) == ("best", 0, 1, (0,))
    assert lines[0] == "use cag: best EM of all that fit (210 s for 200 questions)"
    assert lines[1].startswith("+0.388 EM against rag (95 % interval +0.3")
    assert "80 questions in 8 draws" in lines[1]


def test_six_draws_can_name_a_best_system_and_five_cannot():
    assert decide(contest({"a": (HIGH[:6], {}), "b": (LOW[:6], {})}), Terms()).kind == "best"
    verdict, lines = told(contest({"a": (HIGH[:5], {}), "b": (LOW[:5], {})}))
    assert (verdict.kind, verdict.units_needed, verdict.at_least) == ("more data", 1, False)
    assert lines[0].startswith("not enough data: 1 more draw would do (5 so far). a is ahead so far")


def test_of_systems_that_a_difference_that_matters_would_tell_apart_the_cheapest_is_used():
    made = contest({"cag": ([8, 7, 9, 8, 8, 7, 9, 8], {}), "rag": ([8, 7, 9, 8, 8, 7, 8, 9], {"seconds": 0.1})})
    verdict, lines = told(made, Terms(margin=0.07))
    assert (verdict.kind, verdict.choice, verdict.alike) == ("tie", 1, (1, 0))
    pair = made.pairs[0, 1]
    assert verdict.detectable == minimum_detectable_effect(pair.standard_error, 8)
    assert f"{verdict.detectable:.3f}; that matters: 0.07" in lines[3]
    assert "the cheapest (20.0 s for 200 questions)" in lines[0]


def test_without_that_power_the_number_of_draws_that_would_do_is_told():
    made = contest({"a": ([8, 3, 9, 2, 8, 7, 9, 1], {}), "b": ([3, 8, 2, 9, 6, 7, 4, 5], {"seconds": 0.1})})
    verdict, lines = told(made, Terms(margin=0.1))
    pair = made.pairs[0, 1]
    needed = clusters_needed(max(abs(pair.difference), 0.1), pair.standard_error, 8) - 8
    assert (verdict.kind, verdict.choice, verdict.units_needed) == ("more data", 0, needed)
    assert lines[0].startswith(f"not enough data: {needed} more draws would do (8 so far). a is ahead so far")
    assert decide(made, Terms(margin=0.01)).units_needed is None
    assert "more than 1,000 draws would be needed" in told(made, Terms(margin=0.01))[1][0]


def test_a_difference_that_is_surely_none_that_matters_decides_nothing():
    better = [8, 7, 9, 8, 8, 7, 9, 8, 8, 8, 7, 9]
    dear = [100 * right + 5 for right in better]
    cheap = [100 * right + number % 2 for number, right in enumerate(better)]
    made = contest({"dear": (dear, {"seconds": 5.0}), "cheap": (cheap, {"seconds": 0.2})}, questions=1000)
    pair = made.pairs[0, 1]
    assert 0 < pair.low < pair.high < 0.02
    verdict, lines = told(made)
    assert (verdict.kind, verdict.choice) == ("tie", 1)
    assert lines[0].startswith("use cheap: the cheapest")
    assert decide(made, Terms(margin=0.001)).kind == "best"


def test_a_few_questions_without_any_difference_show_no_two_systems_to_be_alike():
    few = contest({"a": ([2] * 6, {}), "b": ([2] * 6, {"seconds": 0.1})}, questions=2)
    verdict, lines = told(few)
    assert (verdict.kind, verdict.units_needed, verdict.at_least) == ("more data", 69, True)
    assert lines[0].startswith("not enough data: at least 69 more draws would do (6 so far)")
    assert decide(contest({"a": ([25] * 6, {}), "b": ([25] * 6, {})}, questions=25), Terms()).kind == "tie"


def test_preparation_that_an_earlier_run_had_done_is_marked():
    made = contest({"cag": (HIGH, {}), "rag": (LOW, {"spared": True, "preparation": 0.2})})
    table = candidates_table(made, Terms(), decide(made, Terms()))
    assert [row[4] for row in table.rows] == ["0 s", "200 ms §"]
    assert "§: without what an earlier run had done" in table.caption


def test_one_draw_says_only_that_more_are_needed():
    verdict, lines = told(contest({"a": ([9], {}), "b": ([1], {})}))
    assert (verdict.kind, verdict.units_needed, verdict.at_least, verdict.detectable) == ("more data", 5, True, None)
    assert lines[1].endswith("(no interval: one draw; 10 questions in 1 draw)")


def test_limits_keep_systems_out_and_what_they_would_need_is_told():
    made = contest({"cag": (HIGH, {"slow": 12.0, "memory": 9 * GIB}), "rag": (LOW, {"slow": 1.0})})
    verdict, lines = told(made, Terms(max_seconds=5))
    assert (verdict.kind, verdict.choice, verdict.out) == ("only", 1, ((0, "seconds"),))
    assert lines[-1] == "would change it: with 12.0 s allowed: cag (+0.388 EM against rag)"
    assert told(made, Terms(max_memory=8 * GIB))[1][-1].startswith("would change it: with 9.00 GiB allowed: cag")
    verdict, lines = told(made, Terms(max_seconds=0.5))
    assert (verdict.kind, verdict.choice) == ("none", None)
    assert lines[0] == "nothing fits the limits"
    assert len(lines) == 3


def test_a_limit_keeps_out_what_was_not_measured():
    made = contest({"a": (HIGH, {"memory": None}), "b": (LOW, {})})
    assert decide(made, Terms(max_memory=GIB)).out == ((0, "memory"),)


def test_total_cost_is_preparation_and_every_question_and_the_crossing_is_where_the_totals_meet():
    made = contest({"cag": (HIGH, {"preparation": 100.0, "seconds": 0.2}), "rag": (HIGH, {"seconds": 1.0})})
    verdict = decide(made, Terms(questions=10))
    assert verdict.costs == (102.0, 10.0)
    assert verdict.choice == 1
    change = next(change for change in verdict.changes if change.kind == "questions")
    assert (change.system, change.other, change.at) == (0, 1, 126.0)
    assert decide(made, Terms(questions=124)).choice == 1
    assert decide(made, Terms(questions=126)).choice == 0


def test_money_is_hours_and_tokens():
    tokens = (1000.0, 20_000.0, 50.0)
    made = contest({"cag": (HIGH, {"preparation": 36.0, "seconds": 0.36, "tokens": tokens})})
    terms = Terms(questions=100, price_per_hour=10, price_input=1.0, price_cached=0.1, price_output=4.0)
    hours, read = (36 + 100 * 0.36) / 3600 * 10, 20_000 * 1.0 / 1e6
    assert decide(made, terms).costs[0] == pytest.approx(hours + read + 100 * (1000 + 2000 + 200) / 1e6)


def test_acceptable_losses_are_told_from_small_to_large_each_cheaper_than_the_last():
    made = contest(
        {
            "cag": (HIGH, {"seconds": 4.0}),
            "rag-5": ([7, 7, 8, 8, 7, 7, 7, 7], {"seconds": 1.0}),
            "rag-3": (LOW, {"seconds": 2.0}),
            "closed": ([1] * 8, {"seconds": 0.5}),
        }
    )
    verdict, lines = told(made)
    losses = [change for change in verdict.changes if change.kind == "loss"]
    assert [(change.system, change.ratio) for change in losses] == [(1, 4.0), (3, 8.0)]
    assert "if 0.163 EM less is acceptable (95 %: at most 0.2" in lines[2]
    assert lines[2].endswith("rag-5, 4.00 times cheaper")


def test_an_unfit_system_is_never_chosen_and_its_reason_stands_in_the_table():
    made = contest({"oracle": (HIGH, {"unfit": "a ceiling"}), "rag": (LOW, {})})
    verdict = decide(made, Terms())
    assert (verdict.kind, verdict.choice) == ("only", 1)
    rows = candidates_table(made, Terms(), verdict).rows
    assert [row[:2] for row in rows] == [("rag", "use"), ("oracle", "a ceiling")]
    nothing = contest({"oracle": (HIGH, {"unfit": "a ceiling"})})
    assert told(nothing)[1] == ("nothing to choose from: a ceiling",)


@pytest.mark.parametrize(
    "wrong",
    [
        {"questions": 0},
        {"max_seconds": 0.0},
        {"price_per_hour": -1.0},
        {"margin": 0.0},
        {"price_input": float("nan")},
        {"max_seconds": float("inf")},
    ],
)
def test_terms_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=r"question|above zero"):
        Terms(**wrong)
