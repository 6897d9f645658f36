"""Which system is best, by how much, how surely, what would change that: the rules of docs/explanation/decision.md."""

import pytest
from decision_cases import GIB, contest

from rmtbench.analysis.contest import Terms
from rmtbench.analysis.decision import decide, fewest_units
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
    assert lines[0] == "Use cag."
    assert lines[1].startswith("Its EM is 0.388 higher than that of rag (95 % interval +0.3")
    assert lines[2] == "cost: 210 s for 200 questions; measured on 80 questions in 8 draws"


def test_six_draws_can_name_a_best_system_and_five_cannot():
    assert decide(contest({"a": (HIGH[:6], {}), "b": (LOW[:6], {})}), Terms()).kind == "best"
    verdict, lines = told(contest({"a": (HIGH[:5], {}), "b": (LOW[:5], {})}))
    assert (verdict.kind, verdict.units_needed, verdict.at_least) == ("more data", 1, False)
    assert lines[0] == "Use a for now."
    assert lines[1].startswith("It is not proven better than b: b could be as good, or up to 0.")
    assert lines[2].startswith("to settle it: About 1 more draw (5 so far), if the differences and their spread stay")


def test_cheapest_of_equivalent_systems_is_used():
    made = contest({"cag": ([8, 7, 9, 8, 8, 7, 9, 8], {}), "rag": ([8, 7, 9, 8, 8, 7, 8, 9], {"seconds": 0.1})})
    verdict, lines = told(made, Terms(margin=0.07))
    assert (verdict.kind, verdict.choice, verdict.alike) == ("tie", 1, (1, 0))
    pair = made.pairs[0, 1]
    assert verdict.detectable == minimum_detectable_effect(pair.standard_error, 8)
    assert lines[:2] == (
        "Use rag.",
        "It costs the least of those that are as good: no difference of 0.07 or more in EM from cag is likely.",
    )
    assert lines[2].startswith("cost: 20.0 s for 200 questions")
    shown = f"{verdict.detectable:.3f}"
    assert lines[3] == f"difference that this data would show: {shown}; difference that matters: 0.07"


def test_draws_needed_for_power_are_stated():
    made = contest({"a": ([8, 3, 9, 2, 8, 7, 9, 1], {}), "b": ([3, 8, 2, 9, 6, 7, 4, 5], {"seconds": 0.1})})
    verdict, lines = told(made, Terms(margin=0.1))
    pair = made.pairs[0, 1]
    needed = clusters_needed(max(abs(pair.difference), 0.1), pair.standard_error, 8) - 8
    assert (verdict.kind, verdict.choice, verdict.units_needed) == ("more data", 0, needed)
    assert lines[2].startswith(f"to settle it: About {needed} more draws (8 so far), if the differences")
    assert decide(made, Terms(margin=0.01)).units_needed is None
    assert "More than 1,000 draws would be needed to tell: choose by cost." in told(made, Terms(margin=0.01))[1][2]


def test_difference_surely_too_small_decides_nothing():
    better = [8, 7, 9, 8, 8, 7, 9, 8, 8, 8, 7, 9]
    dear = [100 * right + 5 for right in better]
    cheap = [100 * right + number % 2 for number, right in enumerate(better)]
    made = contest({"dear": (dear, {"seconds": 5.0}), "cheap": (cheap, {"seconds": 0.2})}, questions=1000)
    pair = made.pairs[0, 1]
    assert 0 < pair.low < pair.high < 0.02
    verdict, lines = told(made)
    assert (verdict.kind, verdict.choice) == ("tie", 1)
    assert lines[1].startswith("It costs the least of those that are as good")
    assert decide(made, Terms(margin=0.001)).kind == "best"


def test_few_equal_questions_show_no_equivalence():
    few = contest({"a": ([2] * 6, {}), "b": ([2] * 6, {"seconds": 0.1})}, questions=2)
    verdict, lines = told(few)
    assert (verdict.kind, verdict.units_needed, verdict.at_least) == ("more data", 69, True)
    assert lines[2] == "to settle it: At least 69 more draws (6 so far): some differences have not varied yet."
    assert decide(contest({"a": ([25] * 6, {}), "b": ([25] * 6, {})}, questions=25), Terms()).kind == "tie"


