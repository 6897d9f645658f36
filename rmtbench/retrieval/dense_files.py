"""Embeddings in memory-mapped files: searched exactly, or by FAISS for candidates that are then scored exactly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rmtbench.models.base import Embedder
from rmtbench.models.embed_windows import RULE
from rmtbench.options import flag
from rmtbench.retrieval.base import Chunk, Hit
from rmtbench.retrieval.dense import DenseIndex
from rmtbench.retrieval.identity import chunks_hash, counts, damaged, read_manifest
from rmtbench.retrieval.mapped import map_file
from rmtbench.retrieval.ranking import top_k
from rmtbench.retrieval.windows import exact_scores, owners

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Kind = Literal["flat", "pq", "hnsw", "ivf"]
"""How an index is searched: see `rmtbench.retrieval.dense_build`."""


def open_dense(
    folder: Path, chunks: Iterable[Chunk], embedder: Embedder, kind: str = "auto", *, windows: bool = True
) -> DenseIndex | ApproximateIndex:
    """Open an index that was made from these chunks by this embedder.

    Args:
        folder: The index.
        chunks: What it was made from.
        embedder: Embeds queries.
        kind: The kind that was asked for, which may be ``auto``.
        windows: Whether it was made with windows.

    Raises:
        UserError: The index is damaged, or of other chunks, windows, another embedder or another kind.
    """
    wanted = {
        "embedder_sha256": ("embeddings", embedder.sha256),
        "chunks_sha256": ("chunks", chunks_hash(chunks)),
        "asked": (f"settings of {flag.dense_index}", kind),
        "windows": (f"settings of {flag.embed_windows}", RULE if windows else None),
    }
    facts = read_manifest(folder, wanted)
    try:
        held, dimension = counts(facts, "chunks", "dimension")
        (count,) = counts(facts, "vectors") if windows else (held,)
        starts = map_file(folder / "starts.bin", "int64", (held,)) if windows else None
        return open_vectors(folder, count, dimension, facts["kind"], embedder, starts)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(folder, str(error).splitlines()[0]) from error


def open_vectors(
    folder: Path,
    count: int,
    dimension: int,
    kind: Kind,
    embedder: Embedder,
    starts: NDArray[np.int64] | None = None,
) -> DenseIndex | ApproximateIndex:
    """Open the vectors in a folder, with their FAISS index if they have one.

    Args:
        folder: As `index_vectors` left it.
        count: Number of vectors.
        dimension: Width of a vector.
        kind: What was made.
        embedder: Embeds queries.
        starts: Each chunk's first vector, shape ``[chunks]``; None if every chunk has one vector.

    Raises:
        OSError: A file is missing.
        ValueError: A file is of another length.
    """
    vectors = map_file(folder / "vectors.bin", "float32", (count, dimension))
    if kind == "flat" or count == 0:
        return DenseIndex(vectors, embedder, starts)
    from rmtbench.retrieval.faiss_files import EFFORT, open_finder

    index = ApproximateIndex(vectors, open_finder(folder, kind), kind, embedder, starts)
    index.set_effort(EFFORT[kind])
    return index


class ApproximateIndex:
    """FAISS finds more windows than are asked for; the exact scores of their chunks rank them, ties by position.

    Attributes:
        finder: The FAISS index.
        candidates: Minimum number of windows that it finds.
    """

    def __init__(
        self,
        vectors: NDArray[np.float32],
        finder: Any,  # noqa: ANN401 - the library has no types
        kind: Kind,
        embedder: Embedder,
        starts: NDArray[np.int64] | None = None,
    ) -> None:
        import numpy as np

        self._vectors, self.finder, self._kind, self._embedder = vectors, finder, kind, embedder
        self._starts = np.arange(len(vectors), dtype=np.int64) if starts is None else np.asarray(starts)
        self._owners = owners(self._starts, len(vectors))
        self.candidates = 0

    def set_effort(self, effort: int) -> None:
        """Choose between recall and time.

        Args:
            effort: For ``pq`` the number of windows to find, for ``hnsw`` the candidates to keep while searching, for
                ``ivf`` the lists to search.
        """
        if self._kind == "pq":
            self.candidates = effort
        elif self._kind == "hnsw":
            self.finder.hnsw.efSearch = effort
        else:
            self.finder.nprobe = effort

    @property
    def vectors(self) -> int:
        """Number of windows in it."""
        return len(self._vectors)

    @property
    def bytes(self) -> int:
        """Size of the mapped vectors. FAISS does not report the size of its own data."""
        return self._vectors.nbytes

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """Return the best k chunks that were found for each query, best first, ties by position."""
        return [self.search_vector(vector, k) for vector in self._embedder.embed(queries, "query")]

    def search_vector(self, query: NDArray[np.float32], k: int) -> list[Hit]:
        """Return the best k chunks that were found for one embedded query.

        A chunk can have several windows, so it asks for more windows until it has twice as many chunks as are wanted.

        Args:
            query: A unit vector, shape ``[dimension]``.
            k: Number of chunks, at least 1.
        """
        import numpy as np

        asked = min(max(2 * k, self.candidates), len(self._vectors))
        while True:
            _, found = self.finder.search(query[None, :], asked)
            rows = found[0][found[0] >= 0]
            near = np.unique(self._owners[rows])
            if len(near) >= min(2 * k, len(self._starts)) or len(rows) < asked or asked == len(self._vectors):
                break
            asked = min(4 * asked, len(self._vectors))
        exact = exact_scores(self._vectors, query, self._starts, near)
        return [Hit(int(near[hit.position]), hit.score) for hit in top_k(exact, k)]
