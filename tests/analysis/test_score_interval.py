"""Which interval a score has: by draw where there are several, else exact or by question."""

import json

import pytest
from report_runs import add_run, spec_of

from rmtbench.analysis.read import read_figures
from rmtbench.analysis.score_interval import score_interval
from rmtbench.analysis.stats.intervals import estimate_mean
from rmtbench.analysis.stats.proportion import exact_interval

WHOLE = {"dataset": "town", "size": "all", "data": "own:town:dd44"}


def interval_of(results, draws, *, metric="em", **fields):
    """The interval of a run with these values in its draws."""
    spec = spec_of("cag", draws=len(draws), **fields)
    folder = add_run(results, spec, questions=len(draws[0]), kind=spec.data.partition(":")[0])
    rows = [json.loads(line) for line in folder.scores.read_text().splitlines()]
    values = [value for draw in draws for value in draw]
    rows = [row | {"scores": {metric: float(value)}} for row, value in zip(rows, values, strict=True)]
    folder.scores.write_text("".join(json.dumps(row) + "\n" for row in rows))
    if fields.get("size") == "all":
        for path in (folder.gold, folder.answers, folder.scores):
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            named = [row | {"question_id": f"q{row['question_id'].partition('-')[2]}"} for row in lines]
            path.write_text("".join(json.dumps(row) + "\n" for row in named))
    [run] = read_figures(results)
    return score_interval(run, metric)


def test_several_draws_have_the_clustered_interval(tmp_path):
    draws = [[1, 1, 0, 1], [0, 1, 0, 0], [1, 1, 1, 1]]
    found, known = interval_of(tmp_path, draws), estimate_mean(draws)
    assert found == (pytest.approx(max(0.0, known.low)), pytest.approx(min(1.0, known.high)))


def test_all_right_in_every_draw_is_one_trial_a_draw(tmp_path):
    found = interval_of(tmp_path, [[1, 1]] * 6)
    assert found == exact_interval(6, 6)


def test_the_same_share_in_every_draw_is_judged_by_question(tmp_path):
    found = interval_of(tmp_path, [[1, 0, 1, 0]] * 3)
    assert found == exact_interval(6, 12)


def test_one_draw_has_the_exact_interval_of_its_questions(tmp_path):
    found = interval_of(tmp_path, [[1] * 19 + [0] * 5])
    assert found == exact_interval(19, 24)


def test_one_draw_of_values_between_has_the_interval_of_a_mean(tmp_path):
    values = [0.2, 0.9, 0.5, 1.0, 0.3, 0.6]
    found, known = interval_of(tmp_path, [values], metric="f1"), estimate_mean([[value] for value in values])
    assert found == (pytest.approx(known.low), pytest.approx(min(1.0, known.high)))


@pytest.mark.parametrize("draws", [[[40, 55, 31, 62]], [[40, 55], [31, 62], [52, 48]]])
def test_values_of_another_scale_are_not_cut_at_one(tmp_path, draws):
    found = interval_of(tmp_path, draws, metric="words")
    known = estimate_mean(draws if len(draws) > 1 else [[value] for value in draws[0]])
    assert found == (pytest.approx(known.low), pytest.approx(known.high))


def test_values_between_that_do_not_vary_have_no_interval(tmp_path):
    assert interval_of(tmp_path, [[0.4] * 5], metric="f1") is None


@pytest.mark.parametrize("repeats", [1, 3])
def test_questions_about_whole_documents_count_once(tmp_path, repeats):
    found = interval_of(tmp_path, [[1] * 10 + [0] * 2] * repeats, **WHOLE)
    assert found == exact_interval(10, 12)


def test_an_unfinished_run_has_no_interval(tmp_path):
    add_run(tmp_path, spec_of("cag"), answered=5)
    [run] = read_figures(tmp_path)
    assert score_interval(run, "em") is None


def test_another_scale_without_variation_has_no_interval(tmp_path):
    assert interval_of(tmp_path, [[0, 2]] * 6, metric="words") is None
