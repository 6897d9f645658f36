"""Options of the language model, where it is on this machine or behind a server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import ClassVar, Literal

from rmtbench.options.declare import REQUIRED, option

Weights = Literal["native", "int8"]
"""How a model's linear layers hold their weights: as they were loaded, or in 8 bits."""


def with_adapter(model: str, adapter: str | None) -> str:
    """Return the name of a model with an adapter, such as ``smollm2+reading``; of a folder only its own name.

    Args:
        model: As it was given.
        adapter: A folder or name; None for no adapter.
    """
    return model if adapter is None else f"{model}+{PurePath(adapter).name}"


@dataclass(frozen=True, kw_only=True)
class RunModel:
    """The part in a run's `RunOptions`."""

    weights: Weights = option(
        "native",
        "native: as loaded; int8: linear layers in 8 bits a weight.",
        place="a local model",
    )


@dataclass(frozen=True, kw_only=True)
class Model(RunModel):
    """Which language model, and how it is loaded."""

    TITLE: ClassVar[str] = "Model"

    model: str = option(
        REQUIRED,
        "smollm2, mini, hub id, folder, GGUF file, random:GEOMETRY or openai:NAME.",
        multiplies=True,
        column=True,
    )
    adapter: str | None = option(
        None,
        "PEFT adapter to merge into the model: a folder, or reading (for smollm2).",
        column=True,
        place="a local model",
    )
    tokenizer: str | None = option(None, "Another tokenizer than the model's own.", column=True)
    dtype: str = option("auto", "auto, float32, bfloat16, float16.", column=True, place="a local model")
    device: str = option("auto", "auto, cpu, cuda.", column=True, place="this machine")
