"""`rmtbench bench`: figures that anyone can make again; a table for people on stderr, JSON for the rest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from rmtbench.errors import UserError

app = typer.Typer(help="Measure the suite itself: retrieval, scoring, harness overhead.", no_args_is_help=True)


def _in_a_folder(path: Path | None) -> Path | None:
    """Refuse a file that cannot be written before minutes of measuring, not after."""
    if path is not None and not path.parent.is_dir():
        raise UserError("no such folder", where=f"--json {path}", remedy=f"make {path.parent}, or name another file")
    return path


JsonFile = Annotated[
    Path | None, typer.Option("--json", help="Also write the figures to this file.", callback=_in_a_folder)
]


@app.command("retrieval")
def retrieval(
    chunks: Annotated[int, typer.Option(min=10, help="Chunks to search.")] = 5000,
    queries: Annotated[int, typer.Option(min=10, help="Queries to time.")] = 200,
    json_file: JsonFile = None,
) -> None:
    """BM25 and dense search beside rank-bm25 and LlamaIndex's SimpleVectorStore."""
    from rmtbench.bench.retrieval import run

    _show(run(chunks=chunks, queries=queries), json_file)


@app.command("scoring")
def scoring(
    answers: Annotated[int, typer.Option(min=10, help="Answers of each system.")] = 1000,
    systems: Annotated[int, typer.Option(min=1, help="Systems.")] = 4,
    json_file: JsonFile = None,
) -> None:
    """BERTScore of several systems at once beside as many calls of the bert-score package."""
    from rmtbench.bench.scoring import run

    _show(run(answers=answers, systems=systems), json_file)


@app.command("overhead")
def overhead(
    system: Annotated[str, typer.Option(help="Systems, comma-separated, or 'all'.")] = "all",
    dataset: Annotated[str | None, typer.Option(help="As for rmtbench run.")] = None,
    size: Annotated[str | None, typer.Option(help="As for rmtbench run.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="As for rmtbench run.")] = None,
    model: Annotated[str | None, typer.Option(help="As for rmtbench run.")] = None,
    questions: Annotated[int | None, typer.Option(help="At most so many questions.")] = 16,
    json_file: JsonFile = None,
) -> None:
    """Share of a run's wall time that is neither model, embedder nor retrieval."""
    from rmtbench.bench.overhead import run
    from rmtbench.spec import make_request

    given = {"dataset": dataset, "size": size, "data_dir": data_dir, "model": model, "questions": questions}
    _show(run(make_request("mini", {**given, "systems": tuple(system.split(","))})), json_file)


@app.command("reading")
def reading(
    model: Annotated[str, typer.Option(help="As for rmtbench run.")] = "mini",
    sizes: Annotated[
        str, typer.Option(help="Sizes of the miniature, comma-separated; 'without': no context.")
    ] = "smoke",
    styles: Annotated[str, typer.Option(help="Styles, comma-separated.")] = "squad,hotpotqa,triviaqa",
    names: Annotated[str, typer.Option(help="Name words: all, seen or held-out.")] = "all",
    draws: Annotated[int, typer.Option(min=1, help="Contexts of each size and style.")] = 5,
    questions: Annotated[int, typer.Option(min=1, help="Questions of each kind about each context.")] = 20,
    json_file: JsonFile = None,
) -> None:
    """How well a model reads the miniature world, by kind of question and length of context."""
    from rmtbench.bench.reading import run
    from rmtbench.cli.progress import note

    chosen, told = sizes.split(","), styles.split(",")
    figures = run(model=model, sizes=chosen, styles=told, names=names, draws=draws, questions=questions, report=note)
    _show(figures, json_file)


def _show(figures: Mapping[str, Any], json_file: Path | None) -> None:
    """Print the figures, and write them where they are wanted: the last line on stdout is the JSON."""
    for name, value in figures.items():
        if isinstance(value, Mapping):
            for inner, entry in value.items():
                typer.echo(f"  {name}: {inner} = {_figure(entry)}", err=True)
        else:
            typer.echo(f"  {name} = {_figure(value)}", err=True)
    typer.echo(json.dumps(figures, ensure_ascii=False))
    if json_file is not None:
        from rmtbench.journal.lines import write_whole

        write_whole(json_file, (json.dumps(figures, indent=1, ensure_ascii=False) + "\n").encode())


def _figure(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
