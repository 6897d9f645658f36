"""`rmtbench run` with every choice of retrieval at once: answers, specs, provenance and recall are all there."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest
from endpoint_server import serve

Rmtbench = Callable[..., Any]
INSTALLED = {one.name.lower() for one in distributions()}
HANDBOOK = ("--dataset", "handbook", "--model", "random:tiny", "--questions", "2", "--max-answer-tokens", "4")


def test_every_choice_of_retrieval_is_run_kept_and_scored(
    rmtbench: Rmtbench, cross_encoder: Path, tmp_path: Path
) -> None:
    words = (
        "run", "--system", "rag-hybrid", *HANDBOOK, "--chunk-tokens", "64", "--top-tokens", "200", "--split", "token",
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
    said = rmtbench("bench", "retrieval", "--dataset", "handbook", "--size", "all", "--json", figures)
    assert said.code == 0, said.err
    assert "hybrid, stemmed" in said.err
    assert {row["retriever"] for row in json.loads(figures.read_text())["rows"]} >= {"sparse", "dense", "hybrid"}


def test_a_number_of_chunks_that_is_none_is_refused(rmtbench: Rmtbench) -> None:
    said = rmtbench("bench", "retrieval", "--chunks", "1G")
    assert (said.code, "'1G' is no number above 0" in said.err) == (2, True)


def told(results: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Each system's answers, and the chunks that they were given."""
    made = {}
    for folder in sorted(results.iterdir()):
        rows = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]
        chunks = [[tuple(chunk[:3]) for chunk in row["retrieved"]] for row in rows]
        system = json.loads((folder / "spec.json").read_text())["spec"]["system"]
        made[system] = list(zip([row["text"] for row in rows], chunks, strict=True))
    return made


def test_embeddings_in_qdrant_give_the_same_answers(rmtbench: Rmtbench, tmp_path: Path) -> None:
    pytest.importorskip("qdrant_client")
    words = ("run", "--system", "rag-dense,rag-hybrid", *HANDBOOK, "--top-k", "3", "--chunk-tokens", "64")
    for name, more in (("here", ()), ("qdrant", ("--set", "qdrant=memory"))):
        said = rmtbench(*words, *more, "--results", tmp_path / name)
        assert said.code == 0, said.err
    assert told(tmp_path / "qdrant") == told(tmp_path / "here")
    specs = [json.loads(path.read_text()) for path in (tmp_path / "qdrant").glob("*/spec.json")]
    assert all(dict(spec["spec"]["settings"])["vector_store"] == "qdrant in-process" for spec in specs)
    assert all("qdrant-client" in spec["provenance"]["versions"] for spec in specs)


DENSE = ("run", "--system", "rag-dense", *HANDBOOK, "--top-k", "1")


@pytest.mark.parametrize(
    ("place", "what"),
    [
        ("localhost:6333", "not the URL of a server"),
        ("http://me:hunter2@127.0.0.1:9", "Qdrant at 127.0.0.1:9 does not answer (no connection)"),
    ],
)
def test_a_qdrant_that_is_not_there_is_told_and_no_password(
    rmtbench: Rmtbench, tmp_path: Path, place: str, what: str
) -> None:
    pytest.importorskip("qdrant_client")
    said = rmtbench(*DENSE, "--set", f"qdrant={place}", "--results", tmp_path / "r")
    assert said.code == 2
    assert said.err.splitlines()[-2] == f"error: --set qdrant: {what}"
    assert "hunter2" not in said.out + said.err


def test_a_server_that_is_no_qdrant_is_told_and_no_key(
    rmtbench: Rmtbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("qdrant_client")
    monkeypatch.setenv("QDRANT_API_KEY", "qd-s3cr3t")
    with serve() as server:
        said = rmtbench(*DENSE, "--set", f"qdrant={server.url}", "--results", tmp_path / "r")
    assert said.code == 2
    assert "does not answer (status 501)" in said.err.splitlines()[-2]
    assert "QDRANT_API_KEY" in said.err.splitlines()[-1]
    assert "qd-s3cr3t" not in said.out + said.err


def test_llama_indexs_retriever_ranks_the_same_chunks(rmtbench: Rmtbench, tmp_path: Path) -> None:
    pytest.importorskip("llama_index.retrievers.bm25", reason="the extra llama-bm25 is not installed")
    words = ("run", "--system", "rag-sparse,rag-hybrid", *HANDBOOK, "--top-k", "1,3", "--chunk-tokens", "64")
    said = rmtbench(*words, "--set", "sparse-backend=llama-index", "--results", tmp_path / "r")
    assert said.code == 0, said.err
    folders = sorted((tmp_path / "r").iterdir())
    specs = [json.loads((folder / "spec.json").read_text()) for folder in folders]
    assert [dict(spec["spec"]["settings"])["sparse_backend"] for spec in specs] == ["llama-index"] * 4
    for folder in folders:
        assert '"recall"' in (folder / "scores.jsonl").read_text()


@pytest.mark.skipif("llama-index-retrievers-bm25" in INSTALLED, reason="the extra llama-bm25 is installed")
def test_without_its_extra_llama_indexs_retriever_is_refused(rmtbench: Rmtbench, tmp_path: Path) -> None:
    words = ("run", "--system", "rag-sparse", *HANDBOOK, "--set", "sparse-backend=llama-index")
    said = rmtbench(*words, "--results", tmp_path / "r")
    assert said.code == 2
    assert "BM25Retriever is not installed" in said.err.splitlines()[-2]
    assert "pip install 'rmtbench[llama-bm25]'" in said.err.splitlines()[-1]


@pytest.mark.skipif("qdrant-client" in INSTALLED, reason="the extra qdrant is installed")
def test_without_its_extra_qdrant_is_refused(rmtbench: Rmtbench, tmp_path: Path) -> None:
    said = rmtbench(*DENSE, "--set", "qdrant=memory", "--results", tmp_path / "r")
    assert said.code == 2
    assert "pip install 'rmtbench[qdrant]'" in said.err.splitlines()[-1]
