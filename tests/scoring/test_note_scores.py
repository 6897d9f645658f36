"""Capture and retention: was the answer ever in the notes, and is it in the last ones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from report_runs import add_run, spec_of

from rmtbench.core import Answer, Gold
from rmtbench.scoring.base import Item
from rmtbench.scoring.notes import note_scores
from rmtbench.scoring.score import score_runs

NONE = {"captured": None, "retained": None}


def scores(*notes: str, heads: int = 1, references: tuple[str, ...] = ("The Old Mill",), error: str | None = None):
    finish = "stop" if error is None else "error"
    answer = Answer("q", "", finish, error=error, notes=notes, note_heads=heads)
    return note_scores(Item("squad", answer, Gold("q", references), retrieves=False))


@pytest.mark.parametrize(
    ("notes", "heads", "captured", "retained"),
    [
        (("Ada lives in an old mill.", "nothing"), 1, 1.0, 0.0),
        (("Ada lives in an old mill.", "nothing"), 2, 1.0, 1.0),
        (("nothing", "OLD MILL, Ada"), 1, 1.0, 1.0),
        (("old mill", "old mill", "x"), 2, 1.0, 1.0),
        (("old mills", "cold mill", "old"), 3, 0.0, None),
    ],
)
def test_notes_hold_a_reference_as_whole_words(
    notes: tuple[str, ...], heads: int, captured: float, retained: float | None
) -> None:
    assert scores(*notes, heads=heads) == {"captured": captured, "retained": retained}


def test_any_reference_counts_and_yes_and_no_do_not() -> None:
    assert scores("in Rome", references=("Paris", "Rome"))["captured"] == 1
    assert scores("yes", references=("yes",)) == NONE
    assert scores() == NONE, "no notes were taken"


def test_a_failed_answer_retains_nothing() -> None:
    assert scores("old mill", error="503") == {"captured": 1.0, "retained": 0.0}


def test_an_answer_that_failed_before_any_notes_captured_nothing() -> None:
    answer = Answer("q", "", "error", error="503")
    item = Item("squad", answer, Gold("q", ("The Old Mill",)), retrieves=False, takes_notes=True)
    assert note_scores(item) == {"captured": 0.0, "retained": None}
    assert note_scores(replace(item, gold=Gold("q", ("yes",)))) == NONE


def test_failed_answers_of_a_run_that_takes_notes_count(tmp_path: Path) -> None:
    for system in ("rmt-text", "cag"):
        run = add_run(tmp_path, spec_of(system), failed=8, score=None)
        score_runs([run.path], ("notes",))
        summary = json.loads(run.summary.read_text())
        assert summary["means"]["captured"] == (0.0 if system == "rmt-text" else None)
