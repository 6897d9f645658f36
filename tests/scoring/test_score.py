"""Scoring runs together: what stands is left alone, and what different scorers made is made alike."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from report_runs import add_run, spec_of

from rmtbench.errors import UserError
from rmtbench.journal.layout import RunFolder
from rmtbench.journal.packed import pack
from rmtbench.scoring.score import score_runs

METRICS = ("em", "f1")


@pytest.fixture
def runs(tmp_path: Path) -> list[RunFolder]:
    """Two runs that are scored alike."""
    found = [add_run(tmp_path, spec_of(system), score=None) for system in ("cag", "full-context")]
    score_runs([run.path for run in found], METRICS)
    return found


def scorers_of(run: RunFolder) -> dict[str, str]:
    return json.loads(run.summary.read_text())["scorers"]


def scored_earlier(run: RunFolder, name: str) -> None:
    """Have one value be made by an earlier scorer."""
    summary = json.loads(run.summary.read_text())
    summary["scorers"][name] = "an earlier one"
    run.summary.write_text(json.dumps(summary))


def test_runs_by_different_scorers_are_made_alike(runs: list[RunFolder]) -> None:
    usual = scorers_of(runs[0])
    scored_earlier(runs[0], "f1")
    score_runs([run.path for run in runs], METRICS)
    assert [scorers_of(run) for run in runs] == [usual, usual]


def test_runs_by_one_earlier_scorer_are_left_alone(runs: list[RunFolder]) -> None:
    for run in runs:
        scored_earlier(run, "f1")
    score_runs([run.path for run in runs], METRICS)
    assert {scorers_of(run)["f1"] for run in runs} == {"an earlier one"}


def test_a_packed_run_by_another_scorer_stands(runs: list[RunFolder]) -> None:
    scored_earlier(runs[0], "f1")
    pack(runs[0].path)
    before = runs[1].summary.read_bytes()
    score_runs([run.path for run in runs], METRICS)
    assert runs[1].summary.read_bytes() == before


def test_a_data_set_that_is_gone_is_not_scored_by_other_rules(tmp_path: Path) -> None:
    gone = add_run(tmp_path, spec_of(dataset="gone", data="embedded:gone:dd44"), kind="embedded", score=None)
    own = add_run(tmp_path, spec_of(dataset="gone", data="own:gone:dd44"), kind="own", score=None)
    with pytest.raises(UserError, match="data set 'gone' is not known here") as refused:
        score_runs([gone.path], METRICS)
    assert "install the package that it came from" in refused.value.remedy
    assert not gone.scores.exists()
    assert score_runs([own.path], METRICS) == []
