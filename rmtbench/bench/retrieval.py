"""How long one query takes: our BM25 and dense search beside rank-bm25 and LlamaIndex's SimpleVectorStore.

The text is invented, of realistic length. The vectors are random: exact search costs the same for any vectors.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from rmtbench.bench.figures import Figures
from rmtbench.measure import with_seconds
from rmtbench.retrieval.base import Chunk
from rmtbench.runs.provenance import surroundings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Query = TypeVar("Query")
Found = TypeVar("Found")

SYLLABLES = "ba do fen gar hi jo kel lu mor ni pra qui ros sta tir vu"
WARM_UP = 5
"""Queries asked before the clock starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchFigures(Figures):
    """What `run` measured.

    Attributes:
        dimension: Of the vectors.
        milliseconds: A query's median (`sparse_ms`, `dense_ms`, `rank_bm25_ms`, `simple_vector_store_ms`) and 90th
            percentile (`*_p90_ms`). Dense search does not include embedding its query (`embed_query_ms`).
            `dense_product_ms` is the matrix product alone, the lower bound of exact search.
        sparse_speedup: Compared with rank-bm25.
        dense_speedup: Compared with SimpleVectorStore.
        rankings_equal: Whether all our rankings equal those of rank-bm25 and of brute force in float64.
        simple_vector_store_rankings_equal: Whether all our rankings equal those of SimpleVectorStore.
    """

    chunks: int
    queries: int
    k: int
    dimension: int
    milliseconds: Mapping[str, float]
    sparse_speedup: float
    dense_speedup: float
    sparse_build_s: float
    rank_bm25_build_s: float
    dense_build_s: float
    simple_vector_store_build_s: float
    sparse_bytes: int
    dense_bytes: int
    rankings_equal: bool
    simple_vector_store_rankings_equal: bool

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values; each of `milliseconds` is one of them."""
        fields = Figures.to_json(self)
        return {
            name: value
            for key, entry in fields.items()
            for name, value in (entry.items() if key == "milliseconds" else [(key, entry)])
        }


def run(chunks: int = 5000, queries: int = 200, k: int = 10) -> SearchFigures:
    """Time every search over the same chunks and queries, one query at a time, and compare what they find.

    Args:
        chunks: Number of chunks, of 100 to 500 words each.
        queries: Number of queries, at least 2.
        k: Number of chunks that a query gets.
    """
    from rmtbench.models.embed import load_embedder
    from rmtbench.retrieval.bm25 import FastBM25Index, RankBM25Index
    from rmtbench.retrieval.dense import DenseIndex

    texts = invent_chunks(chunks, seed=0)
    questions = invent_queries(texts, queries, seed=1)
    embedder = load_embedder("minilm")
    vectors, embed_query = time_each(lambda text: embedder.embed([text], "query")[0], questions)
    matrix = unit_vectors(chunks, embedder.dimension, seed=2)

    RankBM25Index(texts[:1]), _simple_vector_store(matrix[:1])  # imports are not part of the build time
    sparse, sparse_build = with_seconds(lambda: FastBM25Index(texts))
    reference, reference_build = with_seconds(lambda: RankBM25Index(texts))
    dense, dense_build = with_seconds(lambda: DenseIndex(matrix, embedder))
    store, store_build = with_seconds(lambda: _simple_vector_store(matrix))

    sparse_hits, sparse_ms = time_each(lambda text: sparse.search([text], k)[0], questions)
    reference_hits, reference_ms = time_each(lambda text: reference.search([text], k)[0], questions)
    dense_hits, dense_ms = time_each(lambda vector: dense.search_vector(vector, k), vectors)
    _, product_ms = time_each(lambda vector: matrix @ vector, vectors)
    store_hits, store_ms = time_each(lambda vector: store(vector, k), vectors)

    dense_found = [[hit.position for hit in hits] for hits in dense_hits]
    return SearchFigures(
        chunks=chunks,
        queries=queries,
        k=k,
        dimension=embedder.dimension,
        milliseconds={
            **_summary("dense_product", product_ms),
            **_summary("sparse", sparse_ms),
            **_summary("rank_bm25", reference_ms),
            **_summary("dense", dense_ms),
            **_summary("simple_vector_store", store_ms),
            **_summary("embed_query", embed_query),
        },
        sparse_speedup=statistics.median(reference_ms) / statistics.median(sparse_ms),
        dense_speedup=statistics.median(store_ms) / statistics.median(dense_ms),
        sparse_build_s=sparse_build,
        rank_bm25_build_s=reference_build,
        dense_build_s=dense_build,
        simple_vector_store_build_s=store_build,
        sparse_bytes=sparse.bytes,
        dense_bytes=dense.bytes,
        rankings_equal=sparse_hits == reference_hits and dense_found == _brute_force(matrix, vectors, k),
        simple_vector_store_rankings_equal=dense_found == store_hits,
        made_by=surroundings("cpu"),
    )


def invent_chunks(count: int, seed: int) -> list[Chunk]:
    """Make chunks of 100 to 500 invented words, whose frequencies fall with their rank as in a language.

    Args:
        count: Number of chunks.
        seed: Decides every word.
    """
    draw = random.Random(seed)  # noqa: S311  # not for secrets
    syllables = SYLLABLES.split()
    vocabulary = ["".join(draw.choices(syllables, k=draw.randint(1, 4))) for _ in range(20_000)]
    weights = [1 / rank for rank in range(1, len(vocabulary) + 1)]
    chunks = []
    for number in range(count):
        text = " ".join(draw.choices(vocabulary, weights, k=draw.randint(100, 500)))
        chunks.append(Chunk(f"document {number}", " ".join(draw.choices(vocabulary, k=2)), text, 0, len(text)))
    return chunks


def invent_queries(chunks: Sequence[Chunk], count: int, seed: int) -> list[str]:
    """Make queries of 6 to 20 words, each taken from one of the chunks.

    Args:
        chunks: Where the words come from; at least one.
        count: Number of queries.
        seed: Decides chunks and words.
    """
    draw = random.Random(seed)  # noqa: S311  # not for secrets
    return [" ".join(draw.sample(draw.choice(chunks).text.split(), k=draw.randint(6, 20))) for _ in range(count)]


def unit_vectors(count: int, dimension: int, seed: int | Sequence[int]) -> NDArray[np.float32]:
    """Return random unit vectors, ``[count, dimension]``."""
    import numpy as np

    vectors = np.random.default_rng(seed).standard_normal((count, dimension), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def _simple_vector_store(matrix: NDArray[np.float32]) -> Callable[[NDArray[np.float32], int], list[int]]:
    """Return a search over the same vectors in LlamaIndex's default store; it returns positions."""
    from llama_index.core.schema import TextNode
    from llama_index.core.vector_stores import SimpleVectorStore, VectorStoreQuery

    store = SimpleVectorStore()
    store.add([TextNode(id_=str(row), text="", embedding=vector.tolist()) for row, vector in enumerate(matrix)])

    def search(vector: NDArray[np.float32], k: int) -> list[int]:
        found = store.query(VectorStoreQuery(query_embedding=vector.tolist(), similarity_top_k=k))
        return [int(node_id) for node_id in found.ids]

    return search


def _brute_force(matrix: NDArray[np.float32], vectors: Sequence[NDArray[np.float32]], k: int) -> list[list[int]]:
    import numpy as np

    exact = matrix.astype(np.float64)
    return [np.argsort(-(exact @ vector), kind="stable")[:k].tolist() for vector in vectors]


def time_each(search: Callable[[Query], Found], queries: Sequence[Query]) -> tuple[list[Found], list[float]]:
    """Return what each query found, and its milliseconds; `WARM_UP` queries are also asked before the clock starts."""
    for query in queries[:WARM_UP]:
        search(query)
    timed = [with_seconds(partial(search, query)) for query in queries]
    return [found for found, _ in timed], [1000 * seconds for _, seconds in timed]


def _summary(name: str, milliseconds: list[float]) -> dict[str, float]:
    return {
        f"{name}_ms": statistics.median(milliseconds),
        f"{name}_p90_ms": statistics.quantiles(milliseconds, n=10, method="inclusive")[-1],
    }
