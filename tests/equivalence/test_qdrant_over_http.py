"""Embeddings that a Qdrant server keeps, in another process and by HTTP, give the hits of exact search.

The server is `qdrant_server`, which speaks the protocol: Qdrant's own program is in no package.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from subprocess import Popen

import numpy as np
import pytest
from word_embedder import WordEmbedder

from rmtbench.errors import ServerGoneError
from rmtbench.retrieval.base import Chunk
from rmtbench.retrieval.dense import DenseIndex, embed_chunks

pytest.importorskip("qdrant_client")
pytest.importorskip("llama_index.vector_stores.qdrant")

from qdrant_server import qdrant_server

from rmtbench.retrieval.qdrant import QdrantIndex, keep_in_qdrant, open_qdrant

TEXTS = [f"mill {number} by the {river}" for number in range(30) for river in ("Oss", "Lune", "Wray")]
CHUNKS = [Chunk(str(place), "Mills", text, 0, len(text)) for place, text in enumerate(TEXTS)]
QUERIES = ["mill 3", "the Lune", "mill 29 by the Wray"]


@pytest.fixture
def server() -> Iterator[tuple[str, Popen[str]]]:
    with qdrant_server() as running:
        yield running


def kept(url: str) -> tuple[QdrantIndex, set[str]]:
    embedder = WordEmbedder()
    made = keep_in_qdrant(CHUNKS, open_qdrant(url, {}), embedder, embedder, windows=False)
    return made.value, set(made.seconds)


def test_hits_over_http_are_those_of_exact_search(server: tuple[str, Popen[str]]) -> None:
    index, parts = kept(server[0])
    assert parts == {"embed", "index"}
    exact = DenseIndex(embed_chunks(CHUNKS, WordEmbedder()), WordEmbedder())
    for found, expected in zip(index.search(QUERIES, 5), exact.search(QUERIES, 5), strict=True):
        np.testing.assert_allclose([hit.score for hit in found], [hit.score for hit in expected], atol=1e-5)
    assert index.bytes == 0  # the server's memory is not this process's
    again, parts = kept(server[0])
    assert parts == {"load"}
    assert again.search(QUERIES, 5) == index.search(QUERIES, 5)


def test_processes_that_fill_one_collection_end_with_one(server: tuple[str, Popen[str]]) -> None:
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(kept(server[0])[0].search(QUERIES, 5))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert found[0] == found[1] == found[2]
    assert len(open_qdrant(server[0], {}).get_collections().collections) == 1


def test_a_server_killed_between_two_searches_is_told(server: tuple[str, Popen[str]]) -> None:
    url, process = server
    index, _ = kept(url)
    process.kill()
    process.wait()
    with pytest.raises(ServerGoneError, match="does not answer any more"):
        index.search(QUERIES, 5)
