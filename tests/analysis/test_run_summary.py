"""A run's figures, worked out by hand."""

import pytest
from journal_runs import answer, append, write_run

from rmtbench.analysis.run_figures import summarize, values_of
from rmtbench.core import Prepared
from rmtbench.journal.columns import columns_of
from rmtbench.journal.record import read_run
from rmtbench.journal.rows import prepared_to_row

ANSWERS = {
    (0, "q0"): answer("q0", 100.0, warmup=True),
    (0, "q1"): answer("q1", 1.0, finish="length"),
    (1, "q0"): answer("q0", 3.0, text=" "),
    (1, "q1"): answer("q1", 50.0, text="", finish="error", error="out of memory"),
}


def scored(folder, rows):
    append(
        folder.scores, *({"draw": draw, "question_id": name, "scores": scores} for (draw, name), scores in rows.items())
    )
    return read_run(folder.path)


def test_counts_say_what_became_of_every_question(tmp_path):
    summary = summarize(read_run(write_run(tmp_path, ANSWERS).path))
    assert (summary.expected, summary.answered, summary.errors) == (4, 4, 1)
    assert (summary.cut_off, summary.empty, summary.draws) == (1, 2, 2)
    assert (summary.documents, summary.corpus_tokens) == (2, 100.5)


def test_times_leave_out_the_warm_up_and_the_failed_answer(tmp_path):
    summary = summarize(read_run(write_run(tmp_path, ANSWERS).path))
    assert summary.timed == 2
    assert summary.mean_seconds["total"] == summary.median_seconds["total"] == 2.0
    assert summary.p90_seconds["total"] == pytest.approx(1.0 + 0.9 * 2.0)
    assert summary.median_seconds["decode"] == 1.0
    assert summary.median_seconds["retrieve"] == 0.0


def test_times_of_no_answer_are_missing_and_not_zero(tmp_path):
    summary = summarize(read_run(write_run(tmp_path, {(0, "q0"): ANSWERS[0, "q0"]}).path))
    assert summary.timed == 0
    assert set(summary.median_seconds.values()) == set(summary.p90_seconds.values()) == {None}


def test_a_metric_that_was_never_scored_is_absent(tmp_path):
    assert summarize(read_run(write_run(tmp_path, ANSWERS).path)).means == {}


def test_unanswered_question_stays_in_denominator_as_zero(tmp_path):
    run = scored(write_run(tmp_path, {}), {(0, "q0"): {"em": 1.0}, (0, "q1"): {"em": 1.0, "f1": 0.5}})
    summary = summarize(run)
    assert summary.means == {"em": 2 / 4, "f1": 0.5 / 4}
    assert summary.applicable == {"em": 4, "f1": 4}


def test_question_without_metric_leaves_denominator(tmp_path):
    run = scored(write_run(tmp_path, {}), {(draw, name): {"recall": None if draw else 0.5} for draw, name in ANSWERS})
    summary = summarize(run)
    assert (summary.means, summary.applicable) == ({"recall": 0.5}, {"recall": 2})


def test_metric_that_applies_nowhere_is_not_zero(tmp_path):
    run = scored(write_run(tmp_path, {}), {(0, "q0"): {"em": 1.0, "recall": None}})
    summary = summarize(run)
    assert summary.means == {"em": 0.25, "recall": None}
    assert summary.applicable["recall"] == 0


def test_values_are_kept_by_draw(tmp_path):
    run = scored(write_run(tmp_path, {}), {(0, "q0"): {"em": 1.0}, (1, "q1"): {"em": 0.5}})
    assert values_of(columns_of(run))["em"] == {0: [1.0, 0.0], 1: [0.0, 0.5]}


def test_preparation_is_the_first_one_of_each_draw(tmp_path):
    folder = write_run(tmp_path, ANSWERS)
    append(folder.prepared, prepared_to_row(Prepared({"load": 9.0}, 999, 1), 0, 1))
    summary = summarize(read_run(folder.path))
    assert summary.prepare_seconds == {"tokenize": 1.0, "prefill": 2.5}
    assert summary.kept_bytes == 64


def test_a_run_without_anything_has_no_figures(tmp_path):
    folder = write_run(tmp_path, {})
    for path in (folder.corpora, folder.gold, folder.prepared):
        path.unlink()
    summary = summarize(read_run(folder.path))
    assert (summary.documents, summary.corpus_tokens, summary.kept_bytes) == (None, None, None)
    assert (summary.expected, summary.prepare_seconds) == (0, {})
