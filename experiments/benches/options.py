"""Options of the workshop's benches that share some with the package's: declared as those of `rmtbench bench`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rmtbench.options.benches import MemoryReading
from rmtbench.options.declare import REQUIRED, option
from rmtbench.options.machine import Device, Threads


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
