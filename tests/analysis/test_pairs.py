"""All pairs of systems on the same questions: what is told of each, and what is undefined is said to be."""

import json

from report_runs import add_run, append, spec_of

from rmtbench.analysis.pairs import compare_all
from rmtbench.analysis.run_figures import make_run_figures, values_of
from rmtbench.analysis.sections import make_grids
from rmtbench.analysis.stats.multiple import holm
from rmtbench.analysis.stats.paired import paired_differences
from rmtbench.analysis.stats.resampling import sign_flip_test
from rmtbench.journal.columns import columns_of
from rmtbench.journal.find import find_runs
from rmtbench.journal.record import read_run
from rmtbench.report.significance import matrix_table, pair_record, pairs_table


def grid_of(results):
    (grid,) = make_grids(make_run_figures(read_run(path)) for path in find_runs(results))
    return grid


def vary(folder, metric, change):
    """Change a run's scores, question by question."""
    rows = [json.loads(line) for line in folder.scores.read_text().splitlines()]
    folder.scores.unlink()
    append(folder.scores, [row | {"scores": {metric: change(place)}} for place, row in enumerate(rows)])


def test_every_pair_has_the_figures_that_its_questions_have(tmp_path):
    systems = ("full-context", "cag", "closed-book")
    for number, system in enumerate(systems):
        folder = add_run(tmp_path, spec_of(system, draws=8), questions=3)
        vary(folder, "em", lambda place, number=number: (place * (number + 2) + place // 5) % 3 % 2)
    pairs = compare_all(grid_of(tmp_path), "small", "em")
    assert [(pair.first[0].system, pair.second[0].system) for pair in pairs] == [
        ("closed-book", "full-context"), ("closed-book", "cag"), ("full-context", "cag"),
    ]  # fmt: skip
    values = {run.spec.system: values_of(columns_of(run))["em"] for run in map(read_run, find_runs(tmp_path))}
    for pair in pairs:
        first, second = (values[run[0].system] for run in (pair.first, pair.second))
        totals = [[sum(values) for values in run.values()] for run in (first, second)]
        single = paired_differences(totals, [3] * 8, seed=0)[0, 1]
        assert (pair.difference, pair.low, pair.high) == (single.difference, single.low, single.high)
        assert pair.p == sign_flip_test([[one - other] for one, other in zip(*totals, strict=True)], seed=0).p
        assert pair.detectable == single.detectable
        assert (pair.draws, pair.questions) == (8, 24)
    assert [pair.adjusted for pair in pairs] == list(holm([pair.p for pair in pairs]))
    assert any(pair.difference for pair in pairs)


def test_a_large_difference_in_many_draws_is_marked(tmp_path):
    add_run(tmp_path, spec_of("cag", draws=8), score=0.8)
    add_run(tmp_path, spec_of("closed-book", draws=8), score=0.1)
    grid = grid_of(tmp_path)
    pairs = compare_all(grid, "small", "f1")
    assert pairs[0].significant
    assert pair_record(grid, "small", pairs[0])["level"] == 0.95
    matrix = matrix_table(grid, "small", pairs)
    assert matrix.rows == (("1 closed-book", "", "−0.700★"), ("2 cag", ".008", ""))
    row = pairs_table(grid, "small", pairs).rows[0]
    assert row[:7] == ("closed-book", "cag", "−0.700★", "−0.700", "−0.700", ".008", ".008")


def test_with_one_draw_all_but_the_difference_is_undefined(tmp_path):
    for system in ("cag", "oracle"):
        add_run(tmp_path, spec_of(system, draws=1))
    grid = grid_of(tmp_path)
    pairs = compare_all(grid, "small", "f1")
    (row,) = pairs_table(grid, "small", pairs).rows
    assert row[2:] == ("0.000", *["undefined"] * 5, "1", "4")
    matrix = matrix_table(grid, "small", pairs)
    assert matrix.rows[1][1] == "?"
    assert any("with one draw nothing but the difference is defined" in note for note in matrix.notes)
    record = pair_record(grid, "small", pairs[0])
    assert [record[name] for name in ("low", "high", "level", "p", "p_holm", "detectable")] == [None] * 6


def test_fewer_than_six_draws_are_said_to_show_nothing(tmp_path):
    for system in ("cag", "oracle"):
        add_run(tmp_path, spec_of(system, draws=5))
    grid = grid_of(tmp_path)
    notes = matrix_table(grid, "small", compare_all(grid, "small", "f1")).notes
    assert any("fewer than six draws can show nothing" in note for note in notes)


def test_pairs_share_the_draws_that_both_answered(tmp_path):
    add_run(tmp_path, spec_of("cag", draws=3))
    add_run(tmp_path, spec_of("oracle", draws=2))
    (pair,) = compare_all(grid_of(tmp_path), "small", "f1")
    assert (pair.draws, pair.questions) == (2, 8)


def test_incomplete_and_unscored_runs_are_left_out_by_name(tmp_path):
    add_run(tmp_path, spec_of("cag"), answered=5)
    add_run(tmp_path, spec_of("full-context"), score=None)
    for system in ("oracle", "closed-book"):
        add_run(tmp_path, spec_of(system))
    grid = grid_of(tmp_path)
    pairs = compare_all(grid, "small", "f1")
    assert len(pairs) == 1
    (note,) = [note for note in matrix_table(grid, "small", pairs).notes if note.startswith("left out")]
    assert "cag" in note
    assert "(incomplete)" in note
    assert "(not scored)" in note


def test_runs_of_other_scorers_or_other_questions_are_no_pair(tmp_path):
    add_run(tmp_path, spec_of("cag"), scorers={"f1": "one"})
    add_run(tmp_path, spec_of("oracle"), scorers={"f1": "two"})
    add_run(tmp_path, spec_of("closed-book"), questions=3, scorers={"f1": "one"})
    assert compare_all(grid_of(tmp_path), "small", "f1") == ()
    assert matrix_table(grid_of(tmp_path), "small", ()) is None


def score_all_but(results, gone, right, **spec):
    """Runs of several systems, each all right or all wrong, and without a value for some questions by their place."""
    for system, places in gone.items():
        folder = add_run(
            results, spec_of(system, **spec), questions=3, kind=spec.get("data", "official").partition(":")[0]
        )
        score = float(system in right)
        vary(folder, "em", lambda place, places=places, score=score: None if place in places else score)


def pairs_of(results, size="small"):
    found = compare_all(grid_of(results), size, "em")
    return {(pair.first[0].system, pair.second[0].system): pair for pair in found}


def test_runs_that_lack_the_same_values_share_the_others(tmp_path):
    gone = {"closed-book": (), "full-context": (), "oracle": (0,), "cag": (0,)}
    score_all_but(tmp_path, gone, right=("oracle", "full-context"), draws=8)
    pairs = pairs_of(tmp_path)
    without = pairs["oracle", "cag"]
    assert (without.difference, without.draws, without.questions) == (1.0, 8, 23)
    whole = pairs["closed-book", "full-context"]
    assert (whole.difference, whole.draws, whole.questions) == (-1.0, 8, 24)
    mixed = pairs["closed-book", "oracle"]
    assert (mixed.difference, mixed.draws, mixed.questions) == (-1.0, 7, 21)


def test_a_draw_with_values_of_other_questions_counts_not(tmp_path):
    score_all_but(tmp_path, {"oracle": (0,), "cag": (1,)}, right=("oracle",), draws=8)
    pair = pairs_of(tmp_path)["oracle", "cag"]
    assert (pair.draws, pair.questions) == (7, 21)


def test_a_missing_value_costs_a_whole_folder_one_question(tmp_path):
    folder = {"dataset": "mine", "data": "own:mine@x", "size": "all", "draws": 1}
    score_all_but(tmp_path, {"oracle": (), "cag": (1,)}, right=("oracle",), **folder)
    pair = pairs_of(tmp_path, "all")["oracle", "cag"]
    assert (pair.unit, pair.units, pair.questions, pair.difference) == ("question", 2, 2, 1.0)
