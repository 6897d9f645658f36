"""A judge beside exact match and F1: which answers count, how often they agree, and the bounds of the mean."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from report_runs import add_run, spec_of

from rmtbench.analysis.judging import Agreement, judged_run
from rmtbench.analysis.run_figures import make_run_figures
from rmtbench.errors import UserError
from rmtbench.journal.columns import columns_of
from rmtbench.journal.record import read_run

ACCOUNT = {
    "name": "openai:grader", "identity": "ab" * 32, "reasons": {"two replies were no verdict": 1}, "prompt_version": 1,
    "prompt_sha256": "cd" * 32, "served": ["grader-2026"], "calls": 9, "asked_again": 1, "prompt_tokens": None,
    "output_tokens": None, "seconds": 2.5, "cost": None, "price": None,
}  # fmt: skip


def judged(results: Path, rows: list[tuple[float | None, float, float]], failed: int = 0) -> Path:
    """A run of eight answers with a judge's value, EM and F1 of each, of which the last so many failed."""
    run = add_run(results, spec_of(), failed=failed)
    lines = [json.loads(line) for line in run.scores.read_text().splitlines()]
    for line, (verdict, em, f1) in zip(lines, rows, strict=True):
        line["scores"] = {"em": em, "f1": f1, "judged": verdict}
    run.scores.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    summary = json.loads(run.summary.read_text())
    summary["accounts"] = {"judged": ACCOUNT}
    run.summary.write_text(json.dumps(summary))
    return run.path


ROWS = [
    (1.0, 1.0, 1.0), (1.0, 0.0, 0.5), (1.0, 0.0, 0.4), (0.0, 1.0, 1.0), (0.0, 0.0, 0.0), (None, 1.0, 1.0),
    (0.0, 0.0, 0.0), (0.0, 0.0, 0.0),
]  # fmt: skip


def test_answers_are_counted_by_judge_and_metric(tmp_path: Path) -> None:
    found = judged_run(columns_of(read_run(judged(tmp_path, ROWS, failed=1))))
    assert (found.correct, found.incorrect, found.not_judged) == (3, 4, 1)
    # Neither the answer that was not judged nor the failed one says anything of agreement.
    assert found.agreement["em"] == Agreement(both=1, judge=2, metric=1, neither=2)
    assert found.agreement["f1"] == Agreement(both=2, judge=1, metric=1, neither=2), "F1 counts as right from 0.5 on"


def test_the_mean_is_over_verdicts_bounds_over_all_answers(tmp_path: Path) -> None:
    figures = make_run_figures(read_run(judged(tmp_path, ROWS, failed=1)))
    assert figures.judging.mean == figures.summary.means["judged"] == pytest.approx(3 / 7)
    assert figures.judging.bounds == (3 / 8, 4 / 8)
    assert figures.summary.applicable["judged"] == 7


def test_a_run_that_was_not_judged_has_no_judgements(tmp_path: Path) -> None:
    assert judged_run(columns_of(read_run(add_run(tmp_path, spec_of()).path))) is None


@pytest.mark.parametrize(
    "accounts",
    [[], {"judged": 7}, {"judged": {}}, {"judged": {**ACCOUNT, "calls": "many"}}, {"judged": {**ACCOUNT, "price": {}}}],
)
def test_a_damaged_account_is_named_and_can_be_made_again(tmp_path: Path, accounts: object) -> None:
    path = judged(tmp_path, ROWS)
    summary = json.loads((path / "summary.json").read_text())
    (path / "summary.json").write_text(json.dumps({**summary, "accounts": accounts}))
    with pytest.raises(UserError, match="damaged row") as caught:
        make_run_figures(read_run(path))
    assert "summary.json" in caught.value.where


def test_without_a_verdict_there_is_no_mean(tmp_path: Path) -> None:
    found = judged_run(columns_of(read_run(judged(tmp_path, [(None, 1.0, 1.0)] * 8))))
    assert (found.mean, found.bounds) == (None, (0.0, 1.0))
    assert (found.agreement["em"].rate, found.agreement["em"].kappa) == (None, None)


@pytest.mark.parametrize(
    ("counts", "rate", "kappa"),
    [
        # Cohen (1960) by hand: 20 + 15 of 50 alike; by chance .5 * .6 + .5 * .4 = .5.
        ((20, 5, 10, 15), 0.7, 0.4),
        ((25, 0, 0, 25), 1.0, 1.0),
        ((0, 25, 25, 0), 0.0, -1.0),
        ((25, 25, 25, 25), 0.5, 0.0),
        ((45, 5, 0, 0), 0.9, None),
        ((45, 0, 5, 0), 0.9, None),
        ((50, 0, 0, 0), 1.0, None),
        ((0, 0, 0, 0), None, None),
    ],
)
def test_kappa_is_agreement_beyond_chance(counts: tuple[int, ...], rate: float | None, kappa: float | None) -> None:
    found = Agreement(*counts)
    assert found.rate == rate
    assert found.kappa == (None if kappa is None else pytest.approx(kappa))


def test_kappa_is_symmetric() -> None:
    assert Agreement(7, 3, 2, 9).kappa == Agreement(7, 2, 3, 9).kappa == Agreement(9, 3, 2, 7).kappa


def test_kappa_is_that_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    judge = [1] * 31 + [1] * 4 + [0] * 7 + [0] * 18
    metric = [1] * 31 + [0] * 4 + [1] * 7 + [0] * 18
    assert Agreement(31, 4, 7, 18).kappa == pytest.approx(metrics.cohen_kappa_score(judge, metric))
