"""`rmtbench pack`: finished runs as one file each, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rmtbench.errors import UserError


def pack(
    results: Annotated[Path, typer.Argument(help="Folder of runs, or one run.")],
    undo: Annotated[bool, typer.Option("--undo", help="Make folders of packed runs again.")] = False,
) -> None:
    """Make one file of each run, for keeping; every command reads it as it reads a folder, and none adds to it."""
    from rmtbench.cli.progress import note
    from rmtbench.journal import packed
    from rmtbench.journal.record import find_runs

    found = find_runs(results)
    if not found:
        raise UserError("no runs here", where=str(results), remedy="run something first: rmtbench run --help")
    for folder in found:
        whole = packed.packed_of(folder)
        if undo:
            note(f"{folder}: not packed" if whole is None else str(packed.unpack(whole)))
        else:
            note(str(packed.pack(folder)) if whole is None else f"{whole}: packed already")
