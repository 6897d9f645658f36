"""`rmtbench pack`: finished runs as one file each, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def pack(
    results: Annotated[Path, typer.Argument(help="Folder of runs, or one run.")],
    undo: Annotated[bool, typer.Option("--undo", help="Make folders of packed runs again.")] = False,
) -> None:
    """Make one file of each run, for keeping; every command reads it as it reads a folder, and none adds to it."""
    from rmtbench.cli.progress import note
    from rmtbench.journal import packed
    from rmtbench.journal.record import find_runs

    for folder in find_runs(results):
        whole = packed.packed_of(folder)
        if undo and whole is not None:
            note(str(packed.unpack(whole)))
        elif not undo and whole is None:
            note(str(packed.pack(folder)))
