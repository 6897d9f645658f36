"""`--shard` and `rmtbench merge`: a run in parts is the run in one piece."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from cli_commands import Command

WORDS = ("run", "--system", "closed-book,rag-sparse", "--dataset", "squad", "--size", "small", "--model", "random:tiny",
         "--questions", "2", "--draws", "3", "--max-answer-tokens", "4", "--top-k", "1", "--seed", "5")  # fmt: skip


def answers(results: Path) -> dict[str, list[Any]]:
    """By run, what was said to whom in which order; times and processes aside."""
    return {
        path.parent.name: [
            [row["draw"], row["question_id"], row["text"], row["tokens"]]
            for row in map(json.loads, path.read_text().splitlines())
        ]
        for path in results.glob("*/answers.jsonl")
    }


def scores(results: Path) -> dict[str, Any]:
    return {path.parent.name: json.loads(path.read_text())["means"] for path in results.glob("*/summary.json")}


def test_a_run_in_parts_is_the_run_in_one_piece(rmtbench: Command, tmp_path: Path) -> None:
    assert rmtbench(*WORDS, "--results", tmp_path / "whole").code == 0
    for part in ("1/2", "2/2"):
        said = rmtbench(*WORDS, "--shard", part, "--results", tmp_path / part[0])
        assert said.code == 0, said.err
        assert "rmtbench merge" in said.err
    again = rmtbench(*WORDS, "--shard", "2/2", "--results", tmp_path / "2")
    assert "finished already" in again.err
    said = rmtbench("merge", tmp_path / "1", tmp_path / "2", "--results", tmp_path / "all")
    assert said.code == 0, said.err
    assert answers(tmp_path / "all") == answers(tmp_path / "whole")
    assert scores(tmp_path / "all") == scores(tmp_path / "whole")
    assert "finished already" in rmtbench(*WORDS, "--results", tmp_path / "all").err


def test_parts_that_are_missing_are_named(rmtbench: Command, tmp_path: Path) -> None:
    rmtbench(*WORDS, "--shard", "1/2", "--results", tmp_path / "1")
    said = rmtbench("merge", tmp_path / "1", "--results", tmp_path / "all")
    assert said.code == 1
    assert "no part has draw 1" in said.err


@pytest.mark.parametrize("shard", ["0/2", "3/2", "2", "a/b", "1/0"])
def test_a_part_that_is_none_is_refused(rmtbench: Command, shard: str) -> None:
    said = rmtbench(*WORDS, "--shard", shard)
    assert said.code == 2
    assert "N/M" in said.err


def test_a_part_without_any_draw_is_refused(rmtbench: Command) -> None:
    said = rmtbench(*WORDS, "--shard", "4/4")
    assert said.code == 2
    assert "none of the 3 draws" in said.err


@pytest.mark.slow
def test_several_workers_give_what_one_process_gives(rmtbench: Command, tmp_path: Path) -> None:
    assert rmtbench(*WORDS, "--results", tmp_path / "whole").code == 0
    said = rmtbench(*WORDS, "--workers", "2", "--results", tmp_path / "shared")
    assert "rmtbench merge" not in said.err, "the parts are joined already"
    assert said.code == 0, said.err
    assert answers(tmp_path / "shared") == answers(tmp_path / "whole")
    assert scores(tmp_path / "shared") == scores(tmp_path / "whole")
    assert not (tmp_path / "shared" / ".parts").exists()
    again = rmtbench(*WORDS, "--workers", "2", "--results", tmp_path / "shared")
    assert again.code == 0
    assert answers(tmp_path / "shared") == answers(tmp_path / "whole")
    more = rmtbench(*WORDS, "--system", "closed-book,oracle", "--workers", "2", "--results", tmp_path / "shared")
    assert more.code == 0, more.err
    assert set(answers(tmp_path / "shared")) > set(answers(tmp_path / "whole"))


@pytest.mark.parametrize("dry", [(), ("--dry-run",)], ids=["really", "dry"])
@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--workers", "2", "--fresh"), "--fresh: several workers cannot start finished runs again"),
        (("--workers", "2", "--shard", "1/2"), "--shard: several workers share all draws"),
        (("--engine", "ray", "--model", "openai:mini"), "--model openai:mini with --engine ray: a server needs no"),
    ],
)
def test_what_workers_cannot_do_is_not_planned_either(
    rmtbench: Command, tmp_path: Path, words: tuple[str, ...], what: str, dry: tuple[str, ...]
) -> None:
    said = rmtbench(*WORDS, *words, *dry, "--results", tmp_path)
    assert (said.code, said.out) == (2, "")
    assert f"error: {what}" in said.err


@pytest.mark.slow
def test_more_workers_than_draws_are_not_started(rmtbench: Command, tmp_path: Path) -> None:
    said = rmtbench(*WORDS, "--draws", "1", "--workers", "3", "--results", tmp_path)
    assert said.code == 0, said.err
    assert "1 draw for 3 workers: 1 of them works" in said.err
    assert "--shard" not in said.err
    assert not (tmp_path / ".parts").exists(), "nothing is left half done"


@pytest.mark.parametrize("limit", ["requests-per-minute", "tokens-per-minute"])
def test_workers_do_not_use_up_a_limit_each(rmtbench: Command, tmp_path: Path, limit: str) -> None:
    said = rmtbench(*WORDS, "--workers", "2", "--set", f"{limit}=60", "--results", tmp_path)
    assert said.code == 2
    assert f"--set {limit}: each process would use up the whole limit" in said.err
