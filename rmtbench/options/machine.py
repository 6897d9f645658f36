"""Options of where benches and trainings compute: the parts that their families share."""

from __future__ import annotations

from dataclasses import dataclass

from rmtbench.options.declare import option


@dataclass(frozen=True, kw_only=True)
class Threads:
    """How many threads compute."""

    threads: int | None = option(None, "CPU threads (default: torch's own choice).", at_least=1)


@dataclass(frozen=True, kw_only=True)
class Device:
    """What computes."""

    device: str = option("auto", "auto, cpu, cuda.")


@dataclass(frozen=True, kw_only=True)
class Precision(Device):
    """What computes, and in which numbers."""

    dtype: str = option("auto", "auto, float32, bfloat16, float16.")
