"""Options of the workshop's benches that share some with the package's: declared as those of `rmtbench bench`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rmtbench.options.benches import MemoryReading
from rmtbench.options.declare import REQUIRED, option
from rmtbench.options.machine import Device, Precision, Threads
from rmtbench.options.texts import whole_numbers


@dataclass(frozen=True, kw_only=True)
class PerplexityBench(MemoryReading):
    """Long text, read with a recurrent memory and without."""

    memory: Path = option(REQUIRED, "Folder of a trained memory.")
    tokens: str = option("32k", "Length of a text: k is 1,000, M is 1,000,000.")
    texts: int = option(4, "Texts of the task.", at_least=1)
    task: str = option("reading", "Whose texts are read where no file is named.")
    text: tuple[Path, ...] = option((), "Plain text file in place of the task's; repeatable.", repeated=True)
    window: int | None = option(None, "Of the base model (default: a segment).", at_least=1)


@dataclass(frozen=True, kw_only=True)
class KvStoreBench(Device, Threads):
    """Key-value caches that are kept on disk."""

    contexts: str = option(
        "mini=21k,random:llama-0.1b=4k", "Models and lengths: mini=85k is the paper's largest corpus."
    )
    damaged: int = option(100, "Caches to damage.", at_least=0)
    folder: Path | None = option(None, "Disk to measure (default: that of temporary files).")


@dataclass(frozen=True, kw_only=True)
class DiagonalBench(Precision, Threads):
    """Segments read one after the other and diagonally, with a per-layer memory."""

    model: str = option("random:llama-0.1b", "Model, as for rmtbench run.")
    segment_tokens: tuple[int, ...] = option(
        (32, 128, 512), "Tokens of a segment, comma-separated.", read=whole_numbers
    )
    segments: tuple[int, ...] = option((32,), "Segments of a text, comma-separated.", read=whole_numbers)
    memory_tokens: int = option(16, "Memory tokens.", at_least=1)
    rounds: int = option(3, "Readings of each text in each way.", at_least=1)


@dataclass(frozen=True, kw_only=True)
class KeyValuesBench(Device, Threads):
    """Memories trained on key-value pairs."""

    memory: tuple[Path, ...] = option(REQUIRED, "Folder of a memory trained on pairs; repeatable.", repeated=True)
    pairs: tuple[int, ...] = option((4, 8, 16, 32, 64, 96), "Pairs of a text, comma-separated.", read=whole_numbers)
    steps: tuple[int, ...] = option((1, 2, 3, 5), "Gradient steps, or forward readings of a text.", read=whole_numbers)
    texts: int = option(64, "Texts of each number of pairs.", at_least=2)
    seed: int = option(1, "Decides the texts.")
