"""Retrieval-augmented generation: the corpus is cut and indexed once, and each prompt holds the top-k chunks.

Chunks and indexes are shared by all runs of a command that differ only in top-k; each still reports what they cost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Self

from rmtbench.core import Answer, Corpus, Prepared, Question, Retrieved
from rmtbench.measure import Stopwatch
from rmtbench.models.base import Passage, Prompt
from rmtbench.retrieval.base import Chunk, Index
from rmtbench.systems.base import Equipment, Found, SystemKind, answer_batch, batches, generate_apart

BuildIndex = Callable[[Equipment, Sequence[Chunk], Stopwatch], tuple[Index, Mapping[str, int]]]
"""Indexes chunks, adding what it costs to the stopwatch's parts, and counts what `Prepared.counts` tells."""


class RetrievalAugmented:
    """A `System` over one index; how the index is made is its one setting."""

    def __init__(self, equipment: Equipment, kind: str, build: BuildIndex) -> None:
        if equipment.spec.top_k is None:
            raise ValueError("retrieval needs top_k")
        self._equipment, self._kind, self._build = equipment, kind, build
        self._top_k: int = equipment.spec.top_k
        self._chunks: Sequence[Chunk] = ()
        self._index: Index | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._index = None

    def prepare(self, corpus: Corpus) -> Prepared:
        """Cut the documents into chunks and index them, or take over what another run of this command made."""
        spec, shared = self._equipment.spec, self._equipment.shared
        cut = (corpus.sha256, spec.chunk_tokens, spec.chunk_overlap)
        (self._chunks, chunk_seconds), _ = shared.get(("chunks", *cut), lambda: self._cut(corpus))
        (self._index, index_seconds, index_counts), ready = shared.get(
            (self._kind, *cut, spec.embedder), self._make_index
        )
        kept = self._index.bytes + sum(len(chunk.text.encode()) for chunk in self._chunks)
        counts = {"chunks": len(self._chunks), **index_counts}
        return Prepared({**chunk_seconds, **index_seconds}, bytes=kept, shared=ready, counts=counts)

    def answer(self, questions: Sequence[Question]) -> Iterator[Answer]:
        """Retrieve, then read the chunks and the question, best chunk first.

        Raises:
            RuntimeError: `prepare` was not called.
        """
        if self._index is None:
            raise RuntimeError("answer before prepare")
        for batch in batches(questions, self._equipment.spec.batch):
            started = time.perf_counter()
            ranked = self._index.search([question.text for question in batch], self._top_k)
            chosen = [[(self._chunks[hit.position], hit.score) for hit in hits] for hits in ranked]
            seconds = (time.perf_counter() - started) / len(batch)
            prompts = [
                Prompt(tuple(Passage(chunk.title, chunk.text) for chunk, _ in row), question.text)
                for row, question in zip(chosen, batch, strict=True)
            ]
            found = [
                Found(tuple(Retrieved(c.document_id, c.start, c.end, float(score)) for c, score in row), seconds)
                for row in chosen
            ]
            generate = partial(generate_apart, self._equipment.model.generate, prompts)
            yield from answer_batch(batch, generate, started, found)

    def _cut(self, corpus: Corpus) -> tuple[Sequence[Chunk], dict[str, float]]:
        from rmtbench.retrieval.chunks import chunk_documents, warm_up

        spec = self._equipment.spec
        warm_up()
        watch = Stopwatch()
        with watch.part("chunk"):
            chunks = chunk_documents(
                corpus.documents, self._equipment.model.token_ids, spec.chunk_tokens, spec.chunk_overlap
            )
        return chunks, watch.seconds

    def _make_index(self) -> tuple[Index, dict[str, float], Mapping[str, int]]:
        watch = Stopwatch()
        index, counts = self._build(self._equipment, self._chunks, watch)
        return index, watch.seconds, counts


def _build_sparse(_equipment: Equipment, chunks: Sequence[Chunk], watch: Stopwatch) -> tuple[Index, Mapping[str, int]]:
    from rmtbench.retrieval.bm25 import FastBM25Index

    with watch.part("index"):
        return FastBM25Index(chunks), {}


def _build_dense(equipment: Equipment, chunks: Sequence[Chunk], watch: Stopwatch) -> tuple[Index, Mapping[str, int]]:
    from rmtbench.models.embed_cache import CachedEmbedder
    from rmtbench.retrieval.chunks import indexed_text
    from rmtbench.retrieval.dense import DenseIndex, embed_chunks

    if equipment.embedder is None or equipment.document_embedder is None:
        raise ValueError("dense retrieval needs an embedder")
    cache = equipment.document_embedder if isinstance(equipment.document_embedder, CachedEmbedder) else None
    computed = cache.misses if cache else 0
    made = Stopwatch()
    with made.part("embed"):
        matrix = embed_chunks(chunks, equipment.document_embedder)
    # Embeddings that were only looked up on disk are a load, and never pass for the cost of embedding.
    part = "load" if cache and cache.misses == computed else "embed"
    watch.seconds[part] = made.seconds["embed"]
    with watch.part("index"):
        index = DenseIndex(matrix, equipment.embedder)
    return index, {"truncated_chunks": equipment.embedder.truncated([indexed_text(chunk) for chunk in chunks])}


RAG_SPARSE = SystemKind(
    "rag-sparse",
    "the top-k chunks by BM25",
    lambda equipment: RetrievalAugmented(equipment, "sparse", _build_sparse),
    takes_top_k=True,
)
RAG_DENSE = SystemKind(
    "rag-dense",
    "the top-k chunks by embedding similarity",
    lambda equipment: RetrievalAugmented(equipment, "dense", _build_dense),
    takes_top_k=True,
    needs_embedder=True,
)
