"""Parts of runs joined again: the same rows as one process writes, and nothing that does not belong together."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from journal_runs import SPEC, answer

from rmtbench.core import Corpus, Document, Draw, Gold, Prepared, Question, Source
from rmtbench.errors import UserError
from rmtbench.journal.layout import RunFolder, run_id
from rmtbench.journal.merge import merge
from rmtbench.journal.packed import pack
from rmtbench.journal.record import read_run
from rmtbench.journal.writer import RunWriter

PROVENANCE = {"model": {"weights_sha256": "aa", "tokenizer_sha256": "bb", "prompt_contract": 1}, "threads": 1}
FILES = ("spec.json", "corpora.jsonl", "gold.jsonl", "prepared.jsonl", "answers.jsonl", "usage.jsonl")


def draw_of(number: int, text: str = "It is blue.") -> Draw:
    questions = (Question("q0", "What colour?"), Question("q1", "Which town?"))
    corpus = Corpus("c", "squad", "small", number, (Document("d", "Sky", text),), questions, Source("own", "x", "ab"))
    return Draw(corpus, tuple(Gold(question.id, ("blue",)) for question in questions))


def write(
    results: Path,
    draws: Sequence[int],
    provenance: Mapping[str, Any] = PROVENANCE,
    text: str = "It is blue.",
    said: str = "blue",
    questions: Sequence[str] = ("q0", "q1"),
) -> Path:
    """One process that does some draws."""
    with RunWriter(results, SPEC) as writer:
        writer.begin({**provenance, "started": f"2026-01-0{1 + draws[0]}"})
        for number in draws:
            writer.add_draw(draw_of(number, text), tokens=12)
            writer.prepared(Prepared({"index": 0.5}), number)
            for question in questions:
                writer.answer(answer(question, text=said), number)
            writer.usage(number, 1000, None)
    return results


def files(results: Path) -> dict[str, bytes]:
    folder = results / run_id(SPEC)
    return {name: (folder / name).read_bytes() for name in FILES}


def test_parts_joined_are_the_run_of_one_process(tmp_path: Path) -> None:
    one, two = write(tmp_path / "1", [0]), write(tmp_path / "2", [1])
    [merged] = merge([two, one], tmp_path / "all")
    run = read_run(merged.folder)
    assert (run.complete, merged.missing, merged.unanswered) == (True, [], 0)
    assert [json.loads(line)["session"] for line in run.folder.answers.read_text().splitlines()] == [0, 0, 1, 1]
    whole = read_run(write(tmp_path / "whole", [0, 1]) / run_id(SPEC))
    for name in ("answers", "gold", "corpora", "prepared"):
        assert getattr(run, name) == getattr(whole, name)
    assert list(run.answers) == list(whole.answers)


def test_the_same_merge_again_changes_nothing(tmp_path: Path) -> None:
    parts = [write(tmp_path / "1", [0]), write(tmp_path / "2", [1])]
    [merged] = merge(parts, tmp_path / "all")
    before = files(tmp_path / "all")
    (merged.folder / "summary.json").write_text("{}")
    merge(parts, tmp_path / "all")
    assert files(tmp_path / "all") == before
    assert (merged.folder / "summary.json").exists(), "nothing changed, so its scores stand"


def test_a_part_given_twice_counts_once(tmp_path: Path) -> None:
    one, two = write(tmp_path / "1", [0]), write(tmp_path / "2", [1])
    merge([one, two], tmp_path / "once")
    merge([one, two, one], tmp_path / "twice")
    assert files(tmp_path / "twice") == files(tmp_path / "once")


def test_parts_that_come_later_are_added(tmp_path: Path) -> None:
    one, two = write(tmp_path / "1", [0]), write(tmp_path / "2", [1], questions=["q0"])
    [merged] = merge([one], tmp_path / "all")
    assert merged.missing == [1]
    [merged] = merge([one, two], tmp_path / "all")
    assert (merged.missing, merged.unanswered) == ([], 1)


@pytest.mark.parametrize(
    ("second", "what"),
    [
        ({"draws": [1], "provenance": {**PROVENANCE, "model": {"weights_sha256": "cc"}}}, "another model weights"),
        ({"draws": [0], "text": "It is green."}, "draw 0 has other documents"),
        ({"draws": [0], "said": "green"}, "draw 0 has another answer"),
    ],
)
def test_what_does_not_belong_together_is_refused(tmp_path: Path, second: Mapping[str, Any], what: str) -> None:
    parts = [write(tmp_path / "1", [0]), write(tmp_path / "2", **second)]
    with pytest.raises(UserError, match=what):
        merge(parts, tmp_path / "all")
    assert not (tmp_path / "all" / run_id(SPEC) / "answers.jsonl").exists()


def test_an_answer_that_no_part_has_is_not_lost(tmp_path: Path) -> None:
    write(tmp_path / "all", [0, 1])
    with pytest.raises(UserError, match="in none of the parts"):
        merge([write(tmp_path / "1", [0])], tmp_path / "all")
    assert len(RunFolder(tmp_path / "all" / run_id(SPEC)).answers.read_text().splitlines()) == 4


def test_a_packed_run_gets_no_folder_beside_it(tmp_path: Path) -> None:
    packed = pack(write(tmp_path / "all", [0]) / run_id(SPEC))
    with pytest.raises(UserError, match="this run is packed"):
        merge([write(tmp_path / "1", [0]), write(tmp_path / "2", [1])], tmp_path / "all")
    assert list((tmp_path / "all").iterdir()) == [packed]


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "all" / run_id(SPEC)).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="symbolic link"):
        merge([write(tmp_path / "1", [0])], tmp_path / "all")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_only_the_named_runs_are_joined(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no runs in any part"):
        merge([write(tmp_path / "1", [0])], tmp_path / "all", names={"another-run"})


def test_a_part_cannot_be_its_own_result(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a part cannot be the merged folder"):
        merge([write(tmp_path / "1", [0])], tmp_path / "1")


def test_runs_that_one_part_alone_has_are_kept(tmp_path: Path) -> None:
    [merged] = merge([write(tmp_path / "1", [0, 1])], tmp_path / "all")
    assert files(tmp_path / "all") == files(tmp_path / "1")
    assert len(merged.parts) == 1
