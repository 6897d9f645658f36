"""LlamaIndex's `BM25Retriever` as one of our indexes, with the words and the formula that it has by itself.

It counts English stems (Snowball's) of words of two letters or more, leaves English stop words out, and scores by bm25s
in Lucene's way (k1 1.5, b 0.75), where no idf is negative. So its scores are not ours, and its rankings often are not.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from rmtbench.errors import UserError
from rmtbench.options import flag
from rmtbench.retrieval.base import Chunk, Hit
from rmtbench.retrieval.chunks import indexed_text
from rmtbench.retrieval.ranking import best_of_more

PACKAGE = "llama-index-retrievers-bm25"


def check_installed() -> None:
    """Ask for the package without importing it.

    Raises:
        UserError: It is not installed.
    """
    try:
        version(PACKAGE)
    except PackageNotFoundError:
        raise UserError(
            f"LlamaIndex's BM25Retriever is not installed ({PACKAGE})",
            where=f"{flag.sparse_backend}=llama-index",
            remedy="pip install 'rmtbench[llama-bm25]', or leave the option out",
        ) from None


def warm_up() -> None:
    """Import what the retriever needs, which takes seconds, so that no timed part does.

    Raises:
        UserError: The package is not installed.
    """
    check_installed()
    import llama_index.retrievers.bm25  # noqa: F401 - for its time alone


class LlamaBM25Index:
    """Ranks chunks by LlamaIndex's retriever, over the same texts as our own BM25. Safe for many threads."""

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        """Index chunks.

        Args:
            chunks: What to index.

        Raises:
            UserError: The package is not installed.
        """
        check_installed()
        from llama_index.core.schema import TextNode
        from llama_index.retrievers.bm25 import BM25Retriever

        self._chunks = len(chunks)
        self._one_at_a_time = threading.Lock()  # how many nodes it gives is a setting of the retriever, not of a call
        nodes = [TextNode(id_=str(place), text=indexed_text(chunk)) for place, chunk in enumerate(chunks)]
        # It can index no corpus without a word: then nothing is found.
        self._retriever: Any = None
        if any(map(_has_words, nodes)):
            self._retriever = BM25Retriever(nodes=nodes, similarity_top_k=1)

    @property
    def bytes(self) -> int:
        """Size of the score matrix; of what the retriever keeps beside it it tells nothing."""
        if self._retriever is None:
            return 0
        return sum(int(self._retriever.bm25.scores[name].nbytes) for name in ("data", "indices", "indptr"))

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """The best k chunks of each query, best first, ties by position."""
        return [self._fill(self._found(query, k), min(k, self._chunks)) for query in queries]

    def _found(self, query: str, k: int) -> list[Hit]:
        """The best chunks that share a word with the query, at most k."""
        if self._retriever is None or not query.strip():
            return []
        with self._one_at_a_time:
            return best_of_more(partial(self._ask, query), k, self._chunks)

    def _ask(self, query: str, count: int) -> list[Hit]:
        self._retriever.similarity_top_k = count
        found = self._retriever.retrieve(query)
        return [Hit(int(each.node.node_id), float(each.score)) for each in found if each.score > 0]

    def _fill(self, hits: list[Hit], count: int) -> list[Hit]:
        """Chunks without any word of the query stand last, by position, as in our own BM25."""
        taken = {hit.position for hit in hits}
        rest = (place for place in range(self._chunks) if place not in taken)
        return hits + [Hit(next(rest), 0.0) for _ in range(count - len(hits))]


def _has_words(node: Any) -> bool:  # noqa: ANN401 - the library counts as untyped
    import bm25s

    return any(bm25s.tokenize(node.text, stopwords="en", return_ids=False, show_progress=False)[0])
