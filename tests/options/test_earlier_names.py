"""Earlier names of options still work, and say in one line how they are called now."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from rmtbench.cli import train
from rmtbench.cli.main import make_app
from rmtbench.errors import UserError
from rmtbench.runs.sweep import read_sweep

NOTE = "is now {}; the earlier name goes with the next release"


@pytest.mark.parametrize("words", [("--prefix", "plian"), ("--prefix=plian",)])
def test_an_earlier_flag_of_a_run_still_works(words: tuple[str, ...]) -> None:
    said = CliRunner().invoke(make_app(["run"]), ["run", "--system", "cag", *words])
    assert f"--prefix {NOTE.format('--cache-layout')}" in said.stderr
    assert isinstance(said.exception, UserError)
    assert "must be 'shared', 'plain' or 'composed' (given: 'plian')" in str(said.exception)


@pytest.mark.parametrize(("old", "new"), train.RmtCommand.RENAMED.items())
def test_an_earlier_flag_of_a_training_still_works(old: str, new: str) -> None:
    words = ["rmt", "--out", "x", "--base", "mini", "--task", "detect", old, "-1"]
    said = CliRunner().invoke(train.app, words)
    assert f"{old} {NOTE.format(new)}" in said.stderr
    assert isinstance(said.exception, UserError)
    assert said.exception.where == new


def test_the_help_shows_the_new_name_alone() -> None:
    shown = CliRunner().invoke(make_app(["run"]), ["run", "--help"], env={"COLUMNS": "200"}).stdout
    assert "--cache-layout" in shown
    assert "--prefix" not in shown


def test_an_earlier_key_of_a_sweep_still_works(tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text("runs: [{system: cag, prefix: plain}]")
    read = read_sweep(file)
    assert [one.request.cache_layout for one in read.requests] == ["plain"]
    assert read.renamed == {"prefix": "cache_layout"}
    file.write_text("runs: [{system: cag, prefix: plain, cache_layout: shared}]")
    with pytest.raises(UserError, match="'prefix' is now 'cache_layout'"):
        read_sweep(file)


def test_words_behind_two_dashes_are_left_alone() -> None:
    said = CliRunner().invoke(make_app(["run"]), ["run", "--", "--prefix"])
    assert NOTE.format("--cache-layout") not in said.stderr
