"""Makes the files of dense search block by block; an interrupted build continues behind its last whole block.

The size decides the kind: `flat` (exact, without FAISS), `pq` (four bits for two numbers, and every vector is compared)
or `ivf` (inverted lists on disk, for more vectors than `pq` is quick for). `hnsw` (a graph over vectors in half
precision) is made only by name.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from rmtbench.files import write_atomically
from rmtbench.measure import Stopwatch, Timed
from rmtbench.models.base import Embedder
from rmtbench.models.embed_windows import RULE
from rmtbench.retrieval.base import Chunk, Report, silent
from rmtbench.retrieval.dense import embed_chunks
from rmtbench.retrieval.dense_files import Kind
from rmtbench.retrieval.identity import START, counts, extend, only_builder, publish, write_manifest
from rmtbench.retrieval.mapped import map_file
from rmtbench.retrieval.windows import cut_chunks, whole_chunks

FLAT_UNTIL, PQ_UNTIL = 100_000, 10_000_000
"""Maximum chunks of a `flat` and of a `pq` index if no kind is named."""
BLOCK = 8192
"""Number of chunks that are embedded and written at once."""


def choose_kind(wanted: str, chunks: int) -> Kind:
    """Return the named kind; for ``auto``, the kind for a number of chunks."""
    if wanted != "auto":
        return cast("Kind", wanted)
    return "flat" if chunks <= FLAT_UNTIL else "pq" if chunks <= PQ_UNTIL else "ivf"


def build_dense_files(
    chunks: Sequence[Chunk],
    folder: Path,
    embedder: Embedder,
    kind: str = "auto",
    report: Report = silent,
    *,
    windows: bool = True,
    waiting: Callable[[str], None] = lambda _text: None,
) -> Timed[Path]:
    """Embed chunks block by block and index them. After an interruption, the same call continues behind the last block.

    While another process makes the index, this one waits, and then there is nothing left to do.

    Args:
        chunks: What to index.
        folder: Where the index will be. It appears when it is whole.
        embedder: Embeds documents.
        kind: ``auto``, or a `Kind`.
        report: Gets the number of chunks embedded so far.
        windows: Whether a chunk longer than its embedder reads is embedded by windows, or only its beginning.
        waiting: Told once whose end is awaited.

    Returns:
        The folder, with the seconds of ``embed`` and ``index``; without any if another process has made it meanwhile.

    Raises:
        UserError: The kind needs FAISS, which is not installed, or this process was stopped for a while, and another
            one has taken over.
    """
    watch, chosen = Stopwatch(), choose_kind(kind, len(chunks))
    if chosen != "flat":
        from rmtbench.retrieval.faiss_files import import_faiss

        import_faiss()
    with only_builder(folder, waiting) as unfinished:
        if unfinished is None:
            return Timed(folder, watch.seconds)
        with watch.part("embed"):
            done = _embed(chunks, unfinished, embedder, report, windows=windows)
        with watch.part("index"):
            index_vectors(unfinished, done.vectors, embedder.dimension, chosen)
        (unfinished / "progress.json").unlink(missing_ok=True)
        facts = {"asked": kind, "kind": chosen, "chunks": len(chunks), "dimension": embedder.dimension}
        cut = {"windows": RULE, "vectors": done.vectors} if windows else {}
        made_from = {"embedder_sha256": embedder.sha256, "chunks_sha256": done.digest.hex()}
        write_manifest(unfinished, {**facts, **cut, **made_from})
        publish(unfinished, folder)
    return Timed(folder, watch.seconds)


def index_vectors(folder: Path, count: int, dimension: int, kind: Kind, report: Report = silent) -> None:
    """Make the FAISS index for the vectors in a folder; a flat index needs none.

    Args:
        folder: Holds `vectors.bin`: float32, rows of unit length.
        count: Number of vectors.
        dimension: Width of a vector.
        kind: What to make.
        report: Gets the number of vectors indexed so far.
    """
    if kind == "flat" or count == 0:
        return
    from rmtbench.retrieval.faiss_files import BUILDERS

    BUILDERS[kind](map_file(folder / "vectors.bin", "float32", (count, dimension)), folder, report)


@dataclass(frozen=True, slots=True)
class _Done:
    """Progress of embedding: number of chunks, their hash, and number of vectors."""

    chunks: int
    digest: bytes
    vectors: int

    def sizes(self, embedder: Embedder, *, windows: bool) -> dict[str, int]:
        """Bytes of each file."""
        starts = {"starts.bin": self.chunks * 8} if windows else {}
        return {"vectors.bin": self.vectors * embedder.dimension * 4, **starts}


def _embed(chunks: Sequence[Chunk], folder: Path, embedder: Embedder, report: Report, *, windows: bool) -> _Done:
    """Append the missing vectors and return the progress, which is then complete."""
    progress = folder / "progress.json"
    made_by = f"{embedder.sha256} {RULE}" if windows else embedder.sha256
    done = _resume(chunks, progress, made_by)
    # A copy of what a living process writes, and a loss of power, can leave the progress without its last vectors.
    if done is None or any(_size(folder / name) < size for name, size in done.sizes(embedder, windows=windows).items()):
        done = _Done(0, START, 0)
        shutil.rmtree(folder)
        folder.mkdir()
    sizes = done.sizes(embedder, windows=windows)
    with (  # a torn block is made again
        _behind(folder / "vectors.bin", sizes["vectors.bin"]) as vectors,
        _behind(folder / "starts.bin", sizes["starts.bin"]) if windows else nullcontext() as starts,
    ):
        while done.chunks < len(chunks):
            block = chunks[done.chunks : done.chunks + BLOCK]
            cut = cut_chunks(block, embedder) if windows else whole_chunks(block)
            embed_chunks(cut.parts, embedder).tofile(vectors)
            vectors.flush()
            if starts is not None:
                (cut.starts + done.vectors).tofile(starts)
                starts.flush()
            digest = done.digest
            for chunk in block:
                digest = extend(digest, chunk)
            done = _Done(done.chunks + len(block), digest, done.vectors + len(cut.parts))
            facts = {"embedder": made_by, "done": done.chunks, "digest": digest.hex(), "vectors": done.vectors}
            write_atomically(progress, json.dumps(facts).encode())
            report(done.chunks)
    return done


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


@contextmanager
def _behind(path: Path, size: int) -> Iterator[BinaryIO]:
    """Open a file to append to, cut to its first `size` bytes."""
    path.touch()
    with path.open("r+b") as stream:
        stream.truncate(size)
        stream.seek(0, 2)
        yield stream


def _resume(chunks: Sequence[Chunk], path: Path, made_by: str) -> _Done | None:
    """Return the progress of an earlier call; None if there is none, or if chunks, windows or embedder differ."""
    if not path.is_file():
        return None
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        # Files from before there were windows have one vector a chunk, and no number of them.
        done, vectors = counts({"vectors": facts["done"], **facts}, "done", "vectors")
        embedder, hashed = facts["embedder"], facts["digest"]
    except (ValueError, KeyError, TypeError):
        return None
    if embedder != made_by or done > len(chunks):
        return None
    digest = START
    for chunk in chunks[:done]:
        digest = extend(digest, chunk)
    return _Done(done, digest, vectors) if digest.hex() == hashed else None
