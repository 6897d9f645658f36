"""Reranking: an index finds candidates quickly, a slow and better judge of question and chunk orders them anew."""

from __future__ import annotations

from collections.abc import Sequence

from rmtbench.models.base import Reranker
from rmtbench.retrieval.base import Chunk, Hit, Index
from rmtbench.retrieval.chunks import indexed_text


class RerankedIndex:
    """An index whose best candidates are ranked by a reranker's scores."""

    def __init__(self, index: Index, chunks: Sequence[Chunk], reranker: Reranker, candidates: int) -> None:
        """Wrap an index.

        Args:
            index: Finds the candidates.
            chunks: What it was made from, by position.
            reranker: Judges each candidate's title and text.
            candidates: How many it judges; more where more are asked for.
        """
        self._index, self._chunks, self._reranker, self._candidates = index, chunks, reranker, candidates

    @property
    def bytes(self) -> int:
        """The index's own."""
        return self._index.bytes

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """The best k candidates of each query by the reranker's score, best first, ties by position."""
        found = self._index.search(queries, max(k, self._candidates))
        return [self._order(query, hits)[:k] for query, hits in zip(queries, found, strict=True)]

    def _order(self, query: str, hits: Sequence[Hit]) -> list[Hit]:
        texts = [indexed_text(self._chunks[hit.position]) for hit in hits]
        judged = [Hit(hit.position, s) for hit, s in zip(hits, self._reranker.score(query, texts), strict=True)]
        return sorted(judged, key=lambda hit: (-hit.score, hit.position))
