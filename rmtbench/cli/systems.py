"""`rmtbench systems`: what can stand after ``--system``."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def systems(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the systems, other packages' included."""
    from rmtbench.systems.registry import working_systems

    kinds, broken = working_systems()
    if as_json:
        rows: list[dict[str, object]] = [
            {"name": name, "summary": kind.summary, "takes_top_k": "chunks" in kind.needs}
            for name, kind in kinds.items()
        ]
        rows += [{"name": name, "broken": str(error), "remedy": error.remedy} for name, error in broken.items()]
        typer.echo(json.dumps(rows, indent=1))
        return
    width = max(map(len, [*kinds, *broken]))
    for name, kind in kinds.items():
        typer.echo(f"{name:{width}}  {kind.summary}")
    for name, error in broken.items():
        typer.echo(f"{name:{width}}  broken: {error}; {error.remedy}")
