"""Retrieval-augmented generation: the corpus is cut and indexed once, and each prompt holds the best chunks.

Runs of a command that need the same chunks and indexes share them. Each run still reports their cost.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial

from rmtbench.core import Answer, Corpus, Prepared, Question, Retrieved
from rmtbench.measure import Timed, add_seconds, timed
from rmtbench.models.base import Passage, Prompt
from rmtbench.models.prompt import passages_text
from rmtbench.retrieval.base import Chunk, Hit, Index
from rmtbench.retrieval.budget import fill, most_chunks
from rmtbench.retrieval.fusion import DEPTH, FusedIndex
from rmtbench.systems.base import (
    Closing,
    Found,
    Resources,
    SystemKind,
    answer_batch,
    batches,
    embedded_tokens,
    generate_apart,
)
from rmtbench.systems.chunk_caches import ChunkCaches, make_chunk_caches
from rmtbench.systems.indexing import BUILDERS, RetrievalSettings


class RetrievalAugmented(Closing):
    """A `System` over one index, or over several indexes fused by rank."""

    def __init__(self, resources: Resources, parts: Sequence[str]) -> None:
        if not resources.spec.retrieves:
            raise ValueError("retrieval needs top_k or top_tokens")
        self._settings = RetrievalSettings.of(resources.spec)
        if (self._settings.reranker is None) != (resources.reranker is None):
            raise ValueError("the spec and the resources do not agree on a reranker")
        self._resources, self._parts = resources, parts
        self._chunks: Sequence[Chunk] = ()
        self._index: Index | None = None
        self._k = resources.spec.top_k or 1
        self._tokens: Sequence[int] = ()
        self._generate = resources.model.generate

    def close(self) -> None:
        """Let go of what was prepared."""
        self._index = None

    def prepare(self, corpus: Corpus) -> Prepared:
        """Cut the documents into chunks and index them, or use what another run of this command made.

        Raises:
            UserError: A kept index has other chunks, settings or another embedder.
        """
        spec, shared, settings = self._resources.spec, self._resources.shared, self._settings
        cut = (corpus.sha256, spec.chunk_tokens, spec.chunk_overlap, settings.split)
        chunks, _ = shared.get(("chunks", *cut), lambda: self._cut(corpus))
        self._chunks = chunks.value
        seconds, counts = add_seconds(chunks.seconds), {"chunks": len(self._chunks)}
        indexes: list[Index] = []
        ready = True
        for part in self._parts:
            words = (settings.words, settings.sparse_backend)
            needs = words if part == "sparse" else (spec.embedder, settings.vector_store, settings.windows)
            make = partial(BUILDERS[part], self._resources, settings, self._chunks, corpus.id)
            made, stood = shared.get((part, *cut, needs, settings.kept), make)
            indexes.append(made.value.index)
            ready &= stood
            seconds = add_seconds(seconds, made.seconds)
            counts |= made.value.counts
        if settings.top_tokens is not None:
            counted, _ = shared.get(("tokens", *cut), self._count)
            self._tokens, seconds = counted.value, add_seconds(seconds, counted.seconds)
            # A chunk that does not fit is passed over, so more are looked at than can fit.
            least = DEPTH if settings.reranker is None else settings.candidates
            self._k = max(most_chunks(self._tokens, settings.top_tokens), least)
        key = ("together", *map(id, indexes), settings.reranker, settings.candidates)
        index, _ = shared.get(key, lambda: self._compose(indexes))
        self._index = index
        kept = index.bytes + sum(len(chunk.text.encode()) for chunk in self._chunks)
        if settings.chunk_cache is not None:
            key = ("chunk caches", *cut, settings.chunk_cache)
            read_ahead = partial(self._read_ahead, settings.chunk_cache)
            caches, stood = shared.get(key, read_ahead)
            seconds, counts["read_tokens"] = add_seconds(seconds, caches.seconds), caches.value.filled_tokens
            self._generate, kept, ready = caches.value.generate, kept + caches.value.bytes, ready and stood
        return Prepared(seconds, bytes=kept, shared=ready, counts=counts)

    def answer(self, questions: Sequence[Question]) -> Iterator[Answer]:
        """Retrieve, then read the chunks and the question: best chunk first, or in the order of the documents.

        Raises:
            RuntimeError: `prepare` was not called.
        """
        if self._index is None:
            raise RuntimeError("answer before prepare")
        for batch in batches(questions, self._resources.spec.batch):
            started = time.perf_counter()
            before = embedded_tokens(self._resources.embedder)
            ranked = self._index.search([question.text for question in batch], self._k)
            chosen = [self._fit(hits) for hits in ranked]
            embedded, rest = divmod(embedded_tokens(self._resources.embedder) - before, len(batch))
            seconds = (time.perf_counter() - started) / len(batch)
            prompts = [
                Prompt(self._passages([hit.position for hit in hits]), question.text)
                for hits, question in zip(chosen, batch, strict=True)
            ]
            found = [
                Found(
                    tuple(_retrieved(self._chunks[hit.position], hit.score) for hit in hits),
                    seconds,
                    embedded + (number < rest),
                )
                for number, hits in enumerate(chosen)
            ]
            generate = partial(generate_apart, self._generate, prompts)
            yield from answer_batch(batch, generate, started, found)

    def _read_ahead(self, limit: str) -> Timed[ChunkCaches]:
        passages = [Passage(chunk.title, chunk.text) for chunk in self._chunks]
        return make_chunk_caches(self._resources.model, passages, limit)

    def _compose(self, indexes: Sequence[Index]) -> Index:
        from rmtbench.retrieval.rerank import RerankedIndex

        index = indexes[0] if len(indexes) == 1 else FusedIndex(indexes)
        if self._resources.reranker is None:
            return index
        return RerankedIndex(index, self._chunks, self._resources.reranker, self._settings.candidates)

    def _fit(self, hits: list[Hit]) -> list[Hit]:
        """Return the hits that a prompt shows, best first: all, or as many as the budget of tokens holds."""
        budget = self._settings.top_tokens
        if budget is None:
            return hits

        def as_shown(positions: Sequence[int]) -> int:
            return self._resources.model.count_tokens([passages_text(self._passages(positions))])[0]

        taken = set(fill([hit.position for hit in hits], self._tokens, budget, as_shown))
        return [hit for hit in hits if hit.position in taken]

    def _passages(self, positions: Sequence[int]) -> tuple[Passage, ...]:
        """Return chunks as a prompt shows them, given their positions by rank."""
        order = sorted(positions) if self._settings.chunk_order == "document" else positions
        return tuple(Passage(self._chunks[position].title, self._chunks[position].text) for position in order)

    def _cut(self, corpus: Corpus) -> Timed[Sequence[Chunk]]:
        from rmtbench.retrieval.chunks import chunk_documents, warm_up

        spec, token_ids = self._resources.spec, self._resources.model.token_ids
        warm_up()
        sizes = spec.chunk_tokens, spec.chunk_overlap, self._settings.split
        return timed("chunk", lambda: chunk_documents(corpus.documents, token_ids, *sizes))

    def _count(self) -> Timed[Sequence[int]]:
        """Count the tokens of each chunk as a prompt shows it."""

        def count() -> Sequence[int]:
            texts = [passages_text([Passage(chunk.title, chunk.text)]) for chunk in self._chunks]
            return self._resources.model.count_tokens(texts)

        return timed("tokenize", count)


def _retrieved(chunk: Chunk, score: float) -> Retrieved:
    return Retrieved(chunk.document_id, chunk.start, chunk.end, float(score))


KIND = (
    SystemKind(
        "rag-sparse",
        "the top-k chunks by BM25",
        lambda resources: RetrievalAugmented(resources, ("sparse",)),
        needs={"chunks", "words"},
        order=50,
        family="retrieval",
        colour="green",
        marker="^",
    ),
    SystemKind(
        "rag-dense",
        "the top-k chunks by embedding similarity",
        lambda resources: RetrievalAugmented(resources, ("dense",)),
        needs={"chunks", "embedder"},
        order=60,
        family="retrieval",
        colour="purple",
        marker="v",
    ),
    SystemKind(
        "rag-hybrid",
        "the top-k chunks by BM25 and embedding similarity, fused by rank",
        lambda resources: RetrievalAugmented(resources, ("sparse", "dense")),
        needs={"chunks", "words", "embedder"},
        order=70,
        family="retrieval",
        colour="orange",
        marker="D",
    ),
)