def test_a_whole_difference_in_every_draw_needs_the_fewest():
    always = contest({"a": ([2] * 2, {}), "b": ([0] * 2, {})}, questions=2)
    verdict = decide(always, Terms())
    assert (verdict.kind, verdict.units_needed, verdict.at_least) == ("more data", 4, True)
    assert decide(contest({"a": ([2] * 6, {}), "b": ([0] * 6, {})}, questions=2), Terms()).kind == "best"


def test_preparation_that_an_earlier_run_had_done_is_marked():
    made = contest({"cag": (HIGH, {}), "rag": (LOW, {"spared": True, "preparation": 0.2})})
    table = candidates_table(made, Terms(), decide(made, Terms()))
    assert [row[4] for row in table.rows] == ["0 s", "200 ms §"]
    assert "§: without what an earlier run had done" in table.caption


def test_one_draw_says_only_that_more_are_needed():
    verdict, lines = told(contest({"a": ([9], {}), "b": ([1], {})}))
    assert (verdict.kind, verdict.units_needed, verdict.at_least, verdict.detectable) == ("more data", 5, True, None)
    assert lines[1] == "No other has a higher EM, but one draw cannot prove it better than b."
    assert lines[2].endswith("5 more draws (1 so far): fewer than 6 draws cannot prove anything.")


def test_limits_leave_systems_out_and_name_what_they_need():
    made = contest({"cag": (HIGH, {"slow": 12.0, "memory": 9 * GIB}), "rag": (LOW, {"slow": 1.0})})
    verdict, lines = told(made, Terms(max_seconds=5))
    assert (verdict.kind, verdict.choice, verdict.out) == ("only", 1, ((0, "seconds"),))
    assert lines[-1] == "would change it: with 12.0 s allowed: cag (+0.388 EM against rag)"
    assert told(made, Terms(max_memory=8 * GIB))[1][-1].startswith("would change it: with 9.00 GiB allowed: cag")
    verdict, lines = told(made, Terms(max_seconds=0.5))
    assert (verdict.kind, verdict.choice) == ("none", None)
    assert lines[0] == "Nothing fits the limits."
    assert len(lines) == 3


def test_only_a_limit_that_suffices_would_change_it():
    made = contest({"cag": (HIGH, {"slow": 12.0, "memory": 9 * GIB}), "rag": (LOW, {"slow": 1.0})})
    assert told(made, Terms(max_seconds=5, max_memory=8 * GIB))[0].changes == ()


def test_a_limit_keeps_out_what_was_not_measured():
    made = contest({"a": (HIGH, {"memory": None}), "b": (LOW, {})})
    assert decide(made, Terms(max_memory=GIB)).out == ((0, "memory"),)


def test_total_cost_crosses_where_totals_meet():
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


def test_acceptable_losses_are_listed_small_to_large():
    made = contest(
        {
            "cag": (HIGH, {"seconds": 4.0}),
            "rag-5": ([9, 8, 8, 9, 9, 8, 8, 9], {"seconds": 1.0}),
            "rag-4": ([8, 8, 8, 9, 9, 8, 8, 8], {"seconds": 1.5}),
            "rag-3": ([9, 8, 8, 8, 8, 8, 8, 9], {"seconds": 0.5}),
        }
    )
    verdict, lines = told(made)
    losses = [change for change in verdict.changes if change.kind == "loss"]
    assert [(change.system, change.ratio) for change in losses] == [(1, 4.0), (3, 8.0)]
    (line, _) = [line for line in lines if "less is acceptable" in line]
    assert "if 0.037 EM less is acceptable (95 %: at most 0." in line
    assert line.endswith("rag-5, 4.00 times cheaper")


@pytest.mark.parametrize(
    "cheap",
    [
        pytest.param((LOW, {"seconds": 0.01}), id="a loss of four tenths"),
        pytest.param(([0] * 8, {"seconds": 0.001}), id="a loss of everything"),
        pytest.param(([8, 8, 8, 9, 9, 8, 8, 9], {"seconds": 3.9}), id="a saving of nothing"),
    ],
)
def test_no_loss_is_told_that_nobody_would_take(cheap):
    made = contest({"cag": (HIGH, {"seconds": 4.0}), "cheap": cheap})
    assert not [line for line in told(made)[1] if "acceptable" in line]


