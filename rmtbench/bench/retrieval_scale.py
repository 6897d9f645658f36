"""Retrieval over more chunks than memory should hold: build time, peak memory and query times of the indexes on disk.

The text is invented, with word frequencies as in a language. The vectors are random, the hardest case of an approximate
index. Every stage runs in a process of its own, and a stage whose result is in the folder is skipped.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rmtbench.bench.apart import Watch, run_apart
from rmtbench.bench.figures import Figures
from rmtbench.bench.retrieval import time_each, unit_vectors
from rmtbench.errors import UserError
from rmtbench.files import write_atomically
from rmtbench.measure import peak_resident_bytes, reset_peak_memory
from rmtbench.options.benches import ScaleBench
from rmtbench.retrieval.base import Chunk, Hit
from rmtbench.retrieval.dense import DenseIndex
from rmtbench.retrieval.dense_build import choose_kind, index_vectors
from rmtbench.retrieval.dense_files import open_vectors
from rmtbench.runs.provenance import surroundings

VOCABULARY = 50_000
GROUP = 1000
"""Number of chunks or vectors that are invented together, from a seed of their own."""

EFFORTS = {
    "flat": (0,),
    "pq": (100, 300, 500, 1000, 3000),
    "hnsw": (64, 128, 256, 512, 1024, 2048, 4096),
    "ivf": (8, 16, 32, 64, 128, 256, 512),
}
"""Efforts by kind of index, see `ApproximateIndex.set_effort`. Recall and time rise with the effort."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildFigures:
    """What building an index took.

    Attributes:
        build_s: Seconds of the last process.
        resumed: Whether an earlier process had begun the build.
        build_peak_bytes: Peak resident memory.
        disk_bytes: Size of its files.
    """

    build_s: float
    resumed: bool
    build_peak_bytes: int
    disk_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseFigures(BuildFigures):
    """BM25 in files: seconds to open it, milliseconds a query, and peak memory, which includes mapped pages."""

    open_s: float
    query_ms: float
    query_p99_ms: float
    query_peak_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """Dense search at one effort: share of the exact best k, milliseconds a query, and their ratio to exact ones."""

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
    asked: ScaleBench, *, k: int = 10, dimension: int = 384, report: Callable[[str], None] = lambda _line: None
) -> ScaleFigures:
    """Build and search both indexes.

    Args:
        asked: Chunks have 100 to 500 words, and there are as many vectors. Without a folder, the indexes are made in
            one that is removed.
        k: Number of chunks that a query gets.
        dimension: Width of a vector.
        report: Gets a line for each step.

    Raises:
        UserError: The folder holds another bench.
    """
    if asked.folder is None:
        with TemporaryDirectory() as temporary:
            return run(replace(asked, folder=Path(temporary)), k=k, dimension=dimension, report=report)
    folder, chunks, queries = asked.folder, asked.chunks, asked.queries
    folder.mkdir(parents=True, exist_ok=True)
    kind = choose_kind(asked.kind, chunks)
    settings: dict[str, Any] = {"chunks": chunks, "queries": queries, "k": k, "dimension": dimension, "kind": kind}
    _claim(folder, settings)
    sparse = _stage(folder, "sparse-build", partial(_build_sparse, folder, chunks), report)
    sparse |= _stage(folder, "sparse-search", partial(_search_sparse, folder, chunks, queries, k), report)
    dense = _stage(folder, "vectors", partial(_write_vectors, folder, chunks, dimension), report)
    dense |= _stage(folder, "dense-build", partial(_build_dense, folder, chunks, dimension, kind), report)
    dense |= _stage(folder, "dense-search", partial(_search_dense, folder, settings), report)
    efforts = [Effort(**row) for row in dense.pop("efforts")]
    return ScaleFigures(
        **settings,
        sparse=SparseFigures(**sparse),
        dense=DenseFigures(**dense, efforts=efforts),
        made_by=surroundings("cpu"),
    )


