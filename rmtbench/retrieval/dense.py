"""Exact search over embeddings: every chunk's inner product with the query, by NumPy.

One matrix product answers a query over thousands of chunks in a fraction of a millisecond, as fast as faiss's flat
index; an approximate index would only add error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rmtbench.models.base import Embedder
from rmtbench.retrieval.base import Chunk, Hit
from rmtbench.retrieval.chunks import indexed_text
from rmtbench.retrieval.ranking import candidates, top_k
from rmtbench.retrieval.windows import cut_chunks, exact_scores, whole_chunks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ROUNDING = 1e-5
"""More than float32 rounding can move an inner product of unit vectors."""


def embed_chunks(chunks: Sequence[Chunk], embedder: Embedder) -> NDArray[np.float32]:
    """Embed each chunk's title and text: the slow part, apart so that it can be timed and cached by itself.

    Args:
        chunks: What to embed.
        embedder: Of documents; a `CachedEmbedder` reads what it has embedded before.

    Returns:
        Shape ``[len(chunks), dimension]``, rows of unit length.
    """
    return embedder.embed([indexed_text(chunk) for chunk in chunks], "passage")


def build_dense(chunks: Sequence[Chunk], embedder: Embedder, *, windows: bool = True) -> DenseIndex:
    """Embed chunks, long ones by windows or cut off, and index them with one embedder for chunks and queries."""
    cut = cut_chunks(chunks, embedder) if windows else whole_chunks(chunks)
    return DenseIndex(embed_chunks(cut.parts, embedder), embedder, cut.starts)


class DenseIndex:
    """Ranks chunks by the inner product of unit vectors, their cosine: of each chunk that of its best window."""

    def __init__(
        self, matrix: NDArray[np.float32], embedder: Embedder, starts: NDArray[np.int64] | None = None
    ) -> None:
        """Index embeddings.

        Args:
            matrix: The windows' vectors in order, shape ``[windows, dimension]``.
            embedder: Of queries; must be the one that made the matrix.
            starts: Each chunk's first window, shape ``[chunks]``; None where every chunk is one window.
        """
        import numpy as np

        self._matrix = np.ascontiguousarray(matrix, dtype=np.float32)
        self._embedder = embedder
        self._starts = np.arange(len(matrix), dtype=np.int64) if starts is None else starts

    @property
    def vectors(self) -> int:
        """How many windows it holds."""
        return len(self._matrix)

    @property
    def bytes(self) -> int:
        """Size of the matrix."""
        return self._matrix.nbytes

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """The best k chunks of each query, best first, ties by position."""
        return [self.search_vector(vector, k) for vector in self._embedder.embed(queries, "query")]

    def search_vector(self, query: NDArray[np.float32], k: int) -> list[Hit]:
        """The best k chunks of one embedded query.

        A float32 product finds what the best k can be among; these are scored again in float64, so that equal vectors
        score equally and neither the machine's linear algebra nor the number of threads decides a rank.

        Args:
            query: A unit vector, shape ``[dimension]``.
            k: How many chunks, at least 1.
        """
        import numpy as np

        scores = self._matrix @ query  # [windows]
        if len(self._starts) < len(scores):
            scores = np.maximum.reduceat(scores, self._starts)  # [chunks]
        near = candidates(scores, k, margin=ROUNDING)
        exact = exact_scores(self._matrix, query, self._starts, near)
        return [Hit(int(near[hit.position]), hit.score) for hit in top_k(exact, k)]
