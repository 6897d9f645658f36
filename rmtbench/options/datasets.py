"""Options of `rmtbench data`: which data set, and whose tokenizer counts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rmtbench.options.declare import REQUIRED, option


@dataclass(frozen=True, kw_only=True)
class Counting:
    """Where data sets are, and whose tokenizer counts."""

    data_dir: Path | None = option(None, "Official files: a folder or one file (else RMTBENCH_DATA).")
    model: str | None = option(None, "Whose tokenizer counts: hub id, path, random:GEOMETRY (default: the profile's).")
    profile: str = option("mini", "mini: the miniature where no files are named; paper: the hub's data.")
    tokenizer: str | None = option(None, "Another tokenizer than the model's own.")


@dataclass(frozen=True, kw_only=True)
class FirstDraws(Counting):
    """The first draw of each size."""

    seed: int = option(0, "Seed of the draw.")


@dataclass(frozen=True, kw_only=True)
class ExportedDraw(Counting):
    """One draw, and where it is written."""

    TITLE: ClassVar[str] = "rmtbench data export"

    out: Path = option(REQUIRED, "A new or empty folder.")
    dataset: str = option(REQUIRED, "squad, hotpotqa, triviaqa, handbook, or a folder of your own.")
    size: str = option(REQUIRED, "smoke, small, medium, large; all for own documents.")
    draw: int = option(0, "Which draw, from 0.", at_least=0)
    seed: int = option(0, "Seed of the draw.")
