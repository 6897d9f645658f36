"""Rows are read by a fast parser, and told in the standard library's words where it refuses one."""

from __future__ import annotations

import json

import pytest

from rmtbench.errors import UserError
from rmtbench.journal.checks import SCHEMA
from rmtbench.journal.lines import number_rows, read_numbered


@pytest.mark.parametrize("value", ["0.1", "-0", "1e-7", "0.30000000000000004", "5e-324", '"\\ud800"', '"é"'])
def test_a_value_is_what_the_standard_library_reads(tmp_path, value):
    path = tmp_path / "a.jsonl"
    line = f'{{"schema":{SCHEMA},"value":{value}}}\n'
    path.write_bytes(line.encode())
    [(_, row)] = read_numbered(path)
    expected = json.loads(line)["value"]
    assert row["value"] == expected
    assert type(row["value"]) is type(expected)


@pytest.mark.parametrize("value", ["NaN", "-Infinity", "1e400"])
def test_what_is_no_finite_number_is_damage(tmp_path, value):
    with pytest.raises(UserError, match=f"damaged: not JSON .{value} is no finite number"):
        list(number_rows([f'{{"schema":{SCHEMA},"value":{value}}}\n'.encode()], tmp_path / "a.jsonl"))


def test_the_error_of_a_broken_line_has_its_column(tmp_path):
    line = b'{"schema": 1, "value": [1,]}\n'
    with pytest.raises(UserError) as caught:
        list(number_rows([line], tmp_path / "a.jsonl"))
    with pytest.raises(ValueError, match="column") as standard:
        json.loads(line)
    assert caught.value.what == f"damaged: not JSON ({standard.value})"
