"""Options of trainings: a recurrent memory and an adapter. See docs/explanation/rmt.md."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from rmtbench.options.declare import REQUIRED, option
from rmtbench.options.machine import Device, Threads
from rmtbench.options.memory import MemoryForm
from rmtbench.options.texts import whole_numbers


@dataclass(frozen=True, kw_only=True)
class MemoryTraining(Device, Threads, MemoryForm):
    """What a recurrent memory learns, and how."""

    TITLE: ClassVar[str] = "rmtbench train rmt"

    out: Path = option(REQUIRED, "Folder for checkpoint, log and the trained memory, under model/.")
    base: str = option(REQUIRED, "Base model: hub id, folder, mini, mini-short, minilm, random:GEOMETRY.")
    task: str = option(
        REQUIRED, "What to learn: memorize, detect, facts-4, reading, key-values, associative-retrieval, …"
    )
    segments: tuple[int, ...] = option(
        (1, 2, 4, 8, 16, 32), "Segments of a text (or its pairs), stage by stage.", read=whole_numbers
    )
    curriculum: bool = option(True, "Without: only the last stage, with as much to read.")
    steps: tuple[int, ...] = option((300,), "Most steps of every stage, or of each (300,200,…).", read=whole_numbers)
    promote: float = option(
        0.98, "Accuracy that ends a stage early; above 1: never.", name="promote_at_accuracy", was="promote"
    )
    mode: Literal["memory", "query-first"] = option(
        "memory", "memory, or query-first: the question follows every segment."
    )
    names: Literal["seen", "held-out", "all"] = option("seen", "Names in the texts: seen, held-out or all.")
    segment_tokens: int = option(128, "Tokens of a segment.")
    memory_tokens: int = option(16, "Memory tokens.")
    update: Literal["latched", "gated", "overwrite", "associative", "per-layer"] = option(
        "latched", "Memory: latched, gated, overwrite (RMT), associative, per-layer (ARMT)."
    )
    trained: Literal["all", "layers", "lora", "memory"] = option(
        "all", "What trains: all, layers, lora, or only memory."
    )
    backprop: int | None = option(None, "Segments that a gradient goes back (default: all).")
    rows: int = option(16, "Texts a step; fewer above 8 segments.")
    mixed: float = option(0.3, "Share of texts with fewer segments than their stage's.")
    along: int = option(2, "Most earlier segments after which a text is asked about too.")
    asked: int = option(1, "Most questions about a text of several facts, at its end.", at_least=1)
    rate: float = option(1e-3, "Highest learning rate.", name="learning_rate", was="rate")
    style: Literal["bridge", "direct"] = option("bridge", "bridge or direct.", name="answer_style")
    kind: Literal["decoder", "encoder"] = option("decoder", "Of the base model: decoder or encoder.")
    mixed_precision: bool = option(True, "Matrix products in bfloat16.")
    fused: bool = option(False, "Compile the layers (needs a C++ compiler on the CPU).")
    seed: int = option(0, "Decides all that is random.")
    start: Path | None = option(None, "Folder of a trained memory to begin with.")


@dataclass(frozen=True, kw_only=True)
class AdapterTraining(Device, Threads):
    """What an adapter learns from, and how."""

    TITLE: ClassVar[str] = "rmtbench train adapter"

    out: Path = option(REQUIRED, "Folder for checkpoint, log and the adapter, under model/.")
    squad: tuple[Path, ...] = option(REQUIRED, "SQuAD v1.1 file of training articles; repeatable.", repeated=True)
    hotpotqa: tuple[Path, ...] = option((), "HotpotQA file of training rows; repeatable.", repeated=True)
    base: str = option("smollm2", "Model to adapt: smollm2, a folder, a GGUF file or a hub id.")
    start: str | None = option(None, "Adapter to train further: reading, or a folder; contexts of all lengths at once.")
    tokens: int = option(800_000, "Tokens to read in all.", at_least=1)
    rank: int = option(20, "Rank of the changes.", at_least=1)
    skip: float = option(0.27, "Share of first layers that stay as they are.", at_least=0, at_most=0.9)
    learning_rate: float = option(6e-4, "Highest learning rate.", above=0)
    mixed_precision: bool = option(True, "Frozen weights and matrix products in bfloat16.")
    seed: int = option(0, "Decides every batch.")
