"""Chunks longer than an embedder reads, as the windows that are embedded; a chunk's score is that of its best window.

A window is a part of its chunk under the same title, so whatever indexes chunks indexes windows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rmtbench.models.base import Embedder
from rmtbench.retrieval.base import Chunk
from rmtbench.retrieval.chunks import indexed_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Windows:
    """What is embedded of some chunks.

    Attributes:
        parts: The windows of the first chunk, then those of the next; a chunk that is read whole is its own.
        starts: Each chunk's first window, ascending, shape ``[chunks]``, int64.
    """

    parts: Sequence[Chunk]
    starts: NDArray[np.int64]

    @property
    def owners(self) -> NDArray[np.int64]:
        """The position of each window's chunk, shape ``[windows]``."""
        return owners(self.starts, len(self.parts))


def whole_chunks(chunks: Sequence[Chunk]) -> Windows:
    """Each chunk as one window, of which an embedder reads what it reads."""
    import numpy as np

    return Windows(chunks, np.arange(len(chunks), dtype=np.int64))


def cut_chunks(chunks: Sequence[Chunk], embedder: Embedder) -> Windows:
    """Cut each chunk that is longer than its embedder reads into overlapping windows, each under the chunk's title.

    Args:
        chunks: What to cut.
        embedder: Reads every window to its end.

    Raises:
        UserError: A title takes more than half of what is read, or the embedder's tokenizer cannot be used to cut.
    """
    import numpy as np

    heads = [indexed_text(replace(chunk, text="")) for chunk in chunks]
    spans = embedder.windows([chunk.text for chunk in chunks], heads)
    parts = [part for chunk, cuts in zip(chunks, spans, strict=True) for part in _parts(chunk, cuts)]
    counts = np.array([len(cuts) for cuts in spans], dtype=np.int64)
    return Windows(parts, np.cumsum(counts) - counts)


def owners(starts: NDArray[np.int64], windows: int) -> NDArray[np.int64]:
    """The position of each window's chunk.

    Args:
        starts: Each chunk's first window, shape ``[chunks]``.
        windows: How many windows there are.
    """
    import numpy as np

    return np.repeat(np.arange(len(starts)), np.diff(starts, append=windows))


def exact_scores(
    vectors: NDArray[np.float32], query: NDArray[np.float32], starts: NDArray[np.int64], chunks: NDArray[np.intp]
) -> NDArray[np.float64]:
    """The score of each of some chunks: the largest inner product of its windows, in float64.

    Args:
        vectors: All windows' vectors, shape ``[windows, dimension]``; may be memory-mapped.
        query: A unit vector, shape ``[dimension]``.
        starts: Each chunk's first window, shape ``[all chunks]``.
        chunks: Positions of the chunks that are scored, ascending.

    Returns:
        Shape ``[len(chunks)]``.
    """
    import numpy as np

    if not len(chunks):
        return np.zeros(0)
    counts = np.where(chunks + 1 < len(starts), starts[(chunks + 1) % len(starts)], len(vectors)) - starts[chunks]
    firsts = np.cumsum(counts) - counts  # of each chunk among the rows
    rows = np.repeat(starts[chunks] - firsts, counts) + np.arange(counts.sum())
    scores: NDArray[np.float64] = np.maximum.reduceat((vectors[rows].astype(np.float64) * query).sum(axis=1), firsts)
    return scores


def _parts(chunk: Chunk, spans: Sequence[tuple[int, int]]) -> Iterator[Chunk]:
    if len(spans) == 1:
        yield chunk
        return
    for start, end in spans:
        yield replace(chunk, text=chunk.text[start:end], start=chunk.start + start, end=chunk.start + end)
