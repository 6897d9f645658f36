"""Options of recurrent memory: which one, how it is used, and the notes of `rmt-text`: docs/explanation/rmt.md."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Literal

from rmtbench.errors import UserError
from rmtbench.options.declare import option, options_of, stated


@dataclass(frozen=True, kw_only=True)
class MemoryForm:
    """How a memory is written and what is kept of it: options of ``rmtbench train rmt``, stored with the memory.

    Raises:
        UserError: A setting has no effect beside the others.
    """

    TITLE: ClassVar[str] = "Form of a memory"

    write: Literal["forward", "gradient"] = option(
        "forward", "How a segment is written: by the model's forward pass (RMT), or by gradient steps (GradMem)."
    )
    memory: Literal["constant", "accumulate"] = option(
        "constant", "What is kept: the last segment's memory, or every segment's."
    )
    memory_last: int | None = option(
        None, "Segments whose memories are kept, the latest ones.", rare=True, at_least=1, shown="all"
    )
    inner_steps: int = option(2, "Gradient steps that write a segment.", rare=True, at_least=1)
    inner_rate: float = option(
        1.0, "First rate of these steps, in squared spreads of the embeddings; training moves it.", rare=True, above=0
    )
    first_order: bool = option(False, "Train without the derivatives of the inner gradients.", rare=True)
    write_head: bool = option(False, "Reconstruct with a trained head of the memory's own.", rare=True)
    window_tokens: int | None = option(
        None, "Tokens that are reconstructed together.", rare=True, at_least=1, shown="a whole segment"
    )

    associative_keys: int | None = option(
        None, "Numbers of a key of associative memory, which decide its size.", rare=True, at_least=1, shown="by width"
    )

    def __post_init__(self) -> None:
        if self.memory != "accumulate" and self.memory_last is not None:
            self._refuse("memory_last", "--memory accumulate")
        if self.write != "gradient":
            for name in ("inner_steps", "inner_rate", "first_order", "write_head", "window_tokens"):
                if name in self.changed:
                    self._refuse(name, "--write gradient")

    @property
    def changed(self) -> dict[str, Any]:
        """The fields that are not at their defaults: what files hold, so that those of usual memories stay the same."""
        return {each.name: value for each in fields(self) if (value := getattr(self, each.name)) != each.default}

    def _refuse(self, name: str, other: str) -> None:
        raise UserError(
            f"means nothing without {other}",
            where=options_of(type(self))[name].flag,
            remedy=f"give {other}, or leave it out",
        )


@dataclass(frozen=True, kw_only=True)
class MemoryChoices:
    """The part that is the same in a request and in a run's `RunOptions`."""

    rmt_kind: Literal["trained", "constant", "accumulate", "per-document"] = option(
        "trained",
        "What rmt-memory keeps: as trained, the last segment's memory, every segment's, or every document's.",
        rare=True,
        heeded="keeps a memory",
    )
    rmt_last: int | None = option(
        None,
        "Segments whose memories rmt-memory keeps, the latest ones.",
        rare=True,
        at_least=1,
        shown="as trained",
        heeded="keeps a memory",
    )
    rmt_schedule: Literal["sequential", "diagonal"] = option(
        "sequential",
        "How segments are read: one after the other, or layers on different segments in one batch (per-layer memory).",
        rare=True,
        heeded="keeps a memory",
    )
    rmt_heads: int = option(
        1,
        "Parts of the notes of rmt-text; a section rewrites the one that was written longest ago.",
        rare=True,
        at_least=1,
        heeded="writes notes",
    )
    rmt_inner_steps: int | None = option(
        None,
        "Gradient steps that write a segment.",
        rare=True,
        at_least=1,
        shown="as trained",
        heeded="keeps a memory",
    )


@dataclass(frozen=True, kw_only=True)
class Memory(MemoryChoices):
    """Which memory, and how long texts and notes are."""

    TITLE: ClassVar[str] = "Recurrent memory (rmt-...)"

    rmt: Path | None = option(
        None,
        "Folder of a trained memory.",
        shown="the one shipped for the model",
        heeded="reads with a memory",
        labelled=True,
    )
    rmt_chunk_tokens: int = option(5000, "Longest section, for rmt-text.", at_least=1, heeded="writes notes")
    rmt_memory_tokens: int = option(1024, "Longest notes, for rmt-text.", at_least=1, heeded="writes notes")


@dataclass(frozen=True, kw_only=True)
class RunMemory(MemoryChoices):
    """What a run states of its memory."""

    memory: str | None = stated()
    """The trained memory's folder, without its path, and eight digits of its hash."""
    rmt_chunk_tokens: int | None = stated(stored="chunk_tokens")
    rmt_memory_tokens: int | None = stated(stored="memory_tokens")
