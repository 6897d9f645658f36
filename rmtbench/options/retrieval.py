"""Options of retrieval: how documents are cut, found, chosen and shown. See docs/explanation/rag.md."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from rmtbench.errors import nearest
from rmtbench.options.declare import option, stated

STOP_WORDS = ("english",)
"""Languages with a list of stop words for BM25."""


def _has_stemmer(language: str | None) -> str | None:
    if language is not None:
        from Stemmer import algorithms

        if language not in algorithms():
            raise ValueError(f"no stemmer for '{language}'; {nearest(language, algorithms())}")
    return language


def _has_stop_words(language: str | None) -> str | None:
    if language is not None and language not in STOP_WORDS:
        raise ValueError(f"no stop words for '{language}'; {nearest(language, STOP_WORDS)}")
    return language


@dataclass(frozen=True, kw_only=True)
class RetrievalChoices:
    """The part that is the same in a request and in a run's `RunOptions`."""

    top_tokens: int | None = option(
        None, "Tokens of chunks in the prompt, in place of --top-k.", at_least=1, heeded="retrieves"
    )
    split: Literal["sentence", "token"] = option(
        "sentence", "Where a chunk ends: with a sentence, or with any token.", heeded="retrieves"
    )
    chunk_order: Literal["rank", "document"] = option(
        "rank", "Order of chunks in the prompt: by rank, or as in the documents.", heeded="retrieves"
    )
    stemming: str | None = option(
        None, "BM25 counts stems of this language, such as english.", heeded="counts words", check=_has_stemmer
    )
    stop_words: str | None = option(
        None, "english: BM25 ignores its function words.", heeded="counts words", check=_has_stop_words
    )
    candidates: int = option(
        50, "Chunks that the reranker judges.", rare=True, at_least=1, needs="reranker", heeded="retrieves"
    )
    sparse_backend: Literal["fast", "llama-index"] = option(
        "fast", "BM25 of this package, or LlamaIndex's BM25Retriever.", rare=True, heeded="counts words"
    )


@dataclass(frozen=True, kw_only=True)
class Retrieval(RetrievalChoices):
    """How chunks are cut, found, chosen and shown."""

    TITLE: ClassVar[str] = "Retrieval (rag-...)"

    top_k: tuple[int, ...] = option(
        (1, 3, 5, 10), "Chunks in the prompt; several share one index.", at_least=1, heeded="retrieves", column=True
    )
    chunk_tokens: int = option(512, "Longest chunk.", at_least=1, heeded="retrieves", column=True)
    embedder: str = option(
        "minilm", "minilm, a sentence-transformers model, or openai:NAME.", heeded="embeds", column=True
    )
    reranker: str | None = option(
        None, "Cross-encoder (folder or hub id) that ranks what is found.", heeded="retrieves", labelled=True
    )
    index: Path | None = option(None, "Folder to keep indexes in, memory-mapped.", heeded="retrieves", labelled=True)
    chunk_overlap: int = option(
        0, "Tokens that a chunk repeats of the one before.", rare=True, at_least=0, heeded="retrieves", column=True
    )
    embed_windows: Literal["on", "off"] = option(
        "on",
        "Whether a chunk longer than its embedder reads is embedded in windows.",
        rare=True,
        on_off=True,
        heeded="embeds",
    )
    dense_index: Literal["auto", "flat", "pq", "ivf", "hnsw"] = option(
        "auto", "Kind of a kept dense index.", rare=True, needs="index", heeded="embeds", labelled=True
    )
    qdrant: str | None = option(
        None, "Qdrant keeps the embeddings: a server's URL, or memory.", rare=True, heeded="embeds", labelled=True
    )


@dataclass(frozen=True, kw_only=True)
class RunRetrieval(RetrievalChoices):
    """What a run states of retrieval. Paths and URLs are not part of it."""

    reranker: str | None = stated()
    """Its name, and of a folder eight digits of its hash."""
    index: str | None = stated()
    """``kept``, and for embeddings the kind of index; None for an index in memory."""
    vector_store: str | None = stated()
    """Where else than here embeddings are kept."""
    embed_windows: bool = stated(default=False)
    """Stated although it is usual: runs from before there were windows have none."""
