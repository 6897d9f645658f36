"""The judge in the report: its column, its agreement, its failures and its cost; and what stands beside table S3."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from report_runs import add_run, spec_of

from rmtbench.analysis.read import read_figures
from rmtbench.analysis.sections import make_grids
from rmtbench.journal.layout import RunFolder
from rmtbench.report.judge_tables import judge_tables
from rmtbench.report.write import write_report

PRICE = {"model": "grader", "currency": "USD", "source": "us", "date": "2026-01-02"}
ACCOUNT = {
    "name": "openai:grader", "identity": "ab" * 32, "prompt_version": 1, "prompt_sha256": "cd" * 32,
    "endpoint": "here:1", "served": ["grader-2026"], "answers": 8, "without_call": 0, "judged": 7, "not_judged": 1,
    "reasons": {"two replies were no verdict": 1}, "calls": 9, "asked_again": 1, "prompt_tokens": 1234,
    "output_tokens": 10, "seconds": 2.5, "cost": 0.0125, "price": PRICE,
}  # fmt: skip
VERDICTS = (1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, None)
EXACT = (1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0)


def add_judged(results: Path, system: str = "cag", prompt_tokens: int | None = None, **account: Any) -> RunFolder:
    """A run that was judged."""
    run = add_run(results, spec_of(system))
    lines = [json.loads(line) for line in run.scores.read_text().splitlines()]
    for line, verdict, em in zip(lines, VERDICTS, EXACT, strict=True):
        line["scores"] |= {"judged": verdict, "em": em, "f1": em}
    run.scores.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    summary = json.loads(run.summary.read_text())
    summary["accounts"] = {"judged": {**ACCOUNT, **account}}
    missing = "were not judged because the judge failed"
    summary["values"] = [
        {"name": "judged", "label": "judged correct", "order": 25, "of": "answers", "missing": missing}
    ]
    summary["scorers"]["judged"] = "openai:grader abab, prompt 1 cdcd"
    run.summary.write_text(json.dumps(summary))
    if prompt_tokens is not None:
        rows = [json.loads(line) for line in run.answers.read_text().splitlines()]
        for row in rows:
            row["tokens"]["prompt"] = prompt_tokens
        run.answers.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return run


def test_agreement_is_told_run_by_run_with_its_four_counts(tmp_path: Path) -> None:
    add_judged(tmp_path)
    add_run(tmp_path, spec_of("full-context"))
    agreement, _ = judge_tables(make_grids(read_figures(tmp_path))[0])
    [row] = agreement.rows
    assert row[:2] == ("small", "cag")
    assert row[4:9] == ("0.571 ±.082", "1 of 8", "0.714", "0.42", "3/1/1/2")
    assert any(
        note.startswith("judge: openai:grader abababababababab, served as grader-2026; prompt 1 cdcdcdcd")
        for note in agreement.notes
    )
    assert any(
        "1 not judged (1 time: two replies were no verdict)" in note and "mean is 0.500, as correct 0.625" in note
        for note in agreement.notes
    )


def test_cost_is_the_judges_own(tmp_path: Path) -> None:
    add_judged(tmp_path)
    _, cost = judge_tables(make_grids(read_figures(tmp_path))[0])
    [row] = cost.rows
    assert row[4:] == ("9", "1", "1,234", "10", "2.50 s", "0.0125 USD")
    assert cost.notes == ("price of grader: us, 2026-01-02",)


def test_what_has_no_price_has_no_cost(tmp_path: Path) -> None:
    add_judged(tmp_path, cost=None, price=None, prompt_tokens=None)
    _, cost = judge_tables(make_grids(read_figures(tmp_path))[0])
    assert cost.rows[0][-1] == "–"
    assert "no price is known" in cost.notes[-1]


def test_a_model_that_changed_behind_its_name_is_told(tmp_path: Path) -> None:
    add_judged(tmp_path, served=["grader-2026", "grader-2027"])
    agreement, _ = judge_tables(make_grids(read_figures(tmp_path))[0])
    assert any("changed while runs" in note for note in agreement.notes)


def test_without_a_judged_run_there_are_no_tables(tmp_path: Path) -> None:
    add_run(tmp_path, spec_of())
    assert judge_tables(make_grids(read_figures(tmp_path))[0]) == ()
    write_report(tmp_path, quick=True)
    assert "udge" not in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")


def test_the_report_has_a_column_a_note_and_both_tables(tmp_path: Path) -> None:
    add_judged(tmp_path)
    write_report(tmp_path, quick=True)
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "| judged correct |" in text
    assert "judged correct over 7 of 8 answers: the others were not judged because the judge failed" in text
    assert "### Judge: agreement with EM and F1, hotpotqa" in text
    assert "### Judge: cost, hotpotqa" in text


def test_only_judged_runs_stand_beside_published_ones(tmp_path: Path) -> None:
    add_judged(tmp_path, prompt_tokens=2_000)
    other = add_run(tmp_path, spec_of("full-context"))
    rows = [json.loads(line) for line in other.answers.read_text().splitlines()]
    for row in rows:
        row["tokens"]["prompt"] = 2_000
    other.answers.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    report = write_report(tmp_path, quick=True)
    beside = [row for row in report.records["published"] if row["table"] == "length of context"]
    assert [(row["system"], row["metric"], row["measured_score"]) for row in beside] == [("cag", "judged", 0.5714)]
