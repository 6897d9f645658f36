"""How wide tables are: as COLUMNS says, also in a pipe; without it every pipe gets the same width."""

from pathlib import Path

import pytest
from cli_commands import Command

HANDBOOK = Path(__file__).parents[2] / "results" / "handbook"
COMMANDS = {
    "decide": ("decide", HANDBOOK),
    "compare": ("compare", "rag-dense-top1", "rag-dense-top3", "--results", HANDBOOK),
}


def widest(text: str) -> int:
    return max(map(len, text.splitlines()))


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_a_pipe_is_as_wide_as_columns_says(
    rmtbench: Command, monkeypatch: pytest.MonkeyPatch, words: tuple[object, ...]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    usual = rmtbench(*words)
    monkeypatch.setenv("COLUMNS", "120")
    assert rmtbench(*words).out == usual.out
    monkeypatch.setenv("COLUMNS", "70")
    narrow = rmtbench(*words)
    assert (usual.code, narrow.code) == (0, 0)
    drawn = [line for line in narrow.out.splitlines() if line.startswith((" ", "╭", "│"))]
    assert max(map(len, drawn)) <= 70 < widest(usual.out)


@pytest.mark.parametrize("given", ["", "0", "-5", "wide", "999999999999", "1"])
def test_columns_that_are_no_width_break_nothing(
    rmtbench: Command, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("COLUMNS", given)
    said = rmtbench("decide", HANDBOOK, "--dataset", "handbook")
    assert (said.code, said.err) == (0, "")
    assert "rag-hybrid" in said.out


def test_decide_says_once_what_all_rows_share(rmtbench: Command) -> None:
    said = rmtbench("decide", HANDBOOK, "--dataset", "handbook")
    assert said.out.count("chunks of 128") == 1
    assert "all rag: chunks of 128" in said.out
