"""Retrieval over more chunks than memory should hold: build time, peak memory and query times of the indexes on disk.

On invented text with word frequencies like a language's, and random unit vectors, the hardest case of an approximate
index: nothing is near anything. Every stage runs in a process of its own; what stands in the folder is not made again.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from rmtbench.bench.apart import Watch, run_apart
from rmtbench.bench.figures import Figures
from rmtbench.errors import UserError
from rmtbench.files import write_atomically
from rmtbench.measure import peak_resident_bytes, reset_peak_memory
from rmtbench.retrieval.base import Chunk
from rmtbench.retrieval.dense import DenseIndex
from rmtbench.retrieval.dense_files import ApproximateIndex, choose_kind, index_vectors, open_vectors
from rmtbench.runs.provenance import surroundings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VOCABULARY = 50_000
GROUP = 1000
"""Chunks or vectors that are invented together, from a seed of their own."""

EFFORTS = {
    "flat": (0,),
    "pq": (100, 300, 500, 1000, 3000),
    "hnsw": (64, 128, 256, 512, 1024, 2048, 4096),
    "ivf": (8, 16, 32, 64, 128, 256, 512),
}
"""See `ApproximateIndex.set_effort`: recall rises with it, and so does time."""

WARM_UP = 5
"""Queries asked before the clock starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildFigures:
    """Building an index.

    Attributes:
        build_s: Seconds of the last process.
        resumed: Whether an earlier process had begun.
        build_peak_bytes: Peak resident memory.
        disk_bytes: Size of its files.
    """

    build_s: float
    resumed: bool
    build_peak_bytes: int
    disk_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseFigures(BuildFigures):
    """BM25 in files: seconds to open it, milliseconds a query, and peak memory (mapped pages count in it)."""

    open_s: float
    query_ms: float
    query_p99_ms: float
    query_peak_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """Dense search at one effort: share of the exact best k, milliseconds a query, and time over exact search's."""

    effort: int
    recall: float
    query_ms: float
    query_p99_ms: float
    query_peak_bytes: int
    time_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseFigures(BuildFigures):
    """Vectors in files: milliseconds of an exact query, and the efforts of approximate search."""

    exact_query_ms: float
    efforts: Sequence[Effort]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleFigures(Figures):
    """What `run` measured."""

    chunks: int
    queries: int
    k: int
    dimension: int
    kind: str
    sparse: SparseFigures
    dense: DenseFigures


def run(
    *,
    chunks: int,
    queries: int = 200,
    k: int = 10,
    dimension: int = 384,
    kind: str = "auto",
    folder: Path | None = None,
    report: Callable[[str], None] = lambda _line: None,
) -> ScaleFigures:
    """Build and search both indexes.

    Args:
        chunks: How many chunks of 100 to 500 words, and as many vectors.
        queries: How many queries, at least 10.
        k: How many chunks a query gets.
        dimension: Width of a vector.
        kind: Of the dense index; ``auto`` by size.
        folder: Where indexes are made and kept; an interrupted bench goes on there. None for a folder that is removed.
        report: Told a line a step.

    Raises:
        UserError: The folder holds another bench.
    """
    if folder is None:
        with TemporaryDirectory() as temporary:
            return run(
                chunks=chunks,
                queries=queries,
                k=k,
                dimension=dimension,
                kind=kind,
                folder=Path(temporary),
                report=report,
            )
    folder.mkdir(parents=True, exist_ok=True)
    chosen = choose_kind(kind, chunks)
    asked: dict[str, Any] = {"chunks": chunks, "queries": queries, "k": k, "dimension": dimension, "kind": chosen}
    _claim(folder, asked)
    sparse = _stage(folder, "sparse-build", partial(_build_sparse, folder, chunks), report)
    sparse |= _stage(folder, "sparse-search", partial(_search_sparse, folder, chunks, queries, k), report)
    dense = _stage(folder, "vectors", partial(_write_vectors, folder, chunks, dimension), report)
    dense |= _stage(folder, "dense-build", partial(_build_dense, folder, chunks, dimension, chosen), report)
    dense |= _stage(folder, "dense-search", partial(_search_dense, folder, asked), report)
    efforts = [Effort(**row) for row in dense.pop("efforts")]
    return ScaleFigures(
        **asked,
        sparse=SparseFigures(**sparse),
        dense=DenseFigures(**dense, efforts=efforts),
        made_by=surroundings("cpu"),
    )


class InventedChunks:
    """Chunks that are made anew, and are the same, whenever they are read."""

    def __init__(self, count: int, seed: int = 0) -> None:
        """Invent chunks.

        Args:
            count: How many.
            seed: Decides every word.
        """
        self._count, self._seed = count, seed

    def __iter__(self) -> Iterator[Chunk]:
        for number, text in enumerate(self.texts(100, 500, self._count)):
            yield Chunk(str(number), "", text, 0, len(text))

    def queries(self, count: int) -> list[str]:
        """Questions of 6 to 20 words by the same frequencies."""
        return list(InventedChunks(count, self._seed + 1).texts(6, 20, count))

    def texts(self, shortest: int, longest: int, count: int) -> Iterator[str]:
        """So many texts of so many words."""
        import numpy as np

        cumulated = np.cumsum(1 / np.arange(1, VOCABULARY + 1))
        for group in range(0, count, GROUP):
            draw = np.random.default_rng([self._seed, shortest, group])
            lengths = draw.integers(shortest, longest + 1, min(GROUP, count - group))
            ranks = np.searchsorted(cumulated, draw.random(int(lengths.sum())) * cumulated[-1])
            for words in np.split(ranks, np.cumsum(lengths)[:-1]):
                yield " ".join([f"w{rank}" for rank in words.tolist()])


