"""Our fast BM25 and rank-bm25: the same scores to the last bit, hence the same ranking."""

import json
import os
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rank_bm25 import BM25Okapi

from rmtbench.retrieval.base import Chunk
from rmtbench.retrieval.bm25 import FastBM25Index, RankBM25Index
from rmtbench.retrieval.words import words


def make_chunks(texts):
    return [Chunk(str(number), "", text, 0, max(1, len(text))) for number, text in enumerate(texts)]


def assert_same(chunks, queries, k=10):
    ours, reference = FastBM25Index(chunks), RankBM25Index(chunks)
    for query in queries:
        difference = np.abs(ours.scores(query) - reference.scores(query)).max(initial=0)
        assert difference == 0, f"{query!r}: largest difference {difference}"
    assert ours.search(queries, k) == reference.search(queries, k)


CRAFTED = {
    "a word in every chunk, so that idf is negative": ["a b", "a c", "a d", "a a a"],
    "a word in just half of the chunks, so that idf is zero": ["a b", "a c", "d e", "f g"],
    "a mean idf below zero, so that the floor would be negative": ["a b", "a b", "a b"],
    "one chunk": ["a b c"],
    "an empty chunk between others": ["a b", "", "b c", "?"],
    "very unequal lengths": ["a " * 500 + "b", "b", "a b c d e f"],
    "capitals, digits and accents": ["Élan VITAL 42", "elan vital", "ÉLAN 42 42"],
}


@pytest.mark.parametrize("texts", CRAFTED.values(), ids=CRAFTED.keys())
def test_crafted_corpora(texts):
    assert_same(make_chunks(texts), ["a", "a b", "b b a", "É lan 42", "nothing", "", "c d e f g"])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from("aabbcdefgh"), max_size=12).map(" ".join), max_size=12),
    st.lists(st.lists(st.sampled_from("abcdefghz"), max_size=6).map(" ".join), max_size=4),
)
def test_any_small_corpus(texts, queries):
    assert_same(make_chunks(texts), queries, k=5)


def test_a_corpus_with_word_frequencies_like_a_language():
    draw = random.Random(7)
    vocabulary = [f"w{rank}" for rank in range(3000)]
    weights = [1 / (rank + 1) for rank in range(3000)]
    texts = [" ".join(draw.choices(vocabulary, weights, k=draw.randint(5, 200))) for _ in range(400)]
    queries = [" ".join(draw.choices(vocabulary, weights, k=draw.randint(1, 15))) for _ in range(30)]
    assert_same(make_chunks([*texts, *texts[:20]]), queries)


def test_the_reference_is_the_package_itself_on_title_and_text():
    chunks = [
        Chunk("a", "The Mill", "by the river", 0, 12),
        Chunk("b", "Orle", "a river", 0, 7),
        Chunk("c", "", "x", 0, 1),
    ]
    package = BM25Okapi([["the", "mill", "by", "the", "river"], ["orle", "a", "river"], ["x"]])
    assert (
        RankBM25Index(chunks).scores("The Orle river").tolist() == package.get_scores(["the", "orle", "river"]).tolist()
    )


@pytest.mark.parametrize("kind", [FastBM25Index, RankBM25Index])
@pytest.mark.parametrize("others", [1, 2])
def test_few_chunks_are_found_by_their_own_words(kind, others):
    chunks = make_chunks(["the sea is by the town of Orle", *["the sea is by the town"] * others])
    index = kind(chunks[::-1])
    assert [hit.position for hit in index.search(["where is Orle by the sea"], 1)[0]] == [others]
    assert (index.scores("the town by the sea") > 0).all()


@pytest.mark.real
def test_real_paragraphs_and_questions():
    folder = os.environ.get("RMTBENCH_DATA")
    if not folder:
        pytest.skip("RMTBENCH_DATA is not set")
    path = Path(folder) / "hotpotqa/hotpot_subset_distractor.json"
    rows = json.loads(path.read_text(encoding="utf-8"))[:40]
    chunks = [
        Chunk(f"{row['_id']} {title}", title, "".join(sentences), 0, 1)
        for row in rows
        for title, sentences in row["context"]
    ]
    assert sum(len(words(chunk.text)) for chunk in chunks) > 20_000
    assert_same(chunks, [row["question"] for row in rows])
