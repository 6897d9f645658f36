"""`rmtbench pack`: finished runs as one file each, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rmtbench.errors import UserError
from rmtbench.plural import many


def pack(
    results: Annotated[Path, typer.Argument(help="Folder of runs, or one run.")],
    undo: Annotated[bool, typer.Option("--undo", help="Make folders of packed runs again.")] = False,
) -> None:
    """Make one file of each run, for keeping; every command reads it as it reads a folder, and none adds to it."""
    from rmtbench.cli.progress import note
    from rmtbench.journal import packed
    from rmtbench.journal.find import find_runs

    found = find_runs(results)
    if not found:
        raise UserError("no runs here", where=str(results), remedy="run something first: rmtbench run --help")
    done = 0
    for folder in found:
        whole = packed.packed_of(folder)
        if undo == (whole is None):
            done += 1
        else:
            note(str(packed.pack(folder) if whole is None else packed.unpack(whole)))
    if done:
        note(f"{many(done, 'run')} {'not packed' if undo else 'packed already'}")
