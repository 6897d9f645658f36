"""LlamaIndex's BM25Retriever beside our BM25: where both must agree, and by which formula they differ."""

import math
import random

import pytest

from rmtbench.retrieval.base import Chunk
from rmtbench.retrieval.bm25 import K1, B, FastBM25Index
from rmtbench.retrieval.words import Words

pytest.importorskip("llama_index.retrievers.bm25", reason="the extra llama-bm25 is not installed")

from rmtbench.retrieval.llama_bm25 import LlamaBM25Index

# Words that are their own stems, have two letters or more, and are no stop words: none is told apart by tokenizers.
VOCABULARY = [f"w{rank}" for rank in range(300)]


def make_chunks(texts):
    return [Chunk(str(number), "", text, 0, max(1, len(text))) for number, text in enumerate(texts)]


@pytest.fixture(scope="module")
def texts():
    draw = random.Random(3)
    weights = [1 / (rank + 3) for rank in range(300)]
    return [" ".join(draw.choices(VOCABULARY, weights, k=draw.randint(5, 80))) for _ in range(200)]


def found(index, query, k):
    return [hit.position for hit in index.search([query], k)[0] if hit.score > 0]


def test_a_query_of_one_word_ranks_all_chunks_alike(texts):
    chunks = make_chunks(texts)
    ours, theirs = FastBM25Index(chunks), LlamaBM25Index(chunks)
    for word in VOCABULARY:
        assert found(theirs, word, 200) == found(ours, word, 200), word


def test_k_changes_no_rank_and_ties_go_to_first_chunk(texts):
    chunks = make_chunks(texts + texts[:50])
    index = LlamaBM25Index(chunks)
    for query in ("w1", "w7 w30 w2"):
        whole = index.search([query], 250)[0]
        assert whole == sorted(whole, key=lambda hit: (-hit.score, hit.position))
        assert sorted(hit.position for hit in whole) == list(range(250))
        for k in (1, 3, 10, 60):
            assert index.search([query], k)[0] == whole[:k]


def test_scores_are_those_of_lucenes_formula(texts):
    chunks, query = make_chunks(texts), ["w0", "w11", "w250"]
    words = [text.split() for text in texts]
    mean = sum(map(len, words)) / len(words)
    holding = {word: sum(word in chunk for chunk in words) for word in query}
    hits = {hit.position: hit.score for hit in LlamaBM25Index(chunks).search([" ".join(query)], 200)[0]}
    for position, chunk in enumerate(words):
        expected = sum(
            math.log(1 + (len(words) - holding[word] + 0.5) / (holding[word] + 0.5))
            * chunk.count(word)
            / (chunk.count(word) + K1 * (1 - B + B * len(chunk) / mean))
            for word in query
        )
        assert hits[position] == pytest.approx(expected, rel=1e-5)


def test_it_stems_english_as_ours_does():
    chunks = make_chunks(["The rivers are flowing.", "A mayor was elected.", "Elections of mayors", "Bread", "Dough"])
    ours, theirs = FastBM25Index(chunks, Words("english", "english")), LlamaBM25Index(chunks)
    for query in ("river", "the flow of it", "mayor", "elected"):
        assert found(theirs, query, 5) == found(ours, query, 5) != []
    assert found(theirs, "the", 5) == []


@pytest.mark.parametrize("texts", [[], [""], ["!?"], ["the of", "a"]], ids=["none", "empty", "signs", "stop words"])
def test_corpus_without_words_finds_nothing_and_does_not_fail(texts):
    index = LlamaBM25Index(make_chunks(texts))
    for query in ("river", "", "?"):
        hits = index.search([query], 5)[0]
        assert [(hit.position, hit.score) for hit in hits] == [(place, 0.0) for place in range(len(texts))]


@pytest.mark.parametrize("query", ["", "?", "the", "unheard"])
def test_a_query_without_any_known_word_finds_nothing(texts, query):
    assert found(LlamaBM25Index(make_chunks(texts)), query, 5) == []
