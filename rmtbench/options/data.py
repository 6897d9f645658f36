"""Options of the data: which documents and questions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rmtbench.errors import nearest
from rmtbench.options.declare import REQUIRED, option

SIZES = {"smoke": "about 1k tokens", "small": "21k", "medium": "32-43k", "large": "50-85k", "all": "own documents"}
"""The named sizes."""


def token_budget(size: str) -> int | None:
    """Return the tokens of a size that is given by their number, such as ``8k``; None for the named ones.

    Args:
        size: Thousands of tokens, from ``1k`` to ``9999k``.
    """
    return int(size[:-1]) * 1_000 if re.fullmatch(r"[1-9]\d{0,3}k", size, re.ASCII) else None


def _known_size(size: str) -> str:
    if size not in SIZES and token_budget(size) is None:
        raise ValueError(f"no size '{size}'; {nearest(size, SIZES)}, or tokens such as 8k")
    return size


@dataclass(frozen=True, kw_only=True)
class Data:
    """Which documents and questions."""

    TITLE: ClassVar[str] = "Data"

    dataset: str = option(
        REQUIRED, "squad, hotpotqa, triviaqa, handbook, or a folder of your own.", multiplies=True, column=True
    )
    size: str = option(
        "small",
        "smoke, small, medium, large or tokens (8k); all for own documents.",
        multiplies=True,
        column=True,
        check=_known_size,
        shown="the data set's",
    )
    data_dir: Path | None = option(
        None, "Official files: a folder or one file (else RMTBENCH_DATA, else the hub).", labelled=True
    )
    questions: int | None = option(None, "Maximum number of questions a draw.", at_least=1, column=True)
    draws: int = option(1, "Independent draws of documents.", at_least=1, at_most=1_000_000, column=True)
    seed: int = option(0, "Decides draws and random weights.", at_least=0, at_most=10**18, column=True)
    generated: bool = False
    """Whether data sets without named files are the miniature's and not the hub's; a profile decides."""
