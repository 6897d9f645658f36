"""How a retrieving system's indexes are made: its settings as its spec has them, and one builder for each kind.

An index is made in memory, or kept in a folder and memory-mapped, where it is refused if it is of anything else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from rmtbench.core import RunSpec
from rmtbench.measure import Stopwatch
from rmtbench.retrieval.base import Chunk, Index
from rmtbench.retrieval.chunks import Split, indexed_text
from rmtbench.retrieval.words import Words
from rmtbench.systems.base import Equipment, embedded_tokens


@dataclass(frozen=True, slots=True)
class RetrievalSettings:
    """What a spec's `options` say of retrieval; `kept` is how a kept index is to be, None for one in memory.

    `chunk_cache` is the most memory of chunks' caches, None for chunks that are read with each prompt; `vector_store`
    says where else than here embeddings are kept. `windows` says whether a chunk longer than its embedder reads is
    embedded by windows.
    """

    words: Words
    split: Split
    chunk_order: str
    top_tokens: int | None
    reranker: str | None
    candidates: int
    kept: str | None
    chunk_cache: str | None
    sparse_backend: str
    vector_store: str | None
    windows: bool

    @classmethod
    def of(cls, spec: RunSpec) -> Self:
        """Read them from a spec; what it does not name is as usual."""
        chosen = spec.options
        return cls(
            words=Words(chosen.stemming, chosen.stop_words),
            split=chosen.split,
            chunk_order=chosen.chunk_order,
            top_tokens=chosen.top_tokens,
            reranker=chosen.reranker,
            candidates=chosen.candidates,
            kept=chosen.index,
            chunk_cache=chosen.chunk_cache,
            sparse_backend=chosen.sparse_backend,
            vector_store=chosen.vector_store,
            windows=chosen.embed_windows,
        )


class VectorIndex(Index, Protocol):
    """An index over vectors, which may be more than its chunks."""

    @property
    def vectors(self) -> int:
        """How many vectors it searches: one for each window."""
        ...


@dataclass(frozen=True, slots=True)
class Built:
    """An index, its cost by part, and what `Prepared.counts` tells of it."""

    index: Index
    seconds: Mapping[str, float]
    counts: Mapping[str, int]


def build_sparse(equipment: Equipment, settings: RetrievalSettings, chunks: Sequence[Chunk], corpus_id: str) -> Built:
    """BM25 over the chunks' titles and texts."""
    from rmtbench.retrieval.bm25 import FastBM25Index

    watch = Stopwatch()
    if settings.sparse_backend == "llama-index":
        from rmtbench.retrieval.llama_bm25 import LlamaBM25Index

        with watch.part("index"):
            return Built(LlamaBM25Index(chunks), watch.seconds, {})
    folder = _folder(equipment, settings, corpus_id, "sparse")
    if folder is None:
        with watch.part("index"):
            return Built(FastBM25Index(chunks, settings.words), watch.seconds, {})
    from rmtbench.retrieval.bm25_build import build_bm25
    from rmtbench.retrieval.bm25_files import open_bm25

    if not folder.exists():
        with watch.part("index"):
            build_bm25(chunks, folder, settings.words)
    with watch.part("load"):
        index = open_bm25(folder, chunks, settings.words)
    return Built(index, watch.seconds, {})


def build_dense(equipment: Equipment, settings: RetrievalSettings, chunks: Sequence[Chunk], corpus_id: str) -> Built:
    """The chunks' embeddings: exact search in memory, or what a kept index is by its size or by wish."""
    from rmtbench.models.embed_cache import CachedEmbedder

    if equipment.embedder is None or equipment.document_embedder is None:
        raise ValueError("dense retrieval needs an embedder")
    watch = Stopwatch()
    folder = _folder(equipment, settings, corpus_id, "dense")
    sent = embedded_tokens(equipment.document_embedder)
    cache = equipment.document_embedder if isinstance(equipment.document_embedder, CachedEmbedder) else None
    spared, unmeasured = (cache.spared_seconds, cache.unmeasured) if cache else (0.0, 0)
    index = _dense_index(equipment, settings, chunks, folder, watch)
    # What an earlier run embedded counts with the seconds it took then; where these are not known it is a load, and
    # never passes for the cost of embedding.
    spared = cache.spared_seconds - spared if cache else 0.0
    unknown = cache is not None and cache.unmeasured > unmeasured
    seconds: dict[str, float] = {}
    for part, spent in watch.seconds.items():
        name = "load" if part == "embed" and unknown else part
        seconds[name] = seconds.get(name, 0.0) + spent + (spared if part == "embed" and not unknown else 0.0)
    sent = embedded_tokens(equipment.document_embedder) - sent
    if settings.windows:
        counts = {"truncated_chunks": 0, "windows": index.vectors}
    else:
        counts = {"truncated_chunks": equipment.embedder.truncated([indexed_text(chunk) for chunk in chunks])}
    return Built(index, seconds, counts | ({"embedded_tokens": sent} if sent else {}))


def _dense_index(
    equipment: Equipment, settings: RetrievalSettings, chunks: Sequence[Chunk], folder: Path | None, watch: Stopwatch
) -> VectorIndex:
    """Embeddings by Qdrant, in memory, or in a folder."""
    from rmtbench.retrieval.dense import DenseIndex, embed_chunks
    from rmtbench.retrieval.windows import cut_chunks, whole_chunks

    if equipment.embedder is None or equipment.document_embedder is None:
        raise ValueError("dense retrieval needs an embedder")
    questions, documents = equipment.embedder, equipment.document_embedder
    if settings.vector_store is not None:
        from rmtbench.retrieval.qdrant import QdrantIndex

        if equipment.qdrant is None:
            raise ValueError("the spec has Qdrant keep its embeddings, and there is none")
        return QdrantIndex(chunks, equipment.qdrant, questions, documents, watch, windows=settings.windows)
    if folder is None:
        with watch.part("embed"):
            cut = cut_chunks(chunks, documents) if settings.windows else whole_chunks(chunks)
            matrix = embed_chunks(cut.parts, documents)
        with watch.part("index"):
            return DenseIndex(matrix, questions, cut.starts)
    from rmtbench.retrieval.dense_files import build_dense_files, open_dense

    kind = (settings.kept or "").rpartition(" ")[2]
    if not folder.exists():
        build_dense_files(chunks, folder, documents, kind, watch, windows=settings.windows)
    with watch.part("load"):
        return open_dense(folder, chunks, questions, kind, windows=settings.windows)


BUILDERS: Mapping[str, Callable[[Equipment, RetrievalSettings, Sequence[Chunk], str], Built]] = {
    "sparse": build_sparse,
    "dense": build_dense,
}
"""Builders by the name of what they make."""


def _folder(equipment: Equipment, settings: RetrievalSettings, corpus_id: str, part: str) -> Path | None:
    if settings.kept is None:
        return None
    if equipment.indexes is None:
        raise ValueError("the spec has its indexes kept, and there is no folder for them")
    return equipment.indexes / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', corpus_id)}-{part}"
