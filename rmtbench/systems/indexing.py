"""How the indexes of a retrieving system are made: settings from its spec, and one builder for each kind.

An index is made in memory, or kept in a folder and memory-mapped. A kept index made from anything else is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from rmtbench.core import RunSpec
from rmtbench.measure import Stopwatch, Timed, add_seconds, timed
from rmtbench.models.base import Embedder
from rmtbench.retrieval.base import Chunk, Index
from rmtbench.retrieval.chunks import Split, indexed_text
from rmtbench.retrieval.words import Words
from rmtbench.systems.base import Resources, embedded_tokens


@dataclass(frozen=True, slots=True)
class RetrievalSettings:
    """What a spec's options say about retrieval.

    Attributes:
        words: What BM25 counts as a word.
        split: How documents are cut into chunks.
        chunk_order: Order of the chunks in a prompt.
        top_tokens: Most tokens of chunks in a prompt; None if chunks are counted by number.
        reranker: What ranks the candidates again; None for nothing.
        candidates: How many chunks the reranker gets.
        kept: How a kept index is made; None for an index in memory.
        chunk_cache: Most memory of the chunks' caches; None if chunks are read with each prompt.
        sparse_backend: What computes BM25.
        vector_store: Where embeddings are kept, if not here.
        windows: Whether a chunk that is longer than its embedder reads is embedded by windows.
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
        """Read them from a spec; options that it does not name have their defaults."""
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
    """An index over vectors, which may be more than the chunks."""

    @property
    def vectors(self) -> int:
        """Number of vectors that it searches: one for each window."""
        ...


@dataclass(frozen=True, slots=True)
class Built:
    """An index, and what `Prepared.counts` says about it."""

    index: Index
    counts: Mapping[str, int]


def build_sparse(
    resources: Resources, settings: RetrievalSettings, chunks: Sequence[Chunk], corpus_id: str
) -> Timed[Built]:
    """Build BM25 over the chunks' titles and texts."""
    from rmtbench.retrieval.bm25 import FastBM25Index

    if settings.sparse_backend == "llama-index":
        from rmtbench.retrieval.llama_bm25 import LlamaBM25Index

        return timed("index", lambda: Built(LlamaBM25Index(chunks), {}))
    folder = _folder(resources, settings, corpus_id, "sparse")
    if folder is None:
        return timed("index", lambda: Built(FastBM25Index(chunks, settings.words), {}))
    from rmtbench.retrieval.bm25_build import build_bm25
    from rmtbench.retrieval.bm25_files import open_bm25

    watch = Stopwatch()
    if not folder.exists():
        with watch.part("index"):
            build_bm25(chunks, folder, settings.words, waiting=resources.watch.notice)
    with watch.part("load"):
        index = open_bm25(folder, chunks, settings.words)
    return Timed(Built(index, {}), watch.seconds)


def build_dense(
    resources: Resources, settings: RetrievalSettings, chunks: Sequence[Chunk], corpus_id: str
) -> Timed[Built]:
    """Build the index of the chunks' embeddings: exact search in memory, or kept as the spec says.

    Embeddings from an earlier run count with the seconds that they took then. If these are not known, the part is
    called ``load``, because its seconds are not the cost of embedding.
    """
    if resources.embedder is None or resources.document_embedder is None:
        raise ValueError("dense retrieval needs an embedder")
    documents = resources.document_embedder
    sent, before = embedded_tokens(documents), _spared(documents)
    made = _dense_index(resources, settings, chunks, _folder(resources, settings, corpus_id, "dense"))
    sent, after = embedded_tokens(documents) - sent, _spared(documents)
    unknown = after.unmeasured > before.unmeasured
    embedding = "load" if unknown else "embed"
    seconds = add_seconds(*({embedding if part == "embed" else part: cost} for part, cost in made.seconds.items()))
    if "embed" in seconds:
        seconds["embed"] += after.seconds - before.seconds
    if settings.windows:
        counts = {"truncated_chunks": 0, "windows": made.value.vectors}
    else:
        counts = {"truncated_chunks": resources.embedder.truncated([indexed_text(chunk) for chunk in chunks])}
    return Timed(Built(made.value, counts | ({"embedded_tokens": sent} if sent else {})), seconds)


def _dense_index(
    resources: Resources, settings: RetrievalSettings, chunks: Sequence[Chunk], folder: Path | None
) -> Timed[VectorIndex]:
    """Build an index of embeddings in Qdrant, in memory, or in a folder."""
    from rmtbench.retrieval.dense import DenseIndex, embed_chunks
    from rmtbench.retrieval.windows import cut_chunks, whole_chunks

    if resources.embedder is None or resources.document_embedder is None:
        raise ValueError("dense retrieval needs an embedder")
    questions, documents, watch = resources.embedder, resources.document_embedder, Stopwatch()
    if settings.vector_store is not None:
        from rmtbench.retrieval.qdrant import keep_in_qdrant

        if resources.qdrant is None:
            raise ValueError("the spec has Qdrant keep its embeddings, and there is none")
        kept = keep_in_qdrant(chunks, resources.qdrant, questions, documents, windows=settings.windows)
        return Timed(kept.value, kept.seconds)
    if folder is None:
        with watch.part("embed"):
            cut = cut_chunks(chunks, documents) if settings.windows else whole_chunks(chunks)
            matrix = embed_chunks(cut.parts, documents)  # [vectors, dimension]
        with watch.part("index"):
            index = DenseIndex(matrix, questions, cut.starts)
        return Timed(index, watch.seconds)
    from rmtbench.retrieval.dense_build import build_dense_files
    from rmtbench.retrieval.dense_files import open_dense

    kind = (settings.kept or "").rpartition(" ")[2]
    made: Mapping[str, float] = {}
    if not folder.exists():
        built = build_dense_files(
            chunks, folder, documents, kind, windows=settings.windows, waiting=resources.watch.notice
        )
        made = built.seconds
    opened = timed("load", lambda: open_dense(folder, chunks, questions, kind, windows=settings.windows))
    return Timed(opened.value, add_seconds(made, opened.seconds))


@dataclass(frozen=True, slots=True)
class _Spared:
    """What loading embeddings from disk saved: seconds, and the number of texts whose seconds are not known."""

    seconds: float
    unmeasured: int


def _spared(embedder: Embedder) -> _Spared:
    """Return what an embedder has saved so far; nothing if it computes all embeddings."""
    return _Spared(getattr(embedder, "spared_seconds", 0.0), getattr(embedder, "unmeasured", 0))


BUILDERS: Mapping[str, Callable[[Resources, RetrievalSettings, Sequence[Chunk], str], Timed[Built]]] = {
    "sparse": build_sparse,
    "dense": build_dense,
}
"""Builders by the name of the part that they make."""


def _folder(resources: Resources, settings: RetrievalSettings, corpus_id: str, part: str) -> Path | None:
    if settings.kept is None:
        return None
    if resources.indexes is None:
        raise ValueError("the spec has its indexes kept, and there is no folder for them")
    return resources.indexes / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', corpus_id)}-{part}"
