"""The systems of docs/guides/plugin.md are a package that installs, is listed, runs and is reported beside ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_commands import Command, rows, told
from page_plugins import block, installed

WORDS = ("--dataset", "handbook", "--model", "random:tiny", "--questions", 2, "--max-answer-tokens", 4)


@pytest.fixture
def package(tmp_path: Path) -> Iterator[None]:
    with installed(tmp_path / "site"):
        yield


def test_the_page_s_system_is_some_thirty_lines_of_code() -> None:
    lines = [line for line in block("python").splitlines() if line.strip()]
    assert len(lines) <= 34


@pytest.mark.usefixtures("package")
def test_the_page_s_system_is_listed_run_and_reported(rmtbench: Command, tmp_path: Path) -> None:
    assert "lead" in rmtbench("systems").out
    results = tmp_path / "results"
    assert rmtbench("run", "--system", "lead,closed-book", *WORDS, "--results", results).code == 0
    assert sorted(map(len, told(results).values())) == [2, 2]
    assert rmtbench("report", results, "--quick").code == 0
    assert "| lead" in (results / "report" / "report.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("package")
def test_the_chunks_of_a_plugin_count_for_recall(rmtbench: Command, tmp_path: Path) -> None:
    results = tmp_path / "results"
    more = ("--system", "paragraphs", "--size", "2k", "--top-k", "1,100", "--questions", 6)
    said = rmtbench("run", *WORDS, *more, "--results", results)
    assert said.code == 0, said.err
    few, all_of_them = sorted(results.iterdir())
    whole = [row["scores"]["recall"] for row in rows(all_of_them / "scores.jsonl")]
    assert {each for each in whole if each is not None} == {1.0}, "every paragraph is retrieved"
    means = json.loads((few / "summary.json").read_text())["means"]
    assert 0 < means["recall"] <= 1, "one paragraph holds the evidence of some questions"
    assert rmtbench("report", results, "--quick").code == 0
    assert "recall" in (results / "report" / "report.md").read_text(encoding="utf-8")
