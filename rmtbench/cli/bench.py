"""`rmtbench bench`: measurements on this machine; a table on stderr, JSON on stdout."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rmtbench.cli.flags import takes
from rmtbench.cli.folders import in_a_folder
from rmtbench.cli.progress import note
from rmtbench.errors import UserError
from rmtbench.options.benches import KvBench, RetrievalBench, RmtBench

if TYPE_CHECKING:
    from rmtbench.report.tables import Table

MOVED = ("scoring", "kv-store", "kv-quality", "report", "overhead", "reading", "endpoint", "perplexity")
"""Benches that are not in the package. Each measures the suite itself."""

app = typer.Typer(help="Measure caches, retrieval and memories on this machine.", no_args_is_help=True)


JsonFile = Annotated[
    Path | None, typer.Option("--json", help="Also write the figures to this file.", callback=in_a_folder)
]


def _moved(context: typer.Context) -> None:
    """Say where a bench is now."""
    raise UserError(
        "this bench measures the suite itself and is not in the package",
        where=f"rmtbench bench {context.info_name}",
        remedy=f"in a clone of the repository: python -m experiments.benches {context.info_name}",
    )


for _name in MOVED:
    app.command(_name, hidden=True, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})(_moved)


@app.command("retrieval")
@takes(RetrievalBench)
def retrieval(asked: RetrievalBench, json_file: JsonFile = None) -> None:
    """BM25 and dense search beside the reference libraries, or in files of any size; or recall on a data set."""
    if asked.dataset:
        from rmtbench.bench.retrieval_quality import run as measure
        from rmtbench.cli.bench_tables import quality_table

        found = measure(asked, report=note)
        show_table(quality_table(found), found.to_json(), json_file)
    elif asked.in_files:
        from rmtbench.bench.retrieval_scale import run as scale

        show_figures(scale(asked, report=note).to_json(), json_file)
    else:
        from rmtbench.bench.retrieval import run

        show_figures(run(asked.chunks, asked.queries).to_json(), json_file)


@app.command("kv")
@takes(KvBench)
def kv(asked: KvBench, json_file: JsonFile = None) -> None:
    """Questions a second over a cached context, beside transformers' growing cache, copies of it, and no cache."""
    from rmtbench.bench.kv import run

    show_figures(run(asked, report=note).to_json(), json_file)  # its rows were printed one by one


@app.command("rmt")
@takes(RmtBench)
def rmt(asked: RmtBench, json_file: JsonFile = None) -> None:
    """Accuracy, speed and peak memory of a recurrent memory by length of text, each length in a fresh process."""
    from rmtbench.bench.rmt import not_read, run
    from rmtbench.cli.bench_tables import rmt_table, show_reading

    with show_reading() as report:
        figures = run(asked, report=report)
    show_table(rmt_table(figures), figures.to_json(), json_file)
    for row in figures.rows:
        if row["error"]:
            raise not_read(row["length"], row["error"])


def show_table(table: Table, figures: Mapping[str, Any], json_file: Path | None) -> None:
    """Draw a table on stderr, and write the figures as JSON."""
    from rmtbench.cli.screen import table_console
    from rmtbench.cli.tables import draw_table

    table_console(stderr=True).print(draw_table(table))
    _write(figures, json_file)


def show_figures(figures: Mapping[str, Any], json_file: Path | None) -> None:
    """Print the figures but for rows on stderr, and all as JSON in the last line of stdout and in the file, if any."""
    for name, value in figures.items():
        if isinstance(value, Mapping):
            for inner, entry in value.items():
                typer.echo(f"  {name}: {inner} = {_figure(entry)}", err=True)
        elif name != "rows":
            typer.echo(f"  {name} = {_figure(value)}", err=True)
    _write(figures, json_file)


def _write(figures: Mapping[str, Any], json_file: Path | None) -> None:
    typer.echo(json.dumps(figures, ensure_ascii=False))
    if json_file is not None:
        from rmtbench.journal.lines import write_whole

        write_whole(json_file, (json.dumps(figures, indent=1, ensure_ascii=False) + "\n").encode(), option="--json")


def _figure(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
