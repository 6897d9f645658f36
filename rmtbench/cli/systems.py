"""`rmtbench systems`: what can stand after ``--system``."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def systems(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the systems, other packages' included."""
    from rmtbench.systems.registry import find_system, system_names

    kinds = [find_system(name) for name in system_names()]
    if as_json:
        rows = [{"name": kind.name, "summary": kind.summary, "takes_top_k": "chunks" in kind.needs} for kind in kinds]
        typer.echo(json.dumps(rows, indent=1))
        return
    width = max(len(kind.name) for kind in kinds)
    for kind in kinds:
        typer.echo(f"{kind.name:{width}}  {kind.summary}")