def _claim(folder: Path, asked: Mapping[str, Any]) -> None:
    """A folder belongs to one bench: others' figures must not be taken for this one's."""
    path = folder / "bench.json"
    if path.is_file() and json.loads(path.read_text(encoding="utf-8")) != asked:
        raise UserError("the folder holds a bench with other settings", where=str(folder), remedy="choose another")
    path.write_text(json.dumps(asked), encoding="utf-8")


def _stage(
    folder: Path, name: str, job: Callable[[Watch], dict[str, Any]], report: Callable[[str], None]
) -> dict[str, Any]:
    """Do one stage in a fresh process, or read what it gave before."""
    path = folder / f"{name}.json"
    if not path.is_file():
        report(f"{name}: begun")
        started = time.monotonic()
        figures = run_apart(job, lambda done: report(f"{name}: {done:,} after {time.monotonic() - started:.0f} s"))
        write_atomically(path, json.dumps(figures).encode())
    read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return read


def _build_sparse(folder: Path, chunks: int, watch: Watch) -> dict[str, Any]:
    from rmtbench.retrieval.bm25_build import build_bm25

    resumed = (folder / "sparse.unfinished").exists()
    reset_peak_memory("cpu")
    started = time.perf_counter()
    if not (folder / "sparse").exists():
        build_bm25(InventedChunks(chunks), folder / "sparse", report=watch)
    return _built(folder / "sparse", started, resumed=resumed)


def _search_sparse(folder: Path, chunks: int, queries: int, k: int, _watch: Watch) -> dict[str, Any]:
    from rmtbench.retrieval.bm25_files import MappedBM25Index
    from rmtbench.retrieval.identity import MANIFEST
    from rmtbench.retrieval.words import PLAIN

    reset_peak_memory("cpu")
    started = time.perf_counter()
    facts = json.loads((folder / "sparse" / MANIFEST).read_text(encoding="utf-8"))
    index = MappedBM25Index(folder / "sparse", facts, PLAIN)
    opened = time.perf_counter() - started
    times = _time(lambda text: index.search([text], k), InventedChunks(chunks).queries(queries))
    return {"open_s": opened, **_times(times)}


def _write_vectors(folder: Path, chunks: int, dimension: int, watch: Watch) -> dict[str, Any]:
    (folder / "dense").mkdir(exist_ok=True)
    with (folder / "dense" / "vectors.bin").open("wb") as stream:
        for start in range(0, chunks, GROUP):
            _unit(min(GROUP, chunks - start), dimension, start).tofile(stream)
            if start % (100 * GROUP) == 0:
                watch(start)
    return {}


def _build_dense(folder: Path, chunks: int, dimension: int, kind: Any, watch: Watch) -> dict[str, Any]:  # noqa: ANN401
    resumed = (folder / "dense" / "hnsw.growing").exists() or (folder / "dense" / "shards").exists()
    reset_peak_memory("cpu")
    started = time.perf_counter()
    index_vectors(folder / "dense", chunks, dimension, kind, watch)
    return _built(folder / "dense", started, resumed=resumed)


def _search_dense(folder: Path, asked: Mapping[str, Any], watch: Watch) -> dict[str, Any]:
    chunks, dimension, k, kind = asked["chunks"], asked["dimension"], asked["k"], asked["kind"]
    vectors = _unit(asked["queries"], dimension, -1)
    nobody: Any = None  # the queries are vectors already
    exact = open_vectors(folder / "dense", chunks, dimension, "flat", nobody)
    index = open_vectors(folder / "dense", chunks, dimension, kind, nobody)
    best, exact_times = _find(exact, vectors, k)
    rows: list[dict[str, Any]] = []
    reset_peak_memory("cpu")
    for effort in EFFORTS[kind]:
        if not isinstance(index, DenseIndex):
            index.set_effort(effort)
        found, times = _find(index, vectors, k)
        recall = statistics.fmean(len(ours & true) / k for ours, true in zip(found, best, strict=True))
        shown = _times(times)
        ratio = shown["query_ms"] / statistics.median(exact_times)
        rows.append({"effort": effort, "recall": recall, **shown, "time_ratio": ratio})
        watch(effort)
    return {"exact_query_ms": statistics.median(exact_times), "efforts": rows}


def _find(
    index: DenseIndex | ApproximateIndex, vectors: NDArray[np.float32], k: int
) -> tuple[list[set[int]], list[float]]:
    """What each query finds, and its milliseconds."""
    found: list[set[int]] = []

    def search(vector: NDArray[np.float32]) -> None:
        found.append({hit.position for hit in index.search_vector(vector, k)})

    times = _time(search, list(vectors))
    return found[-len(vectors) :], times


def _unit(count: int, dimension: int, seed: int) -> NDArray[np.float32]:
    import numpy as np

    vectors = np.random.default_rng([seed + 1]).standard_normal((count, dimension), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def _built(folder: Path, started: float, *, resumed: bool) -> dict[str, Any]:
    return {
        "build_s": time.perf_counter() - started,
        "resumed": resumed,
        "build_peak_bytes": peak_resident_bytes(),
        "disk_bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
    }


def _time(search: Callable[[Any], object], queries: list[Any]) -> list[float]:
    """Milliseconds of each query, the first few of which are asked once more beforehand."""
    for query in queries[:WARM_UP]:
        search(query)
    times = []
    for query in queries:
        started = time.perf_counter()
        search(query)
        times.append(1000 * (time.perf_counter() - started))
    return times


def _times(milliseconds: list[float]) -> dict[str, Any]:
    return {
        "query_ms": statistics.median(milliseconds),
        "query_p99_ms": statistics.quantiles(milliseconds, n=100, method="inclusive")[-1],
        "query_peak_bytes": peak_resident_bytes(),
    }
