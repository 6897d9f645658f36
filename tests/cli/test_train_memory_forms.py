"""`rmtbench train rmt` with a form of memory: key-value pairs by gradient, accumulated memory, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_commands import Command, rows

PAIRS = ("train", "rmt", "--base", "random:1x32", "--task", "key-values", "--segments", "1,2", "--steps", "2", "--rows",
         "2", "--memory-tokens", "2", "--segment-tokens", "8", "--device", "cpu")  # fmt: skip
GRADIENT = (*PAIRS, "--write", "gradient", "--set", "inner-steps=1", "--set", "window-tokens=4")


def test_pairs_are_learnt_by_gradient_and_the_folder_says_so(rmtbench: Command, tmp_path: Path) -> None:
    said = rmtbench(*GRADIENT, "--out", tmp_path)
    assert said.code == 0, said.err
    described = json.loads((tmp_path / "model" / "rmt.json").read_text())
    assert described["config"]["form"] == {"write": "gradient", "inner_steps": 1, "window_tokens": 4}
    assert described["config"]["update"] == "overwrite"
    assert [row["stage"] for row in rows(tmp_path / "log.jsonl")] == ["1 pair", "2 pairs"]
    other = rmtbench(*GRADIENT, "--set", "first-order=on", "--out", tmp_path)
    assert other.code == 2
    assert "--out" in other.err, "another training"


def test_a_gradient_writes_accumulated_memory(rmtbench: Command, tmp_path: Path) -> None:
    words = ("train", "rmt", "--base", "random:tiny", "--task", "detect", "--segments", "1,2", "--steps", "1", "--rows",
             "2", "--memory-tokens", "2", "--segment-tokens", "48", "--device", "cpu", "--write", "gradient",
             "--memory", "accumulate", "--set", "memory-last=2", "--set", "inner-steps=1")  # fmt: skip
    said = rmtbench(*words, "--out", tmp_path)
    assert said.code == 0, said.err
    described = json.loads((tmp_path / "model" / "rmt.json").read_text())
    form = {"write": "gradient", "memory": "accumulate", "memory_last": 2, "inner_steps": 1}
    assert described["config"]["form"] == form


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--write", "gradent"), "did you mean 'gradient'"),
        (("--memory", "accumulated"), "did you mean 'accumulate'"),
        (("--set", "inner-stepps=2"), "did you mean 'inner-steps'"),
        (("--set", "memory-last=2"), "give --memory accumulate, or leave it out"),
        (("--base", "mini"), "give random:LAYERSxWIDTH"),
        (("--segment-tokens", "10"), "give a multiple of 4"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_to_do(
    words: tuple[str, ...], said: str, rmtbench: Command, tmp_path: Path
) -> None:
    ended = rmtbench(*GRADIENT, *words, "--out", tmp_path)
    assert ended.code == 2
    assert said in ended.err
