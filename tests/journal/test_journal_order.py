"""Rows of a run in the order of their draws, whichever came first."""

from __future__ import annotations

import json
from pathlib import Path

from rmtbench.journal.layout import RunFolder
from rmtbench.journal.lines import encode
from rmtbench.journal.order import order_by_draw


def test_rows_are_put_in_order_and_no_byte_of_them_changes(tmp_path: Path) -> None:
    made = [encode({"draw": draw, "question_id": f"q{number}", "text": "ein Wörtchen\r\u2028"})
            for number, draw in enumerate([2, 0, 2, 1, 0])]  # fmt: skip
    (tmp_path / "answers.jsonl").write_bytes(b"".join(made) + b'{"draw": 1, "torn')
    order_by_draw(RunFolder(tmp_path))
    lines = (tmp_path / "answers.jsonl").read_bytes().splitlines(keepends=True)
    assert lines == [made[1], made[4], made[3], made[0], made[2]]
    assert [json.loads(line)["draw"] for line in lines] == [0, 0, 1, 2, 2]


def test_rows_in_order_are_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_bytes(encode({"draw": 0}) + encode({"draw": 1}))
    before = path.stat().st_ino
    order_by_draw(RunFolder(tmp_path))
    assert path.stat().st_ino == before
