"""Retrieval with a reranker, and with indexes that are kept: the same answers, and refused when stale."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rmtbench.core import Answer, Document, Draw, RunSpec
from rmtbench.errors import UserError
from rmtbench.models.embed import TransformersEmbedder
from rmtbench.models.embed_cache import CachedEmbedder
from rmtbench.models.local import LocalModel
from rmtbench.models.rerank import CrossEncoder
from rmtbench.options.identity import RunOptions
from rmtbench.retrieval.chunks import chunk_documents, indexed_text
from rmtbench.systems.base import Resources, System
from rmtbench.systems.registry import find_system

RETRIEVING = ("rag-sparse", "rag-dense", "rag-hybrid")


def make(
    name: str, model: LocalModel, minilm: TransformersEmbedder, settings: dict[str, str], **resources: Any
) -> System:
    kind = find_system(name)
    embedder = "minilm" if "embedder" in kind.needs else None
    spec = RunSpec(
        name, "towns", "all", "random:tiny", "own:towns@0", max_answer_tokens=8, top_k=3, chunk_tokens=32,
        embedder=embedder, options=RunOptions.read(settings),
    )  # fmt: skip
    return kind.make(Resources(spec, model, minilm, **{"document_embedder": minilm, **resources}))


def told(system: System, draw: Draw) -> tuple[dict[str, float], list[Answer]]:
    with system:
        seconds = dict(system.prepare(draw.corpus).seconds)
        return seconds, [replace(row, timings=row.timings.__class__()) for row in system.answer(draw.corpus.questions)]


@pytest.mark.parametrize("name", RETRIEVING)
def test_a_reranker_orders_candidates_and_its_scores_are_told(
    name: str, towns: Draw, tiny_model: LocalModel, minilm: TransformersEmbedder, cross_encoder: Path
) -> None:
    judge = CrossEncoder(str(cross_encoder))
    settings = {"reranker": judge.name, "candidates": "12"}
    _, rows = told(make(name, tiny_model, minilm, settings, reranker=judge), towns)
    chunks = chunk_documents(towns.corpus.documents, tiny_model.token_ids, 32)
    for row, question in zip(rows, towns.corpus.questions, strict=True):
        scores = judge.score(question.text, [indexed_text(chunk) for chunk in chunks])
        if name == "rag-dense":
            best = sorted(scores, reverse=True)[:3]
            assert [found.score for found in row.retrieved] == pytest.approx(best, abs=1e-5)
        by_place = {(chunk.document_id, chunk.start): score for chunk, score in zip(chunks, scores, strict=True)}
        for found in row.retrieved:
            assert found.score == pytest.approx(by_place[found.document_id, found.start], abs=1e-5)


def test_fewer_candidates_leave_the_rest_unjudged(
    towns: Draw, tiny_model: LocalModel, minilm: TransformersEmbedder, cross_encoder: Path
) -> None:
    judge = CrossEncoder(str(cross_encoder))
    _, plain = told(make("rag-dense", tiny_model, minilm, {}), towns)
    settings = {"reranker": judge.name, "candidates": "3"}
    _, judged = told(make("rag-dense", tiny_model, minilm, settings, reranker=judge), towns)
    assert [{found.span for found in row.retrieved} for row in judged] == [
        {found.span for found in row.retrieved} for row in plain
    ]
    assert [row.retrieved for row in judged] != [row.retrieved for row in plain]


def test_a_spec_with_a_reranker_is_not_run_without_one(tiny_model: LocalModel, minilm: TransformersEmbedder) -> None:
    with pytest.raises(ValueError, match="reranker"):
        make("rag-sparse", tiny_model, minilm, {"reranker": "x"})


@pytest.mark.parametrize("name", RETRIEVING)
def test_kept_indexes_answer_as_memory_and_load_again(
    name: str, towns: Draw, tiny_model: LocalModel, minilm: TransformersEmbedder, tmp_path: Path
) -> None:
    _, expected = told(make(name, tiny_model, minilm, {}), towns)
    kept = {"index": "kept" if name == "rag-sparse" else "kept auto"}
    made, first = told(make(name, tiny_model, minilm, kept, indexes=tmp_path), towns)
    loaded, second = told(make(name, tiny_model, minilm, kept, indexes=tmp_path), towns)
    assert first == second == expected
    assert "index" in made
    assert loaded.keys() == {"chunk", "load"}


def test_looked_up_embeddings_do_not_count_as_cost(
    towns: Draw, tiny_model: LocalModel, minilm: TransformersEmbedder, tmp_path: Path
) -> None:
    parts, spared = [], []
    for folder, place in (("one", "here"), ("two", "here"), ("three", "elsewhere")):
        documents = CachedEmbedder(minilm, tmp_path / "embeddings", place)
        kept = {"index": "kept auto"}
        system = make("rag-dense", tiny_model, minilm, kept, indexes=tmp_path / folder, document_embedder=documents)
        parts.append(told(system, towns)[0])
        spared.append(documents.spared_seconds)
    computed, found, unmeasured = parts
    assert computed.keys() == found.keys() == {"chunk", "embed", "index", "load"}
    assert spared[0] == spared[2] == 0
    assert 0 < spared[1] <= found["embed"], "what the earlier run took is counted"
    assert unmeasured.keys() == {"chunk", "index", "load"}


@pytest.mark.parametrize("name", RETRIEVING)
def test_a_kept_index_of_another_corpus_is_refused(
    name: str, towns: Draw, tiny_model: LocalModel, minilm: TransformersEmbedder, tmp_path: Path
) -> None:
    kept = {"index": "kept" if name == "rag-sparse" else "kept auto"}
    told(make(name, tiny_model, minilm, kept, indexes=tmp_path), towns)
    more = (*towns.corpus.documents, Document("new", "New", "Another town."))
    changed = Draw(replace(towns.corpus, documents=more), towns.gold)
    with pytest.raises(UserError, match="the index was made from other chunks") as caught:
        told(make(name, tiny_model, minilm, kept, indexes=tmp_path), changed)
    assert "remove it" in caught.value.remedy
