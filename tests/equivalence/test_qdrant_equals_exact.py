"""Qdrant, through LlamaIndex's own class and within this process, finds what our exact search finds."""

import threading

import numpy as np
import pytest

from rmtbench.errors import ServerGoneError
from rmtbench.models.embed import load_embedder
from rmtbench.retrieval.base import Chunk
from rmtbench.retrieval.dense import DenseIndex, embed_chunks

pytest.importorskip("qdrant_client")
pytest.importorskip("llama_index.vector_stores.qdrant")

from qdrant_client import QdrantClient

from rmtbench.retrieval.qdrant import IN_PROCESS, keep_in_qdrant, open_qdrant

QUERIES = ["who is mayor of Arden?", "which river ends at the sea?", "bread and how long its dough rests", "year 12"]


@pytest.fixture(scope="module")
def embedder():
    return load_embedder("minilm")


@pytest.fixture(scope="module")
def chunks():
    texts = [f"In the year {year} {name} was mayor of {town}." for year, (name, town) in enumerate(
        (name, town) for name in ("Tam", "Odo", "Ines", "Bela", "Ruth") for town in ("Arden", "Oss", "Lune", "Wray")
    )]  # fmt: skip
    return [Chunk(str(place), "Mayors", text, 0, len(text)) for place, text in enumerate(texts)]


@pytest.fixture
def client():
    return open_qdrant(IN_PROCESS, {})


def make(chunks, client, embedder):
    kept = keep_in_qdrant(chunks, client, embedder, embedder)
    return kept.value, kept.seconds


def test_rankings_and_scores_are_those_of_exact_search(chunks, client, embedder):
    index, seconds = make(chunks, client, embedder)
    exact = DenseIndex(embed_chunks(chunks, embedder), embedder)
    for k in (1, 3, 10, 50):
        for found, expected in zip(index.search(QUERIES, k), exact.search(QUERIES, k), strict=True):
            assert [hit.position for hit in found] == [hit.position for hit in expected]
            np.testing.assert_allclose([h.score for h in found], [h.score for h in expected], atol=1e-5)
    assert set(seconds) == {"embed", "index"}
    assert index.bytes == 20 * 384 * 4


def test_of_chunks_with_the_same_text_the_first_are_found(client, embedder):
    chunks = [Chunk(str(place), "", "The dough rests.", 0, 16) for place in range(30)]
    index, _ = make(chunks, client, embedder)
    exact = DenseIndex(embed_chunks(chunks, embedder), embedder)
    assert [hit.position for hit in index.search(["dough"], 4)[0]] == [0, 1, 2, 3]
    assert [hit.position for hit in exact.search(["dough"], 4)[0]] == [0, 1, 2, 3]


def test_existing_is_reused_and_missing_is_added(chunks, client, embedder):
    first, _ = make(chunks, client, embedder)
    again, seconds = make(chunks, client, embedder)
    assert set(seconds) == {"load"}
    assert again.search(QUERIES, 5) == first.search(QUERIES, 5)
    [collection] = [each.name for each in client.get_collections().collections]
    torn = [point.id for point in client.scroll(collection, limit=7)[0]]
    client.delete(collection, torn)
    mended, seconds = make(chunks, client, embedder)
    assert set(seconds) == {"embed", "index"}
    assert client.count(collection).count == len(chunks)
    assert mended.search(QUERIES, 5) == first.search(QUERIES, 5)


def test_other_chunks_never_meet_what_is_there(chunks, client, embedder):
    first, _ = make(chunks, client, embedder)
    other, _ = make(chunks[:3], client, embedder)
    assert len(client.get_collections().collections) == 2
    assert len(other.search(QUERIES, 50)[0]) == 3
    assert len(first.search(QUERIES, 50)[0]) == 20


def test_no_chunks_give_no_hits(client, embedder):
    index, _ = make([], client, embedder)
    assert index.search(QUERIES, 3) == [[], [], [], []]


def test_several_threads_get_what_one_gets(chunks, client, embedder):
    index, _ = make(chunks, client, embedder)
    vectors = embedder.embed(QUERIES * 8)
    expected = [index.search_vector(vector, 3) for vector in vectors]
    got = [None] * len(vectors)

    def ask(place):
        got[place] = index.search_vector(vectors[place], 3)

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(len(vectors))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == expected


def test_a_server_that_is_gone_stops_run_and_lets_it_be_resumed(chunks, embedder):
    gone = QdrantClient(url="http://127.0.0.1:9", check_compatibility=False)
    with pytest.raises(ServerGoneError, match=r"does not answer any more \(no connection\)") as caught:
        make(chunks, gone, embedder)
    assert "the same command resumes" in caught.value.remedy
