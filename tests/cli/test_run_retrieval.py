"""`rmtbench run` with every choice of retrieval at once: answers, specs, provenance and recall are all there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Rmtbench = Callable[..., Any]
SAMPLE = ("--dataset", "sample", "--model", "random:tiny", "--questions", "2", "--max-answer-tokens", "4")


def test_every_choice_of_retrieval_is_run_kept_and_scored(
    rmtbench: Rmtbench, cross_encoder: Path, tmp_path: Path
) -> None:
    words = (
        "run", "--system", "rag-hybrid", *SAMPLE, "--chunk-tokens", "64", "--top-tokens", "200", "--split", "token",
        "--chunk-order", "document", "--stemming", "english", "--stop-words", "english", "--reranker", cross_encoder,
        "--set", "candidates=5", "--set", "chunk-overlap=8", "--index", tmp_path / "kept", "--results", tmp_path / "r",
    )  # fmt: skip
    said = rmtbench(*words)
    assert said.code == 0, said.err
    [folder] = (tmp_path / "r").iterdir()
    spec = json.loads((folder / "spec.json").read_text())
    settings = dict(spec["spec"]["settings"])
    assert settings["top_tokens"] == "200"
    assert settings["reranker"].startswith("tiny-cross-encoder@")
    assert settings["index"] == "kept auto"
    assert str(tmp_path) not in json.dumps(spec)
    assert len(spec["provenance"]["reranker"]["sha256"]) == 64
    assert '"recall"' in (folder / "scores.jsonl").read_text()
    rows = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]
    assert all(0 < row["tokens"]["prompt"] < 300 for row in rows)
    stale = rmtbench(*words[:-1], tmp_path / "again", "--chunk-tokens", "80")
    assert stale.code == 2
    assert "the index was made from other chunks" in stale.err


def test_the_help_names_every_choice(rmtbench: Rmtbench) -> None:
    text = rmtbench("run", "--help").out
    for option in ("top-tokens", "split", "chunk-order", "stemming", "stop-words", "reranker", "index"):
        assert f"--{option}" in text, option


def test_a_data_sets_recall_is_a_table(rmtbench: Rmtbench, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    said = rmtbench("bench", "retrieval", "--dataset", "sample", "--size", "all", "--json", figures)
    assert said.code == 0, said.err
    assert "hybrid, stemmed" in said.err
    assert {row["retriever"] for row in json.loads(figures.read_text())["rows"]} >= {"sparse", "dense", "hybrid"}


def test_a_number_of_chunks_that_is_none_is_refused(rmtbench: Rmtbench) -> None:
    said = rmtbench("bench", "retrieval", "--chunks", "1G")
    assert (said.code, "'1G' is no number of at least 10 chunks" in said.err) == (2, True)
