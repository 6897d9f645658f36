"""Best-of-windows equals the naive computation: every index, in memory, in files, in Qdrant and through LlamaIndex."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from word_embedder import WordEmbedder

from rmtbench.models.base import Embedder
from rmtbench.models.embed import load_embedder
from rmtbench.retrieval.base import Chunk, Hit, Index
from rmtbench.retrieval.chunks import indexed_text
from rmtbench.retrieval.dense import DenseIndex, build_dense, embed_chunks
from rmtbench.retrieval.dense_build import build_dense_files
from rmtbench.retrieval.dense_files import ApproximateIndex, open_dense
from rmtbench.retrieval.windows import cut_chunks

DEPTHS = (1, 3, 10, 200)


def invent(count: int, longest: int, seed: int = 3) -> list[Chunk]:
    """Chunks of one word up to `longest`, every fifth a twin of an earlier one."""
    draw = random.Random(seed)
    chunks: list[Chunk] = []
    for number in range(count):
        text = " ".join(f"w{draw.randint(0, 60)}" for _ in range(draw.randint(1, longest)))
        if number % 5 == 4:
            text = draw.choice(chunks).text
        chunks.append(Chunk(f"d{number}", "title", text, 0, len(text)))
    return chunks


def naive(chunks: list[Chunk], embedder: Embedder, query: str) -> list[Hit]:
    """Each window embedded by itself, the best inner product in float64, ties by position."""
    [asked] = embedder.embed([query], "query")
    hits = []
    for position, chunk in enumerate(chunks):
        [spans] = embedder.windows([chunk.text], [f"{chunk.title}\n"])
        vectors = embedder.embed([f"{chunk.title}\n{chunk.text[start:end]}" for start, end in spans], "passage")
        hits.append(Hit(position, max(float((vector.astype(np.float64) * asked).sum()) for vector in vectors)))
    return sorted(hits, key=lambda hit: (-hit.score, hit.position))


CHUNKS = invent(60, 80)
QUERIES = ["w3 w4 w5", "w17", "w1 w2 w50 w9 w33", "unknown"]
PROMPTED = WordEmbedder(12, {"query": "w3 ", "passage": "w4 w5 "})


def assert_naive(index: Index, embedder: Embedder, digits: int = 12) -> None:
    for query in QUERIES:
        ranked = naive(CHUNKS, embedder, query)
        for k in DEPTHS:
            [found] = index.search([query], k)
            expected = ranked[:k]
            assert [hit.position for hit in found] == [hit.position for hit in expected]
            np.testing.assert_allclose(
                [hit.score for hit in found], [hit.score for hit in expected], atol=10.0**-digits
            )


@pytest.mark.parametrize(
    "embedder",
    [WordEmbedder(12), PROMPTED, WordEmbedder(None), WordEmbedder(200)],
    ids=["12 tokens", "prompts", "no limit", "200 tokens"],
)
def test_in_memory(embedder: WordEmbedder) -> None:
    cut = cut_chunks(CHUNKS, embedder)
    longest = embedder.max_tokens or 10**9
    assert (len(cut.parts) > 2 * len(CHUNKS)) == (longest == 12)
    assert embedder.truncated([indexed_text(part) for part in cut.parts]) == 0
    assert_naive(build_dense(CHUNKS, embedder), embedder)


def test_where_nothing_is_long_every_bit_is_that_of_whole_chunks() -> None:
    embedder = WordEmbedder(200)
    whole = DenseIndex(embed_chunks(CHUNKS, embedder), embedder)
    assert build_dense(CHUNKS, embedder).search(QUERIES, 60) == whole.search(QUERIES, 60)


@pytest.mark.parametrize("kind", ["flat", "pq", "hnsw", "ivf"])
def test_in_files(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    monkeypatch.setattr("rmtbench.retrieval.dense_build.BLOCK", 16)
    build_dense_files(CHUNKS, tmp_path / "index", PROMPTED, kind)
    index = open_dense(tmp_path / "index", CHUNKS, PROMPTED, kind)
    assert index.vectors == len(cut_chunks(CHUNKS, PROMPTED).parts)
    if isinstance(index, ApproximateIndex):
        index.set_effort(index.vectors)  # all of them: what is left is the reduction to chunks
    assert_naive(index, PROMPTED)
    assert index.search(QUERIES, 60) == build_dense(CHUNKS, PROMPTED).search(QUERIES, 60)


def test_search_with_windows_of_one_chunk_asks_for_more(tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    long = Chunk("long", "", " ".join(f"mill x{number}" for number in range(400)), 0, 0)
    chunks = [long, *(Chunk(f"d{n}", "", f"river {n}", 0, 0) for n in range(30))]
    embedder = WordEmbedder(12)
    build_dense_files(chunks, tmp_path / "index", embedder, "pq")
    index = open_dense(tmp_path / "index", chunks, embedder, "pq")
    assert isinstance(index, ApproximateIndex)
    index.set_effort(1)
    [found] = index.search(["mill"], 5)
    assert len({hit.position for hit in found}) == 5
    assert found[0].position == 0


def test_in_qdrant() -> None:
    pytest.importorskip("qdrant_client")
    pytest.importorskip("llama_index.vector_stores.qdrant")
    from rmtbench.retrieval.qdrant import IN_PROCESS, keep_in_qdrant, open_qdrant

    client = open_qdrant(IN_PROCESS, {})
    index = keep_in_qdrant(CHUNKS, client, PROMPTED, PROMPTED).value
    assert client.count(client.get_collections().collections[0].name).count == index.vectors > 2 * len(CHUNKS)
    assert_naive(index, PROMPTED, digits=5)
    assert set(keep_in_qdrant(CHUNKS, client, PROMPTED, PROMPTED).seconds) == {"load"}
    off = keep_in_qdrant(CHUNKS, client, PROMPTED, PROMPTED, windows=False).value
    assert off.vectors == len(CHUNKS)
    assert len(client.get_collections().collections) == 2


def test_minilm_finds_what_stands_behind_its_256_tokens() -> None:
    minilm = load_embedder("minilm")
    filler = "The market opens at eight, and carts come in from the northern road. "
    texts = [filler * 20 + "The Harrow bridge was built by Marla Quist in 1911. " + filler * 4, filler * 24]
    chunks = [Chunk(str(number), "Town", text, 0, len(text)) for number, text in enumerate(reversed(texts))]
    query = "Who built the Harrow bridge?"
    [on] = build_dense(chunks, minilm).search([query], 2)
    [off] = DenseIndex(embed_chunks(chunks, minilm), minilm).search([query], 2)
    assert on[0].position == 1
    assert on[0].score > off[0].score + 0.2
    assert off[0].score == off[1].score, "both chunks begin alike"
