"""Options of the benches in the package: `rmtbench bench retrieval`, `bench kv` and `bench rmt`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from rmtbench.options.declare import option, options_of, refuse_given
from rmtbench.options.machine import Precision, Threads
from rmtbench.options.texts import large_number, large_numbers, whole_numbers

ON_DISK_ABOVE = 100_000
"""Chunks that the reference libraries are no longer asked to hold in memory."""


@dataclass(frozen=True, kw_only=True)
class ScaleBench:
    """Search over invented chunks, in memory or in files."""

    chunks: int = option(
        5000, "Invented chunks: k is 1,000, M is 1,000,000.", at_least=10, read=large_number, metavar="N"
    )
    queries: int = option(200, "Queries to time.", at_least=10)
    on_disk: bool = option(False, "Indexes in files, built in bounded memory (always above 100k chunks).")
    folder: Path | None = option(None, "Keep these files; the same command goes on there.")
    kind: Literal["auto", "flat", "pq", "ivf", "hnsw"] = option(
        "auto", "Of the dense index in files: auto, flat, pq, ivf, hnsw."
    )

    @property
    def in_files(self) -> bool:
        """Whether the indexes are in files."""
        return self.on_disk or self.chunks > ON_DISK_ABOVE


@dataclass(frozen=True, kw_only=True)
class QualityBench:
    """Recall on a data set's own questions."""

    dataset: str = option("", "Instead: recall on a data set's questions; as for rmtbench run.")
    data_dir: Path | None = option(None, "As for rmtbench run.")
    size: str = option("small", "As for rmtbench run.")
    draws: int = option(1, "As for rmtbench run.", at_least=1)
    questions: int | None = option(None, "As for rmtbench run.", at_least=1)
    chunk_tokens: int = option(512, "As for rmtbench run.", at_least=1)
    embedder: str = option("minilm", "As for rmtbench run.")
    embed_windows: bool = option(True, "Embed long chunks by windows, or only their beginning.")
    reranker: str | None = option(None, "As for rmtbench run.")


@dataclass(frozen=True, kw_only=True)
class RetrievalBench(QualityBench, ScaleBench):
    """Search over invented chunks; with a data set, recall on its questions instead."""

    TITLE: ClassVar[str] = "rmtbench bench retrieval"

    def __post_init__(self) -> None:
        if self.dataset:
            refuse_given(self, options_of(ScaleBench), "with --dataset", "leave one of both out")
            return
        refuse_given(self, options_of(QualityBench), "without --dataset", "give --dataset, or leave it out")
        if not self.in_files:
            refuse_given(self, ("folder", "kind"), "without --on-disk", "give --on-disk, or leave it out")


@dataclass(frozen=True, kw_only=True)
class KvBench(Precision):
    """Questions over one cached context."""

    TITLE: ClassVar[str] = "rmtbench bench kv"

    models: tuple[str, ...] = option(("mini", "random:llama-0.1b"), "Models, comma-separated, as for rmtbench run.")
    lengths: tuple[int, ...] = option(
        (1_000, 4_000, 21_000),
        "Tokens of the contexts; 85k is the paper's largest.",
        read=large_numbers,
        shown="1k,4k,21k",
    )
    batches: tuple[int, ...] = option((1, 8, 32), "Questions at once, comma-separated.", at_least=1, read=whole_numbers)


@dataclass(frozen=True, kw_only=True)
class MemoryReading(Precision, Threads):
    """What the benches of a recurrent memory share."""

    model: str | None = option(None, "Base model, where the memory names a path.")
    names: str = option("all", "Name words: all, seen or held-out.")
    style: Literal["direct", "bridge"] | None = option(None, "bridge or direct (default: as the memory was trained).")
    seed: int = option(0, "Decides the texts.")


@dataclass(frozen=True, kw_only=True)
class RmtBench(MemoryReading):
    """A recurrent memory by length of text."""

    TITLE: ClassVar[str] = "rmtbench bench rmt"

    memory: Path | None = option(None, "Folder of a trained memory (default: the one shipped for the task).")
    task: str = option("detect", "Task: see rmtbench train rmt.")
    lengths: tuple[str, ...] = option(
        ("4k", "32k", "128k", "1M", "2M"), "Tokens, comma-separated: k is 1,000, M is 1,000,000."
    )
    samples: tuple[int, ...] | None = option(
        None, "Texts: one number, or one a length (default: 200 to 128k, then 20).", read=whole_numbers
    )
    batch: int = option(20, "Texts read side by side.", at_least=1)
    base_too: bool = option(False, "Let the base model read them in full, too.")
    base_samples: int = option(10, "Texts of each length for the base model.", at_least=1)

    def __post_init__(self) -> None:
        if not self.base_too:
            refuse_given(self, ("base_samples",), "without --base-too", "give --base-too, or leave it out")
