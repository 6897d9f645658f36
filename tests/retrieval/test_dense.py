"""Dense search: exact, steady under ties, and its parts can be timed apart."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmtbench.models.embed import load_embedder
from rmtbench.retrieval.base import Chunk
from rmtbench.retrieval.dense import DenseIndex, build_dense, embed_chunks

CHUNKS = [
    Chunk("a", "River Orle", "It rises in the hills above Tamsin and is 80 km long.", 0, 54),
    Chunk("b", "Marla Quist", "She founded the Harrow works in 1911.", 0, 37),
    Chunk("c", "Bread", "The dough rests for an hour before it is baked.", 0, 47),
    Chunk("d", "Marla Quist", "She founded the Harrow works in 1911.", 0, 37),
]


@pytest.fixture(scope="module")
def minilm():
    return load_embedder("minilm")


def unit(vectors):
    vectors = np.asarray(vectors, dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_the_chunk_that_answers_comes_first_and_equal_chunks_tie(minilm):
    index = build_dense(CHUNKS, minilm)
    river, founder = index.search(["How long is the Orle?", "Who set up the Harrow works?"], 3)
    assert river[0].position == 0
    assert [hit.position for hit in founder][:2] == [1, 3]
    assert founder[0].score == founder[1].score > founder[2].score


def test_the_title_is_embedded_with_the_text(minilm):
    expected = minilm.embed(["Bread\nThe dough rests for an hour before it is baked."])[0]
    assert np.array_equal(embed_chunks(CHUNKS[2:3], minilm)[0], expected)


def test_the_index_keeps_one_vector_a_chunk(minilm):
    assert DenseIndex(embed_chunks(CHUNKS, minilm), minilm).bytes == 4 * 384 * 4


def test_an_index_over_nothing_finds_nothing(minilm):
    assert build_dense([], minilm).search(["word"], 5) == [[]]
    assert build_dense(CHUNKS, minilm).search([], 5) == []


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_every_ranking_is_brute_force_with_ties_by_place(chunks, k, dimension, seed):
    random = np.random.default_rng(seed)
    distinct = unit(random.integers(-2, 3, (max(1, chunks // 2), dimension)) + random.choice([0.1, 0.25]))
    matrix = distinct[random.integers(0, len(distinct), chunks)]
    query = unit(random.standard_normal((1, dimension)))[0]
    scores = [sum(float(a) * float(b) for a, b in zip(row, query, strict=True)) for row in matrix]
    hits = DenseIndex(matrix, embedder=None).search_vector(query, k)
    assert len(hits) == min(k, chunks)
    np.testing.assert_allclose([hit.score for hit in hits], [scores[hit.position] for hit in hits], atol=1e-12)
    found = {hit.position for hit in hits}
    floor = hits[-1].score
    assert all(scores[position] <= floor + 1e-12 for position in range(chunks) if position not in found)
    for before, after in pairwise(hits):
        assert before.score > after.score or before.position < after.position
    for position in range(chunks):  # a chunk left out is no twin of a later one that was found
        twins = [other for other in found if other > position and np.array_equal(matrix[other], matrix[position])]
        assert position in found or not twins


def test_far_twins_tie_exactly():
    random = np.random.default_rng(5)
    matrix = unit(random.standard_normal((1003, 384)))
    twins = [1, 2, 3, 500, 777, 1001, 1002]
    matrix[twins] = matrix[1]
    index = DenseIndex(matrix, embedder=None)
    for query in unit(random.standard_normal((50, 384)) * 0.05 + matrix[1]):
        hits = index.search_vector(query, 5)
        assert [hit.position for hit in hits] == twins[:5]
        assert len({hit.score for hit in hits}) == 1
