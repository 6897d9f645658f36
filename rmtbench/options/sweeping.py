"""Options of `rmtbench sweep`, which take the place of what its file says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rmtbench.options.declare import option
from rmtbench.options.engine import Engine
from rmtbench.options.run import shard_of


@dataclass(frozen=True, kw_only=True)
class Sweeping(Engine):
    """Where the runs of a file go, and how they are done."""

    TITLE: ClassVar[str] = "rmtbench sweep"

    results: Path = option(Path("results"), "Folder of all runs.")
    fresh: bool = option(False, "Start again instead of resuming.")
    dry_run: bool = option(False, "Open the data, print every run and the whole cost, and stop.")
    data_dir: Path | None = option(None, "Official files: a folder or one file (in place of the file's data_dir).")
    profile: str | None = option(None, "mini or paper (in place of the file's profile).")
    rmt: Path | None = option(None, "Folder of a trained memory, for rmt-... (in place of the file's rmt).")
    shard: str | None = option(
        None, "Do part N of M of every run's draws only, as N/M; rmtbench merge joins the parts.", read=shard_of
    )