def test_a_number_of_questions_that_nobody_asks_is_not_told():
    made = contest({"cag": (HIGH, {"preparation": 1e6, "seconds": 0.9}), "rag": (HIGH, {"seconds": 1.0})})
    assert not [line for line in told(made)[1] if "costs less" in line]
    assert [line for line in told(made, Terms(questions=10**6))[1] if "costs less" in line]


def test_all_pairs_need_more_draws_to_show_anything():
    rights = {"a": ([9] * 6, {}), "b": ([3] * 6, {}), "c": ([2] * 6, {})}
    few, all_pairs = contest(rights), contest(rights, all_pairs=True)
    assert (fewest_units(few), fewest_units(all_pairs)) == (6, 7)
    assert decide(few, Terms()).kind == "best"
    verdict = decide(all_pairs, Terms())
    assert (verdict.kind, verdict.comparisons, [each.p for each in verdict.standings]) == (
        "more data", 3, [0.09375, 0.09375]
    )  # fmt: skip


def test_an_interval_holds_zero_unless_the_test_excludes_it():
    rights = {"a": ([9] * 6, {}), "b": ([3, 4, 3, 4, 3, 4], {}), "c": ([2, 1, 2, 1, 2, 1], {})}
    made = contest(rights, all_pairs=True)
    assert all(made.pairs[pair].low > 0 for pair in ((0, 1), (0, 2)))
    for each in decide(made, Terms()).standings:
        assert (each.state, each.low) == ("unknown", 0.0)
    assert all(each.low > 0 for each in decide(contest(rights), Terms()).standings)


def test_all_pairs_are_a_larger_family_of_tests():
    rights = {"a": ([9] * 7, {}), "b": ([5] * 7, {}), "c": ([4] * 7, {})}
    assert decide(contest(rights), Terms()).kind == "best"
    verdict = decide(contest(rights, all_pairs=True), Terms())
    assert (verdict.kind, verdict.comparisons) == ("best", 3)
    assert [each.p for each in verdict.standings] == [0.046875, 0.046875]
    assert [each.p for each in decide(contest(rights), Terms()).standings] == [0.015625, 0.015625]


def test_unfit_system_is_never_chosen_and_reason_stands_in_table():
    made = contest({"oracle": (HIGH, {"unfit": "a ceiling"}), "rag": (LOW, {})})
    verdict = decide(made, Terms())
    assert (verdict.kind, verdict.choice) == ("only", 1)
    rows = candidates_table(made, Terms(), verdict).rows
    assert [row[:2] for row in rows] == [("rag", "use"), ("oracle", "a ceiling")]
    assert told(made)[1][:2] == ("Use rag.", "There is no other system to choose from.")
    nothing = contest({"oracle": (HIGH, {"unfit": "a ceiling"})})
    assert told(nothing)[1] == ("Nothing to choose from: a ceiling.",)


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


def test_a_difference_that_matters_is_never_as_good():
    base = [500] * 6
    made = contest({"a": ([500 + more for more in (30, 30, 30, 30, 30, -1)], {}), "b": (base, {})}, questions=1000)
    verdict = decide(made, Terms())
    [standing] = verdict.standings
    assert standing.detectable < 0.02 < standing.difference
    assert (verdict.kind, standing.state, verdict.units_needed) == ("more data", "unknown", 1)


def test_a_constant_difference_that_holm_hides_is_unproven():
    base = [50, 51, 49, 50, 52, 48]
    systems = {name: ([right - less for right in base], {}) for name, less in (("a", 0), ("b", 5), ("c", 6), ("d", 7))}
    verdict = decide(contest(systems, questions=100, all_pairs=True), Terms())
    assert {each.state for each in verdict.standings} == {"unknown"}
    assert (verdict.kind, verdict.units_needed) == ("more data", 2)


def test_a_margin_next_to_nothing_is_decided():
    made = contest({"a": ([5] * 6, {}), "b": ([5] * 6, {})})
    assert decide(made, Terms(margin=1e-17)).kind == "more data"
