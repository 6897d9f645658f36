"""What each setting of retrieval changes in a prompt, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from rmtbench.core import Answer, Document, Draw
from rmtbench.models.base import Passage
from rmtbench.models.embed import TransformersEmbedder
from rmtbench.models.local import LocalModel
from rmtbench.models.prompt import passages_text
from rmtbench.retrieval.bm25 import FastBM25Index
from rmtbench.retrieval.chunks import chunk_documents
from rmtbench.retrieval.dense import build_dense
from rmtbench.retrieval.fusion import FusedIndex
from rmtbench.retrieval.words import Words
from rmtbench.systems.base import SharedWork, System

Build = Callable[..., System]
RETRIEVING = ("rag-sparse", "rag-dense", "rag-hybrid")


def answers(system: System, towns: Draw) -> list[Answer]:
    with system:
        system.prepare(towns.corpus)
        return list(system.answer(towns.corpus.questions))


def test_hybrid_finds_what_the_fusion_of_its_two_indexes_finds(
    build: Build, towns: Draw, tiny_model: LocalModel, minilm: TransformersEmbedder
) -> None:
    chunks = chunk_documents(towns.corpus.documents, tiny_model.token_ids, 32)
    fused = FusedIndex([FastBM25Index(chunks), build_dense(chunks, minilm)])
    for answer, question in zip(answers(build("rag-hybrid", top_k=4), towns), towns.corpus.questions, strict=True):
        [hits] = fused.search([question.text], 4)
        expected = [(chunks[hit.position].document_id, chunks[hit.position].start, hit.score) for hit in hits]
        assert [(found.document_id, found.start, found.score) for found in answer.retrieved] == expected


def test_hybrid_takes_over_indexes_of_other_two_and_tells_cost(build: Build, towns: Draw) -> None:
    with SharedWork() as shared:
        sparse = build("rag-sparse", shared=shared).prepare(towns.corpus)
        dense = build("rag-dense", shared=shared).prepare(towns.corpus)
        hybrid = build("rag-hybrid", shared=shared).prepare(towns.corpus)
    assert hybrid.shared
    assert hybrid.seconds["index"] == pytest.approx(sparse.seconds["index"] + dense.seconds["index"])
    assert hybrid.seconds["embed"] == dense.seconds["embed"]
    texts = sum(len(document.text.encode()) for document in towns.corpus.documents)
    assert hybrid.bytes < sparse.bytes + dense.bytes < hybrid.bytes + texts


def test_stemming_and_stop_words_are_those_of_the_index(build: Build, towns: Draw, tiny_model: LocalModel) -> None:
    chunks = chunk_documents(towns.corpus.documents, tiny_model.token_ids, 32)
    asked = replace(towns.corpus.questions[0], text="Are the Ardens as old as the Corvins?")
    found = {}
    for words in (Words(), Words("english", None), Words(None, "english"), Words("english", "english")):
        given = {"stemming": words.stemming, "stop_words": words.stop_words}
        settings = tuple((name, value) for name, value in given.items() if value)
        with build("rag-sparse", settings=settings, top_k=12) as system:
            system.prepare(towns.corpus)
            [answer] = system.answer([asked])
        [hits] = FastBM25Index(chunks, words).search([asked.text], 12)
        told = [(chunk.document_id, chunk.start, chunk.score) for chunk in answer.retrieved]
        assert told == [(chunks[hit.position].document_id, chunks[hit.position].start, hit.score) for hit in hits]
        found[words] = told
    assert len(set(map(tuple, found.values()))) == 4


@pytest.mark.parametrize("name", RETRIEVING)
def test_document_order_shows_same_chunks_in_text_order(
    name: str, build: Build, towns: Draw, tiny_model: LocalModel, read: list[int]
) -> None:
    by_rank = answers(build(name, top_k=4), towns)
    texts = {document.id: document for document in towns.corpus.documents}
    order = list(texts)
    for number, question in enumerate(towns.corpus.questions):
        with build(name, top_k=4, settings=(("chunk_order", "document"),)) as system:
            system.prepare(towns.corpus)
            read.clear()
            [answer] = system.answer([question])
        assert answer.retrieved == by_rank[number].retrieved, "what is told of retrieval stays best first"
        shown = sorted(answer.retrieved, key=lambda found: (order.index(found.document_id), found.start))
        passages = [
            Passage(texts[found.document_id].title, texts[found.document_id].text[found.start : found.end])
            for found in shown
        ]
        expected = tiny_model.context_ids(passages) + tiny_model.question_ids(question.text)
        assert read[: answer.tokens.prompt] == expected


@pytest.mark.parametrize("name", RETRIEVING)
@pytest.mark.parametrize("order", ["rank", "document"])
@pytest.mark.parametrize("budget", [34, 80, 10_000])
def test_a_budget_of_tokens_is_filled_and_never_exceeded(
    name: str, order: str, budget: int, build: Build, towns: Draw, tiny_model: LocalModel
) -> None:
    settings: Any = (("chunk_order", order), ("top_tokens", str(budget)))
    texts = {document.id: document for document in towns.corpus.documents}
    every = len(chunk_documents(towns.corpus.documents, tiny_model.token_ids, 32))
    for answer in answers(build(name, top_k=None, settings=settings), towns):
        passages = [
            Passage(texts[found.document_id].title, texts[found.document_id].text[found.start : found.end])
            for found in answer.retrieved
        ]
        assert 0 < tiny_model.count_tokens([passages_text(passages)])[0] <= budget
        if budget == 10_000:
            assert len(answer.retrieved) == every
        elif budget == 80:
            assert len(answer.retrieved) >= 2
        scores = [found.score for found in answer.retrieved]
        assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("name", RETRIEVING)
def test_chunk_that_fits_behind_some_too_long_ones_is_shown(
    name: str, build: Build, towns: Draw, tiny_model: LocalModel
) -> None:
    text = "The Harrow bridge is long, and Marla Quist built the Harrow bridge by the market in"
    documents = [Document(f"long {year}", "T", f"{text} {year}.") for year in (1911, 1912, 1913)]
    documents.append(Document("short", "T", "Carts."))
    question = replace(towns.corpus.questions[0], text="Who built the Harrow bridge?")
    corpus = replace(towns.corpus, documents=tuple(documents), questions=(question,))
    [tokens] = tiny_model.count_tokens([passages_text([Passage("T", documents[0].text)])])
    settings: Any = (("top_tokens", str(tokens * 3 // 2)),)
    with build(name, top_k=None, chunk_tokens=256, settings=settings) as system:
        system.prepare(corpus)
        [answer] = system.answer([question])
    assert [found.document_id.partition(" ")[0] for found in answer.retrieved] == ["long", "short"]


def test_token_splitting_fills_chunks_that_sentences_leave_short(build: Build, towns: Draw) -> None:
    with SharedWork() as shared:
        by_sentence = build("rag-sparse", shared=shared).prepare(towns.corpus)
        by_token = build("rag-sparse", shared=shared, settings=(("split", "token"),)).prepare(towns.corpus)
    assert not by_token.shared
    assert by_token.counts["chunks"] <= by_sentence.counts["chunks"]


@pytest.mark.parametrize("name", ["rag-dense", "rag-hybrid"])
def test_windows_find_what_stands_behind_what_the_embedder_reads(
    name: str, tiny_model: LocalModel, build: Build, towns: Draw
) -> None:
    filler = "The market opens at eight, and carts come in from the northern road. " * 24
    texts = [filler, filler + "The Harrow bridge was built by Marla Quist in 1911."]
    documents = tuple(Document(f"d{number}", "Town", text) for number, text in enumerate(texts))
    question = replace(towns.corpus.questions[0], text="Who built the Harrow bridge?")
    corpus = replace(towns.corpus, documents=documents, questions=(question,))
    counts, first, scores = {}, {}, {}
    with SharedWork() as shared:  # what one setting has made is not the other's
        for windows, settings in (("off", ()), ("on", (("embed_windows", "on"),))):
            with build(name, shared=shared, top_k=2, chunk_tokens=600, settings=settings) as system:
                counts[windows] = system.prepare(corpus).counts
                [answer] = system.answer([question])
                first[windows] = answer.retrieved[0].document_id
                scores[windows] = answer.retrieved[0].score
    assert counts["off"] == {"chunks": 2, "truncated_chunks": 2}
    assert counts["on"]["windows"] > 2
    assert {**counts["on"], "windows": 0} == {"chunks": 2, "truncated_chunks": 0, "windows": 0}
    assert first["on"] == "d1"
    if name == "rag-dense":
        assert first["off"] == "d0", "both begin alike, so the first is taken"
        assert scores["on"] > scores["off"] + 0.2
