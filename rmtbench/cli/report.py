"""`rmtbench report`: tables of whatever a results folder holds. Loads no model library."""

from __future__ import annotations

import json as json_format
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer


def report(
    results: Annotated[Path, typer.Argument(help="Folder that holds the runs.", show_default=True)] = Path("results"),
    *,
    anatomy: Annotated[
        bool, typer.Option("--anatomy", help="Print the time by stage, preparation, memory and tokens, too.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Tables alone: no comparison of all pairs, no figures, no page.")
    ] = False,
    training_log: Annotated[
        list[Path] | None, typer.Option(help="Also draw the curves of a log of rmtbench train; repeatable.")
    ] = None,
    passages: Annotated[
        bool | None,
        typer.Option(
            "--passages/--no-passages",
            help="Text of passages in the page: of all documents, or of none (default: own folders and the handbook).",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the tables' records as one JSON object instead.")] = False,
) -> None:
    """Show all runs as tables, and write them to RESULTS/report: Markdown, LaTeX, CSV, figures, one HTML page."""
    from rmtbench.report.write import write_report

    choice: Literal["near", "all", "none"] = "near" if passages is None else "all" if passages else "none"
    written = write_report(results, quick=quick, training_logs=tuple(training_log or ()), passages=choice)
    if json:
        typer.echo(json_format.dumps({"schema": 1, **written.records}, ensure_ascii=False, allow_nan=False))
        return
    from rich.console import Console

    from rmtbench.cli.tables import draw_chapter, draw_decisions

    # A pipe has no width of its own; the tables are made for 120 columns.
    console = Console() if sys.stdout.isatty() else Console(width=120)
    for chapter in written.chapters:
        console.print(draw_chapter(chapter, anatomy=anatomy))
        if contests := [each for each in written.contests if each.section == chapter.title]:
            console.print(draw_decisions(contests))
        console.print()
    if not anatomy:
        typer.echo("More in report.md, or here with --anatomy: time by stage, preparation, memory and tokens")
    if "index.html" in written.files:
        typer.echo("index.html opens in a browser: the decision with your own numbers, every question and answer")
    sheets, figures = (sum(name.endswith(ending) for name in written.files) for ending in (".csv", ".png"))
    typer.echo(f"Written to {written.folder}: report.md, report.tex, {sheets} CSV files, {figures} figures (PNG, SVG)")
