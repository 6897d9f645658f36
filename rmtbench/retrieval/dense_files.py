"""Embeddings in files, memory-mapped: searched exactly, or by FAISS for candidates that are then scored exactly.

Vectors are written block by block. By size an index is `flat` (exact, needs no FAISS), `pq` (every vector in four bits
for two numbers, all of which are looked through) or `ivf` (inverted lists on disk, for more vectors than that is quick
for); by name also `hnsw` (a graph over vectors in half precision).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from rmtbench.measure import Stopwatch
from rmtbench.models.base import Embedder
from rmtbench.retrieval.base import Chunk, Hit
from rmtbench.retrieval.chunks import indexed_text
from rmtbench.retrieval.dense import DenseIndex
from rmtbench.retrieval.identity import (
    START,
    chunks_hash,
    damaged,
    extend,
    only_builder,
    read_manifest,
    write_manifest,
)
from rmtbench.retrieval.mapped import map_file
from rmtbench.retrieval.ranking import top_k

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Kind = Literal["flat", "pq", "hnsw", "ivf"]

FLAT_UNTIL, PQ_UNTIL = 100_000, 10_000_000
"""Most chunks of a flat index and of one of short codes, where no kind is named."""

BLOCK = 8192
"""Chunks that are embedded and written at once."""

Report = Callable[[int], None]


def _silent(_done: int) -> None:
    pass


def choose_kind(wanted: str, chunks: int) -> Kind:
    """The kind that is named, or that a number of chunks needs where it is ``auto``."""
    if wanted != "auto":
        return cast("Kind", wanted)
    return "flat" if chunks <= FLAT_UNTIL else "pq" if chunks <= PQ_UNTIL else "ivf"


def build_dense_files(
    chunks: Sequence[Chunk],
    folder: Path,
    embedder: Embedder,
    kind: str = "auto",
    watch: Stopwatch | None = None,
    report: Report = _silent,
) -> None:
    """Embed chunks block by block and index them; an interrupted call goes on behind its last whole block.

    Args:
        chunks: What to index.
        folder: Where the index will be; it appears when it is whole.
        embedder: Of documents.
        kind: ``auto``, or a `Kind`.
        watch: Gets the seconds of ``embed`` and ``index``.
        report: Told how many chunks are embedded.

    Raises:
        UserError: The kind needs FAISS, and it is not installed, or another process is making the index.
    """
    watch = watch or Stopwatch()
    chosen = choose_kind(kind, len(chunks))
    if chosen != "flat":
        from rmtbench.retrieval.faiss_files import import_faiss

        import_faiss()
    with only_builder(folder) as unfinished:
        with watch.part("embed"):
            digest = _embed(chunks, unfinished, embedder, report)
        with watch.part("index"):
            index_vectors(unfinished, len(chunks), embedder.dimension, chosen)
        (unfinished / "progress.json").unlink(missing_ok=True)
        facts = {"asked": kind, "kind": chosen, "chunks": len(chunks), "dimension": embedder.dimension}
        write_manifest(unfinished, {**facts, "embedder_sha256": embedder.sha256, "chunks_sha256": digest})
        unfinished.replace(folder)


def index_vectors(folder: Path, chunks: int, dimension: int, kind: Kind, report: Report = _silent) -> None:
    """Make what finds candidates among the vectors that lie in a folder; nothing for a flat index.

    Args:
        folder: Holds `vectors.bin`: float32, one row of unit length a chunk.
        chunks: How many.
        dimension: Width of a vector.
        kind: What to make.
        report: Told how many vectors are indexed.
    """
    if kind == "flat" or chunks == 0:
        return
    from rmtbench.retrieval.faiss_files import BUILDERS

    BUILDERS[kind](map_file(folder / "vectors.bin", "float32", (chunks, dimension)), folder, report)


def open_dense(
    folder: Path, chunks: Iterable[Chunk], embedder: Embedder, kind: str = "auto"
) -> DenseIndex | ApproximateIndex:
    """Open an index that was made from these chunks by this embedder.

    Args:
        folder: The index.
        chunks: The chunks.
        embedder: Of queries.
        kind: As it was asked for.

    Raises:
        UserError: It is damaged, or of other chunks, another embedder or another kind.
    """
    wanted = {
        "embedder_sha256": ("embeddings", embedder.sha256),
        "chunks_sha256": ("chunks", chunks_hash(chunks)),
        "asked": ("settings of --set dense-index", kind),
    }
    facts = read_manifest(folder, wanted)
    try:
        return open_vectors(folder, facts["chunks"], facts["dimension"], facts["kind"], embedder)
    except (OSError, ValueError, KeyError) as error:
        raise damaged(folder, str(error).splitlines()[0]) from error


def open_vectors(
    folder: Path, chunks: int, dimension: int, kind: Kind, embedder: Embedder
) -> DenseIndex | ApproximateIndex:
    """Open vectors in a folder, with what finds candidates among them.

    Args:
        folder: As `index_vectors` left it.
        chunks: How many vectors.
        dimension: Width of a vector.
        kind: What was made.
        embedder: Of queries.

    Raises:
        OSError: A file is missing.
        ValueError: A file is of another length.
    """
    vectors = map_file(folder / "vectors.bin", "float32", (chunks, dimension))
    if kind == "flat" or chunks == 0:
        return DenseIndex(vectors, embedder)
    from rmtbench.retrieval.faiss_files import EFFORT, open_finder

    index = ApproximateIndex(vectors, open_finder(folder, kind), kind, embedder)
    index.set_effort(EFFORT[kind])
    return index


class ApproximateIndex:
    """FAISS finds more chunks than are asked for; their exact inner products decide, ties by position.

    Attributes:
        finder: The FAISS index.
        candidates: How many chunks it finds, at least.
    """

    def __init__(
        self,
        vectors: NDArray[np.float32],
        finder: Any,  # noqa: ANN401 - the library has no types
        kind: Kind,
        embedder: Embedder,
    ) -> None:
        self._vectors, self.finder, self._kind, self._embedder = vectors, finder, kind, embedder
        self.candidates = 0

    def set_effort(self, effort: int) -> None:
        """Choose between recall and time.

        Args:
            effort: Of ``pq`` the chunks that are found, of ``hnsw`` the candidates that are kept on the way, of ``ivf``
                the lists that are looked into.
        """
        if self._kind == "pq":
            self.candidates = effort
        elif self._kind == "hnsw":
            self.finder.hnsw.efSearch = effort
        else:
            self.finder.nprobe = effort

    @property
    def bytes(self) -> int:
        """Size of the mapped vectors; what FAISS keeps beside them it does not say."""
        return self._vectors.nbytes

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """The best k chunks that were found for each query, best first, ties by position."""
        return [self.search_vector(vector, k) for vector in self._embedder.embed(queries)]

    def search_vector(self, query: NDArray[np.float32], k: int) -> list[Hit]:
        """The best k chunks that were found for one embedded query.

        Args:
            query: A unit vector, shape ``[dimension]``.
            k: How many chunks, at least 1.
        """
        import numpy as np

        _, found = self.finder.search(query[None, :], min(max(2 * k, self.candidates), len(self._vectors)))
        near = np.sort(found[0][found[0] >= 0])
        exact = (self._vectors[near].astype(np.float64) * query).sum(axis=1)
        return [Hit(int(near[hit.position]), hit.score) for hit in top_k(exact, k)]


def _embed(chunks: Sequence[Chunk], folder: Path, embedder: Embedder, report: Report) -> str:
    """Append the vectors that are not there yet; returns the hash of all chunks."""
    progress, vectors = folder / "progress.json", folder / "vectors.bin"
    done, known = _progress(progress, embedder)
    digest = START
    for chunk in chunks[:done]:
        digest = extend(digest, chunk)
    if digest.hex() != known or len(chunks) < done:
        done, digest = 0, START
        shutil.rmtree(folder)
        folder.mkdir()
    vectors.touch()
    with vectors.open("r+b") as stream:
        stream.truncate(done * embedder.dimension * 4)  # a torn block is made anew
        stream.seek(0, 2)
        for start in range(done, len(chunks), BLOCK):
            block = chunks[start : start + BLOCK]
            embedder.embed([indexed_text(chunk) for chunk in block]).tofile(stream)
            stream.flush()
            for chunk in block:
                digest = extend(digest, chunk)
            facts = {"embedder": embedder.sha256, "done": start + len(block), "digest": digest.hex()}
            temporary = progress.with_suffix(".part")
            temporary.write_text(json.dumps(facts), encoding="utf-8")
            temporary.replace(progress)
            report(start + len(block))
    return digest.hex()


def _progress(path: Path, embedder: Embedder) -> tuple[int, str]:
    if path.is_file():
        facts = json.loads(path.read_text(encoding="utf-8"))
        if facts["embedder"] == embedder.sha256:
            return facts["done"], facts["digest"]
    return 0, ""
