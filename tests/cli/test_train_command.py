"""`rmtbench train rmt` as a user types it: trains, resumes, says that it is done, and refuses what makes no sense."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_commands import Command, rows

WORDS = ("train", "rmt", "--base", "mini", "--task", "detect", "--segments", "1,2", "--steps", "2", "--rows", "2",
         "--memory-tokens", "4", "--segment-tokens", "64", "--device", "cpu")  # fmt: skip


def test_one_command_trains_memory_then_has_nothing_left(rmtbench: Command, tmp_path: Path) -> None:
    said = rmtbench(*WORDS, "--out", tmp_path)
    assert said.code == 0, said.err
    assert "2 segments: step 4 of 4" in said.err
    described = json.loads((tmp_path / "model" / "rmt.json").read_text())
    assert described["base"]["id"] == "mini"
    assert described["config"]["memory_tokens"] == 4
    assert [stage["steps"] for stage in described["notes"]["stages"]] == [2, 2]
    assert (tmp_path / "model" / "rmt.safetensors").is_file()
    assert [row["stage"] for row in rows(tmp_path / "log.jsonl")] == ["1 segment", "2 segments"]
    again = rmtbench(*WORDS, "--out", tmp_path)
    assert again.code == 0
    assert "was finished before; nothing to do" in again.err
    other = rmtbench(*WORDS, "--no-curriculum", "--out", tmp_path)
    assert other.code == 2
    assert "--out" in other.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--task", "detekt"), "did you mean 'detect'"),
        (("--base", "random:tinny"), "--base: no geometry 'tinny'"),
        (("--update", "gate"), "did you mean 'gated'"),
        (("--mode", "query"), "did you mean 'query-first'"),
        (("--segments", "4,2"), "--segments"),
        (("--memory-tokens", "65"), "set memory_tokens to at most 64"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_to_do(
    words: tuple[str, ...], said: str, rmtbench: Command, tmp_path: Path
) -> None:
    ended = rmtbench(*WORDS, *words, "--out", tmp_path)
    assert ended.code == 2
    assert said in ended.err
