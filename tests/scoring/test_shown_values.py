"""What the report shows of scored runs: columns where they tell something, and which answers have no score."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_runs import add_run, spec_of

from rmtbench.analysis.metrics import names_to_decide_by
from rmtbench.analysis.read import read_figures
from rmtbench.analysis.sections import make_grids
from rmtbench.journal.layout import RunFolder
from rmtbench.journal.packed import pack
from rmtbench.journal.record import read_run
from rmtbench.report.tables import Table, score_table
from rmtbench.scoring import score
from rmtbench.scoring.score import score_runs


def scored(results: Path, answer: str, *metrics: str, times: int = -1) -> tuple[RunFolder, Table]:
    """A run whose answers are an answer in place of the right one, and its table 2.

    Args:
        results: Where it lies.
        answer: What it says.
        metrics: How it is scored.
        times: How many of its answers; -1 for all.
    """
    run = add_run(results, spec_of(), score=None)
    lines = run.answers.read_text(encoding="utf-8")
    run.answers.write_text(lines.replace('"text":"blue"', f'"text":"{answer}"', times), encoding="utf-8")
    score_runs([run.path], metrics or None)
    return run, score_table(make_grids(read_figures(results))[0])


def test_any_script_columns_show_where_they_differ(tmp_path: Path) -> None:
    metrics = ("em", "f1", "any_script")
    _, alike = scored(tmp_path / "alike", "Blue.", *metrics)
    assert alike.columns[3:7] == ("EM", "F1", "MiniLM cosine", "BERTScore F1")
    _, other = scored(tmp_path / "other", "blue。", *metrics)
    assert other.columns[3:7] == ("EM", "F1", "EM, any script", "F1, any script")
    assert [cell.split()[0] for cell in other.rows[0][3:7]] == ["0.000", "0.000", "1.000", "1.000"]


def test_one_may_decide_by_what_has_no_column(tmp_path: Path) -> None:
    scored(tmp_path, "blue", "em", "f1", "any_script")
    names = names_to_decide_by(read_figures(tmp_path))
    assert names == ["em", "f1", "em_unicode", "f1_unicode", "minilm_cosine", "bertscore_f1", "recall"]


def test_a_note_counts_the_answers_that_a_vocabulary_knows(tmp_path: Path) -> None:
    run, table = scored(tmp_path, "🙂", "minilm_cosine", times=5)
    told = "MiniLM cosine over 3 of 8 answers: the others are in characters that its vocabulary does not know"
    assert f"small cag (run {run.path.name[-8:]}): {told}" in table.notes


def test_scores_without_their_summary_are_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an interruption between the two files leaves is not taken for what was scored before."""
    run, _ = scored(tmp_path, "blue", "em")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(score, "_write_summary", interrupted)
        with pytest.raises(KeyboardInterrupt):
            score_runs([run.path], ("f1",))
    score_runs([run.path], ("em",))
    assert {name for row in read_run(run.path).scores.values() for name in row} == {"em"}


def test_a_packed_run_is_left_with_the_scores_that_it_has(tmp_path: Path) -> None:
    run, _ = scored(tmp_path, "blue", "em")
    packed = pack(run.path).read_bytes()
    score_runs([run.path])
    assert run.path.with_name(run.path.name + ".zip").read_bytes() == packed


def test_capture_and_retention_show_where_notes_were_taken(tmp_path: Path) -> None:
    _, without = scored(tmp_path / "without", "blue", "em", "notes")
    assert "captured" not in without.columns
    run = add_run(tmp_path / "with", spec_of(), score=None)
    lines = run.answers.read_text(encoding="utf-8").splitlines()
    # Notes of two parts: the answer is in what is left of the first, and was lost in the second.
    notes = ['"notes":["it is blue","x"],"note_heads":2', '"notes":["it is blue","x","y"],"note_heads":2']
    written = [line.replace('"warmup"', f'{notes[place]},"warmup"') for place, line in enumerate(lines[:2])]
    run.answers.write_text("\n".join([*written, *lines[2:], ""]), encoding="utf-8")
    score_runs([run.path], ("em", "notes"))
    table = score_table(make_grids(read_figures(tmp_path / "with"))[0])
    shown = dict(zip(table.columns, table.rows[0], strict=True))
    assert (shown["captured"].split()[0], shown["retained"].split()[0]) == ("1.000", "0.500")
