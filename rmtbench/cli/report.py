"""`rmtbench report`: a verdict and a table of whatever a results folder holds. Loads no model library."""

from __future__ import annotations

import json as json_format
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from rmtbench.report.write import WrittenReport


def report(
    results: Annotated[Path, typer.Argument(help="Folder that holds the runs.", show_default=True)] = Path("results"),
    *,
    full: Annotated[bool, typer.Option("--full", help="Print all tables and what produced them, too.")] = False,
    anatomy: Annotated[
        bool, typer.Option("--anatomy", help="As --full, with time by stage, preparation, memory and tokens.")
    ] = False,
    all_pairs: Annotated[
        bool, typer.Option("--all-pairs", help="Compare all pairs, not only the leader with each other; as --full.")
    ] = False,
    published: Annotated[
        bool, typer.Option("--published", help="Set published figures of other data beside own documents, too.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Tables alone: no comparisons, no verdict, no figures, no page.")
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
    json: Annotated[bool, typer.Option("--json", help="Print verdicts and all records as one JSON object.")] = False,
) -> None:
    """Say which system to use and show one table; write all tables, figures and a page to RESULTS/report."""
    from rmtbench.report.write import write_report

    choice: Literal["near", "all", "none"] = "near" if passages is None else "all" if passages else "none"
    written = write_report(
        results,
        quick=quick,
        training_logs=tuple(training_log or ()),
        passages=choice,
        published=published,
        all_pairs=all_pairs,
    )
    if json:
        _print_json(written)
    else:
        _print(written, results, full=full or anatomy or all_pairs, anatomy=anatomy or all_pairs)


def _print_json(written: WrittenReport) -> None:
    from rmtbench.analysis.contest import Terms
    from rmtbench.analysis.decision import decide
    from rmtbench.report.verdict_records import verdict_record

    terms = Terms()
    verdicts = [verdict_record(each, terms, decide(each, terms)) for each in written.contests]
    told = {"schema": 1, **written.records, "verdicts": verdicts}
    typer.echo(json_format.dumps(told, ensure_ascii=False, allow_nan=False))


def _print(written: WrittenReport, results: Path, *, full: bool, anatomy: bool) -> None:
    from rich.console import Console

    from rmtbench.cli.tables import draw_chapter, draw_first_screen

    # A pipe has no width of its own; the tables are made for 120 columns.
    console = Console() if sys.stdout.isatty() else Console(width=120)
    console.print(draw_first_screen(written.blocks, str(results)))
    if full:
        for chapter in written.chapters:
            console.print()
            console.print(draw_chapter(chapter, anatomy=anatomy))
        console.print()
    else:
        typer.echo("More: --full prints all tables, --anatomy also times and memory by part, --json all records")
    sheets, figures = (sum(name.endswith(ending) for name in written.files) for ending in (".csv", ".png"))
    page = "index.html (opens in a browser), " if "index.html" in written.files else ""
    typer.echo(f"Written to {written.folder}: {page}report.md, report.tex, {sheets} CSV files, {figures} figures")
