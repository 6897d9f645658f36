"""Official BABILong files: rows as the data set holds them, and every defect named by file, row and field."""

import json
import random
from pathlib import Path

import pytest
from task_contracts import contract_of, text_of, whole_text

from rmtbench.errors import UserError
from rmtbench.rmt.tasks.babilong import load_rows, open_babilong
from rmtbench.rmt.tasks.registry import make_task

STORY = "The market is often late. Mary went to the garden. The old mill closes before noon. John took the milk. "
ROWS = [
    {"input": STORY * times, "question": f"Where is {name}?", "target": target}
    for times, name, target in ((1, "Mary", "garden"), (3, "Mary ", "garden"), (6, "John", "garden"))
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "qa1" / "4k.json"
    path.parent.mkdir()
    path.write_text(json.dumps(ROWS), encoding="utf-8")
    return path


def test_an_array_and_lines_are_read_alike(file: Path, tmp_path: Path) -> None:
    lines = tmp_path / "rows.jsonl"
    lines.write_text("\n\n".join(map(json.dumps, ROWS)) + "\n", encoding="utf-8")
    assert load_rows(lines) == load_rows(file)
    assert [row.target for row in load_rows(file)] == ["garden"] * 3


def test_every_row_becomes_a_sample_whose_segments_are_its_text(file: Path) -> None:
    contract = contract_of()
    task = open_babilong(file, contract, 30)
    made = list(task.samples())
    assert [task.name, made[0].kind] == ["babilong:qa1/4k", "qa1"]
    for sample, row in zip(made, ROWS, strict=True):
        segments = list(sample.segments)
        assert whole_text(contract, segments) == row["input"].strip()
        assert [len(segment) for segment in segments[:-1]] == [30] * (len(segments) - 1)
        assert sample.told_by == len(segments) - 1
        assert list(sample.question) == contract.question_ids(row["question"])
        assert text_of(contract, sample.answer) == f"Answer: {row['target']}</s>"
        assert text_of(contract, sample.not_yet) == "Answer: unknown</s>"


def test_tasks_are_judged_by_rule_and_other_files_by_exact_match(file: Path) -> None:
    sample = next(open_babilong(file, contract_of(), 30).samples())
    assert sample.judge is not None
    assert sample.judge("She went to the garden")
    assert not sample.judge("the garden or the kitchen")
    other = file.parent.parent / "mine.json"
    other.write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    assert next(open_babilong(other, contract_of(), 30).samples()).judge is None


def test_a_sample_is_any_row_that_is_short_enough(file: Path) -> None:
    task = open_babilong(file, contract_of("mini", "direct"), 30)
    short, middle, long = (len(list(sample.segments)) for sample in task.samples())
    assert short < middle < long
    drawn = {len(list(task.sample(middle, random.Random(seed)).segments)) for seed in range(30)}
    assert drawn == {short, middle}
    assert text_of(contract_of(), task.sample(middle, random.Random(0)).answer) == "garden</s>"


def test_where_every_text_is_longer_it_is_said(file: Path) -> None:
    task = make_task(f"babilong:{file}", contract_of(), 10)
    assert task.name == "babilong:qa1/4k"
    with pytest.raises(ValueError, match="every text of babilong:qa1/4k has more than 1 segments of 10 tokens"):
        task.sample(1, random.Random(0))


@pytest.mark.parametrize(
    ("text", "what", "where"),
    [
        ("", "no rows", "bad.json"),
        ("[]", "no rows", "bad.json"),
        ("{", "not JSON", "bad.json, line 1, column 2"),
        ('{"input": "a", "question": "b", "target": "c"}\n{"input"', "not JSON", "bad.json, line 2, column 9"),
        ('[{"input": "a", "question": "b"}]', "field 'target' is missing", "bad.json, row 1"),
        ('{"input": "a", "question": " ", "target": "c"}', "field 'question' is blank", "bad.json, line 1"),
        (
            '[{"input": 3, "question": "b", "target": "c"}]',
            "field 'input' must be a text, not a whole number",
            "bad.json, row 1",
        ),
        ("[3]", "not an object", "bad.json, row 1"),
        ("PAR1\x00\x01", "a Parquet file", "bad.json"),
    ],
)
def test_a_bad_file_is_refused_with_its_place_and_a_remedy(tmp_path: Path, text: str, what: str, where: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=what) as refused:
        load_rows(path)
    assert refused.value.where == str(tmp_path / where)
    assert refused.value.remedy


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        make_task(f"babilong:{tmp_path / 'none.json'}", contract_of(), 30)
