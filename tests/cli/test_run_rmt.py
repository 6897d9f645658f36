"""Recurrent memory from the command line: with a memory that is named, without one, and the same by a sweep file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_commands import Command, journals

from rmtbench.models.load import load_model
from rmtbench.rmt.base import BaseIdentity
from rmtbench.rmt.config import RmtConfig
from rmtbench.rmt.storage import save_pretrained, wrap

HANDBOOK = ("--dataset", "handbook", "--model", "random:tiny", "--questions", "2", "--max-answer-tokens", "4")


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untaught memory of random:tiny, said to be trained for the mode `memory`, in the style `bridge`."""
    model = load_model("random:tiny")
    config = RmtConfig("decoder", segment_tokens=64, memory_tokens=4, trained="memory")
    folder = tmp_path_factory.mktemp("trained") / "untaught"
    notes = {"mode": "memory", "style": "bridge"}
    save_pretrained(wrap(model.model, config, BaseIdentity.of(model.provenance)), folder, notes)
    return folder


def test_named_memory_runs_in_both_modes_and_resumes(rmtbench: Command, memory: Path, tmp_path: Path) -> None:
    words = ("run", "--system", "rmt-memory,rmt-query-first", *HANDBOOK, "--rmt", memory, "--results", tmp_path / "r")
    said = rmtbench(*words)
    assert said.code == 0, said.err
    assert {
        "rmt-query-first: its memory was trained for memory, not for query-first",
        "rmt-memory: its memory was trained to answer in the style bridge, not direct",
    } < set(said.err.splitlines())
    assert "rmt-memory: its memory was trained for" not in said.err
    assert [name.partition("-handbook")[0] for name in journals(tmp_path / "r")] == ["rmt-memory", "rmt-query-first"]
    for folder in (tmp_path / "r").iterdir():
        settings = json.loads((folder / "spec.json").read_text())["spec"]["settings"]
        assert settings["memory"].startswith("untaught@")
    assert rmtbench(*words).err.count("finished already") == 2


def test_minis_memory_reads_corpus_with_question_in_view(rmtbench: Command, tmp_path: Path) -> None:
    """Without the text nothing is answered: what is right was read there, and carried in memory alone."""
    systems = "closed-book,rmt-query-first"
    said = rmtbench("run", "--system", systems, "--dataset", "squad", "--size", "smoke", "--results", tmp_path / "r")
    assert said.code == 0, said.err
    assert "its memory was trained for" not in said.err
    closed_book, query_first = (
        [json.loads(line)["scores"]["em"] for line in (folder / "scores.jsonl").read_text().splitlines()]
        for folder in sorted((tmp_path / "r").iterdir())
    )
    assert sum(closed_book) == 0
    assert sum(query_first) / len(query_first) >= 0.4


def test_all_says_what_it_leaves_out(rmtbench: Command, tmp_path: Path) -> None:
    said = rmtbench("run", "--top-k", "1", *HANDBOOK, "--results", tmp_path / "r")
    assert said.code == 0, said.err
    assert (
        "all leaves out rmt-memory, rmt-query-first, rmt-text: name them, with --rmt where random:tiny has no memory "
        "shipped"
    ) in said.err.splitlines()


def test_a_system_without_a_memory_says_how_to_get_one(rmtbench: Command, tmp_path: Path) -> None:
    said = rmtbench("run", "--system", "rmt-memory", *HANDBOOK, "--results", tmp_path / "r")
    assert said.code == 2
    assert said.err.splitlines() == [
        "error: --system rmt-memory: no trained memory for 'random:tiny'",
        "  train one with `rmtbench train rmt`, and name its folder with --rmt",
    ]
    assert not (tmp_path / "r").exists()


def test_memory_of_another_model_is_refused_before_writing(rmtbench: Command, memory: Path, tmp_path: Path) -> None:
    words = ("run", "--system", "rmt-memory", *HANDBOOK, "--seed", "1", "--rmt", memory, "--results", tmp_path / "r")
    said = rmtbench(*words)
    assert said.code == 2
    assert "the memory belongs to base model 'random:tiny'" in said.err
    assert not (tmp_path / "r").exists()


def test_a_sweep_file_names_modes_memory_and_the_size_of_notes(rmtbench: Command, memory: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    entry = {
        "system": ["rmt-memory", "rmt-query-first", "rmt-text"], "rmt": str(memory), "rmt_chunk_tokens": 300,
        "rmt_memory_tokens": 8, "dataset": "handbook", "model": "random:tiny", "questions": 1, "max_answer_tokens": 4,
    }  # fmt: skip
    file.write_text(json.dumps({"runs": [entry]}))
    said = rmtbench("sweep", file, "--results", tmp_path / "r")
    assert said.code == 0, said.err
    found = [json.loads((folder / "spec.json").read_text())["spec"] for folder in sorted((tmp_path / "r").iterdir())]
    assert [spec["system"] for spec in found] == entry["system"]
    assert found[2]["settings"] == {"chunk_tokens": "300", "memory_tokens": "8"}
    assert all(len(rows) == 1 and rows[0]["error"] is None for rows in journals(tmp_path / "r").values())
