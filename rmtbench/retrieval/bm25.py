"""Okapi BM25 twice: by the rank-bm25 package, and the same scores from arrays made beforehand.

Both search title and text. A word is a run of letters with their marks, digits and underscores, in lower case; stemming
and stop words are settings. A language written without spaces is therefore not served well.
"""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rmtbench.retrieval.base import Chunk, Hit
from rmtbench.retrieval.chunks import indexed_text
from rmtbench.retrieval.ranking import top_k
from rmtbench.retrieval.words import PLAIN, Words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

K1 = 1.5
B = 0.75
EPSILON = 0.25
"""rank-bm25's defaults: term saturation, length normalisation, and the floor under negative idf."""


class ScoredIndex(ABC):
    """Ranks chunks by a score that it computes for every one of them."""

    @abstractmethod
    def scores(self, query: str) -> NDArray[np.float64]:
        """The query's score for every chunk, shape ``[chunks]``; a word said twice counts twice."""

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """The best k chunks of each query, best first, ties by position."""
        return [top_k(self.scores(query), k) for query in queries]


class RankBM25Index(ScoredIndex):
    """The reference: scores by rank-bm25's `BM25Okapi`, which walks all chunks for every word of a query.

    The inverse frequencies are the package's own wherever their mean is above zero: see `inverse_frequency`.
    """

    def __init__(self, chunks: Sequence[Chunk], settings: Words = PLAIN) -> None:
        from rank_bm25 import BM25Okapi

        self._words = settings.tokenizer()
        corpus = [self._words(indexed_text(chunk)) for chunk in chunks]
        self._chunks = len(corpus)
        # The package divides by the number of words: without any, every score is zero.
        self._okapi: Any = BM25Okapi(corpus, k1=K1, b=B, epsilon=EPSILON) if any(corpus) else None
        if self._okapi is not None and self._okapi.average_idf <= 0:
            held = Counter(word for chunk in corpus for word in dict.fromkeys(chunk))
            self._okapi.idf = {word: _above_zero(count, self._chunks) for word, count in held.items()}

    @property
    def bytes(self) -> int:
        """Size of the package's dictionaries and of their words."""
        if self._okapi is None:
            return 0
        return sum(map(sys.getsizeof, (*self._okapi.doc_freqs, self._okapi.idf, *self._okapi.idf)))

    def scores(self, query: str) -> NDArray[np.float64]:
        """The query's score for every chunk, shape ``[chunks]``."""
        import numpy as np

        if self._okapi is None:
            return np.zeros(self._chunks)
        scores: NDArray[np.float64] = self._okapi.get_scores(self._words(query))
        return scores


class FastBM25Index(ScoredIndex):
    """The same scores to the last bit: what a word adds to each chunk holding it is computed when the index is made.

    A query then adds up a few columns of a sparse matrix. Every operation is done in rank-bm25's order, so that equal
    scores stay equal and ties fall the same way (the idea of eager scores: Lù, arXiv 2407.03618).
    """

    def __init__(self, chunks: Sequence[Chunk], settings: Words = PLAIN) -> None:
        import numpy as np

        self._words = settings.tokenizer()
        self._columns: dict[str, int] = {}
        columns, rows, counts, lengths = [], [], [], []
        for row, chunk in enumerate(chunks):
            found = self._words(indexed_text(chunk))
            lengths.append(len(found))
            for word, count in Counter(found).items():
                columns.append(self._columns.setdefault(word, len(self._columns)))
                rows.append(row)
                counts.append(count)
        self._chunks = len(lengths)
        order = np.argsort(np.array(columns, dtype=np.intp), kind="stable")
        in_chunks = np.bincount(np.array(columns, dtype=np.intp), minlength=len(self._columns))
        self._starts = np.concatenate([[0], np.cumsum(in_chunks)])
        self._rows = np.array(rows, dtype=np.intp)[order]
        held = np.array(counts, dtype=np.int64)[order]
        idf = np.repeat(inverse_frequency(in_chunks, self._chunks), in_chunks)
        mean = sum(lengths) / max(1, self._chunks)
        self._values = weigh(idf, held, np.array(lengths, dtype=np.int64)[self._rows], mean)

    @property
    def bytes(self) -> int:
        """Size of the arrays and of the vocabulary."""
        arrays = self._starts.nbytes + self._rows.nbytes + self._values.nbytes
        return arrays + sum(map(sys.getsizeof, (self._columns, *self._columns)))

    def scores(self, query: str) -> NDArray[np.float64]:
        """The query's score for every chunk, shape ``[chunks]``; a word said twice counts twice."""
        import numpy as np

        scores = np.zeros(self._chunks)
        for word in self._words(query):
            column = self._columns.get(word)
            if column is not None:
                start, end = self._starts[column], self._starts[column + 1]
                scores[self._rows[start:end]] += self._values[start:end]
        return scores


def weigh(
    idf: NDArray[np.float64], held: NDArray[np.int64], length: NDArray[np.int64], mean: float
) -> NDArray[np.float64]:
    """What a word adds to the score of a chunk, in rank-bm25's order of operations.

    Args:
        idf: The word's inverse frequency.
        held: How often the chunk holds it.
        length: The chunk's words.
        mean: Words of a chunk on average.
    """
    weights: NDArray[np.float64] = idf * (held * (K1 + 1) / (held + K1 * (1 - B + B * length / mean)))
    return weights


def inverse_frequency(in_chunks: NDArray[np.intp], chunks: int) -> NDArray[np.float64]:
    """rank-bm25's idf of words by how many chunks hold them: what would be negative is a share of the mean idf.

    In two or three chunks most words can be in most chunks. The mean is then not above zero, the package's floor turns
    the ranking round, and Lucene's idf, log(1 + (N - n + 0.5) / (n + 0.5)), takes the place of all.

    Args:
        in_chunks: How many chunks hold each word, in the order in which words first appear.
        chunks: How many chunks there are.
    """
    import numpy as np

    # `math.log` and running sums, as the package has them: NumPy's differ in the last bit.
    idf = np.array([math.log(chunks - n + 0.5) - math.log(n + 0.5) for n in in_chunks.tolist()], dtype=np.float64)
    mean = np.cumsum(idf)[-1] / len(idf) if len(idf) else 0.0
    if mean <= 0:
        return np.array([_above_zero(n, chunks) for n in in_chunks.tolist()], dtype=np.float64)
    idf[idf < 0] = EPSILON * mean
    return idf


def _above_zero(in_chunks: int, chunks: int) -> float:
    """Lucene's idf of a word in some of all chunks."""
    return math.log(1 + (chunks - in_chunks + 0.5) / (in_chunks + 0.5))
