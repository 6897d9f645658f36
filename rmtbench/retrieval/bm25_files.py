"""BM25 in files, memory-mapped: a query over any number of chunks reads the pages of its own words alone.

The scores are those of `FastBM25Index` to the last bit; `bm25_build` makes the files.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmtbench.retrieval.base import Chunk
from rmtbench.retrieval.bm25 import EPSILON, K1, B, ScoredIndex
from rmtbench.retrieval.identity import chunks_hash, counts, damaged, read_manifest
from rmtbench.retrieval.mapped import map_file
from rmtbench.retrieval.vocabulary import Vocabulary
from rmtbench.retrieval.words import PLAIN, Words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def open_bm25(folder: Path, chunks: Iterable[Chunk] | str, settings: Words = PLAIN) -> MappedBM25Index:
    """Open an index that was made from these chunks with these settings.

    Args:
        folder: The index.
        chunks: The chunks, or their `chunks_hash`.
        settings: How texts become words.

    Raises:
        UserError: It is damaged, or of other chunks or settings.
    """
    digest = chunks if isinstance(chunks, str) else chunks_hash(chunks)
    wanted = {name: ("settings of BM25", value) for name, value in settings_facts(settings).items()}
    facts = read_manifest(folder, wanted | {"chunks_sha256": ("chunks", digest)})
    return MappedBM25Index(folder, facts, settings)


class MappedBM25Index(ScoredIndex):
    """An index in files: a query reads the pages of its own words alone."""

    def __init__(self, folder: Path, facts: dict[str, Any], settings: Words) -> None:
        self._words = settings.tokenizer()
        try:
            self._chunks, words, postings, frequent = counts(facts, "chunks", "words", "postings", "frequent")
            self._starts = map_file(folder / "starts.bin", "int64", (words + 1,))
            self._rows = map_file(folder / "rows.bin", "int32", (postings,))
            self._values = map_file(folder / "values.bin", "float64", (postings,))
            self._frequent = map_file(folder / "frequent.bin", "float64", (frequent, self._chunks))
            self._row_of = map_file(folder / "row_of.bin", "int32", (words,))
            self._vocabulary = Vocabulary(folder, words)
        except (OSError, ValueError, KeyError) as error:
            raise damaged(folder, str(error).splitlines()[0]) from error

    @property
    def bytes(self) -> int:
        """Size of the mapped files, whether or not their pages are in memory."""
        arrays = (self._starts, self._rows, self._values, self._frequent, self._row_of)
        return sum(each.nbytes for each in arrays) + self._vocabulary.bytes

    def scores(self, query: str) -> NDArray[np.float64]:
        """The query's score for every chunk, shape ``[chunks]``; a word said twice counts twice."""
        import numpy as np

        scores = np.zeros(self._chunks)
        for word in self._words(query):
            column = self._vocabulary.find(word)
            if column is None:
                continue
            if self._row_of[column] >= 0:
                scores += self._frequent[self._row_of[column]]
            else:
                start, end = self._starts[column], self._starts[column + 1]
                scores[self._rows[start:end]] += self._values[start:end]
        return scores


def settings_facts(settings: Words) -> dict[str, Any]:
    """What decides the scores, beside the chunks."""
    return {"kind": "bm25", "k1": K1, "b": B, "epsilon": EPSILON, "text": settings.identity}
