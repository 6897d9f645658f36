"""`rmtbench report`: a verdict and a table of whatever a results folder holds. Loads no model library."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rmtbench.cli.flags import takes
from rmtbench.options.reporting import Reporting
from rmtbench.plural import many

if TYPE_CHECKING:
    from rmtbench.report.write import WrittenReport


@takes(Reporting)
def report(
    asked: Reporting,
    results: Annotated[Path, typer.Argument(help="Folder that holds the runs.")] = Path("results"),
    *,
    json: Annotated[bool, typer.Option("--json", help="Print verdicts and all records as one JSON object.")] = False,
) -> None:
    """Say which system to use and show one table; write all tables, figures and a page to RESULTS/report."""
    from rmtbench.processes import use_one_thread, usual_processes

    use_one_thread()
    from rmtbench.report.write import write_report

    written = write_report(
        results,
        quick=asked.quick,
        training_logs=asked.training_log,
        passages="near" if asked.passages is None else "all" if asked.passages else "none",
        published=asked.published,
        all_pairs=asked.all_pairs,
        processes=usual_processes(),
    )
    if json:
        _print_json(written)
    else:
        anatomy = asked.anatomy or asked.all_pairs
        _print(written, results, full=asked.full or anatomy, anatomy=anatomy)


def _print_json(written: WrittenReport) -> None:
    from rmtbench.analysis.contest import Terms
    from rmtbench.report.verdict_records import verdict_record

    verdicts = [verdict_record(contest, Terms(), verdict) for contest, verdict in written.decided]
    told = {"schema": 1, **written.records, "verdicts": verdicts}
    typer.echo(json_format.dumps(told, ensure_ascii=False, allow_nan=False))


def _print(written: WrittenReport, results: Path, *, full: bool, anatomy: bool) -> None:
    from rmtbench.cli.screen import table_console
    from rmtbench.cli.tables import draw_chapter, draw_first_screen

    console = table_console()
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
    counts = f"{many(sheets, 'CSV file')}, {many(figures, 'figure')}"
    typer.echo(f"Written to {written.folder}: {page}report.md, report.tex, {counts}")
    if written.earlier:
        files = f"{many(len(written.earlier), 'file')} of an earlier report"
        typer.echo(f"Not written again: {files}, such as {written.earlier[0]}; without --quick they are")
