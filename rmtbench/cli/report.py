"""`rmtbench report`: tables of whatever a results folder holds. Loads no model library."""

from __future__ import annotations

import json as json_format
import sys
from pathlib import Path
from typing import Annotated

import typer


def report(
    results: Annotated[Path, typer.Argument(help="Folder that holds the runs.", show_default=True)] = Path("results"),
    *,
    anatomy: Annotated[
        bool, typer.Option("--anatomy", help="Print the time by stage, preparation, memory and tokens, too.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the tables' records as one JSON object instead.")] = False,
) -> None:
    """Show all runs as tables, and write them to RESULTS/report as Markdown and CSV."""
    from rmtbench.report.write import write_report

    written = write_report(results)
    if json:
        typer.echo(json_format.dumps({"schema": 1, **written.records}, ensure_ascii=False, allow_nan=False))
        return
    from rich.console import Console

    from rmtbench.cli.tables import draw_chapter

    # A pipe has no width of its own; the tables are made for 120 columns.
    console = Console() if sys.stdout.isatty() else Console(width=120)
    for chapter in written.chapters:
        console.print(draw_chapter(chapter, anatomy=anatomy))
        console.print()
    if not anatomy:
        typer.echo("More in report.md, or here with --anatomy: time by stage, preparation, memory and tokens")
    typer.echo(f"Written to {written.folder}: report.md and {len(written.files) - 1} CSV files")