class InventedChunks:
    """Chunks that are invented again, with the same text, whenever they are read."""

    def __init__(self, count: int, seed: int = 0) -> None:
        """Invent chunks.

        Args:
            count: Number of chunks.
            seed: Decides every word.
        """
        self._count, self._seed = count, seed

    def __iter__(self) -> Iterator[Chunk]:
        for number, text in enumerate(self.texts(100, 500, self._count)):
            yield Chunk(str(number), "", text, 0, len(text))

    def queries(self, count: int) -> list[str]:
        """Make queries of 6 to 20 words with the same frequencies."""
        return list(InventedChunks(count, self._seed + 1).texts(6, 20, count))

    def texts(self, shortest: int, longest: int, count: int) -> Iterator[str]:
        """Make `count` texts of `shortest` to `longest` words."""
        import numpy as np

        cumulated = np.cumsum(1 / np.arange(1, VOCABULARY + 1))
        for group in range(0, count, GROUP):
            draw = np.random.default_rng([self._seed, shortest, group])
            lengths = draw.integers(shortest, longest + 1, min(GROUP, count - group))
            ranks = np.searchsorted(cumulated, draw.random(int(lengths.sum())) * cumulated[-1])
            for words in np.split(ranks, np.cumsum(lengths)[:-1]):
                yield " ".join([f"w{rank}" for rank in words.tolist()])


def _claim(folder: Path, settings: Mapping[str, Any]) -> None:
    """Refuse a folder that holds the figures of a bench with other settings."""
    path = folder / "bench.json"
    if path.is_file() and json.loads(path.read_text(encoding="utf-8")) != settings:
        raise UserError("the folder holds a bench with other settings", where=str(folder), remedy="choose another")
    path.write_text(json.dumps(settings), encoding="utf-8")


def _stage(
    folder: Path, name: str, job: Callable[[Watch], dict[str, Any]], report: Callable[[str], None]
) -> dict[str, Any]:
    """Run one stage in a process of its own, or read the result of an earlier run."""
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
    _, times = time_each(lambda text: index.search([text], k), InventedChunks(chunks).queries(queries))
    return {"open_s": opened, **_times(times)}


def _write_vectors(folder: Path, chunks: int, dimension: int, watch: Watch) -> dict[str, Any]:
    (folder / "dense").mkdir(exist_ok=True)
    with (folder / "dense" / "vectors.bin").open("wb") as stream:
        for start in range(0, chunks, GROUP):
            unit_vectors(min(GROUP, chunks - start), dimension, [start + 1]).tofile(stream)
            if start % (100 * GROUP) == 0:
                watch(start)
    return {}


def _build_dense(folder: Path, chunks: int, dimension: int, kind: Any, watch: Watch) -> dict[str, Any]:  # noqa: ANN401
    resumed = (folder / "dense" / "hnsw.growing").exists() or (folder / "dense" / "shards").exists()
    reset_peak_memory("cpu")
    started = time.perf_counter()
    index_vectors(folder / "dense", chunks, dimension, kind, watch)
    return _built(folder / "dense", started, resumed=resumed)


def _search_dense(folder: Path, settings: Mapping[str, Any], watch: Watch) -> dict[str, Any]:
    chunks, dimension, k, kind = (settings[name] for name in ("chunks", "dimension", "k", "kind"))
    vectors = list(unit_vectors(settings["queries"], dimension, [0]))
    nobody: Any = None  # the queries are vectors already
    exact = open_vectors(folder / "dense", chunks, dimension, "flat", nobody)
    index = open_vectors(folder / "dense", chunks, dimension, kind, nobody)
    best, exact_times = time_each(lambda vector: exact.search_vector(vector, k), vectors)
    rows: list[dict[str, Any]] = []
    reset_peak_memory("cpu")
    for effort in EFFORTS[kind]:
        if not isinstance(index, DenseIndex):
            index.set_effort(effort)
        found, times = time_each(lambda vector: index.search_vector(vector, k), vectors)
        recall = statistics.fmean(_shared(ours, true) / k for ours, true in zip(found, best, strict=True))
        shown = _times(times)
        ratio = shown["query_ms"] / statistics.median(exact_times)
        rows.append({"effort": effort, "recall": recall, **shown, "time_ratio": ratio})
        watch(effort)
    return {"exact_query_ms": statistics.median(exact_times), "efforts": rows}


def _shared(ours: Sequence[Hit], true: Sequence[Hit]) -> int:
    """Number of chunks that two rankings share."""
    return len({hit.position for hit in ours} & {hit.position for hit in true})


def _built(folder: Path, started: float, *, resumed: bool) -> dict[str, Any]:
    return {
        "build_s": time.perf_counter() - started,
        "resumed": resumed,
        "build_peak_bytes": peak_resident_bytes(),
        "disk_bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
    }


def _times(milliseconds: list[float]) -> dict[str, Any]:
    return {
        "query_ms": statistics.median(milliseconds),
        "query_p99_ms": statistics.quantiles(milliseconds, n=100, method="inclusive")[-1],
        "query_peak_bytes": peak_resident_bytes(),
    }
