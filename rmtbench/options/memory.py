"""Options of recurrent memory: the trained one, and the notes of `rmt-text`. See docs/explanation/rmt.md."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rmtbench.options.declare import option, stated


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Which memory, and how long texts and notes are."""

    TITLE: ClassVar[str] = "Recurrent memory (rmt-...)"

    rmt: Path | None = option(None, "Folder of a trained memory.", shown="the one shipped for the model", labelled=True)
    rmt_chunk_tokens: int = option(5000, "Longest section, for rmt-text.", at_least=1, heeded="writes notes")
    rmt_memory_tokens: int = option(1024, "Longest notes, for rmt-text.", at_least=1, heeded="writes notes")


@dataclass(frozen=True, kw_only=True)
class RunMemory:
    """What a run states of its memory."""

    memory: str | None = stated()
    """The trained memory's folder, without its path, and eight digits of its hash."""
    rmt_chunk_tokens: int | None = stated(stored="chunk_tokens")
    rmt_memory_tokens: int | None = stated(stored="memory_tokens")
