"""`rmtbench bench`: figures that anyone can make again; a table for people on stderr, JSON for the rest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rmtbench.cli.folders import in_a_folder
from rmtbench.core import AnswerStyle
from rmtbench.errors import UserError

if TYPE_CHECKING:
    from rmtbench.report.tables import Table

ON_DISK_ABOVE = 100_000
"""Chunks that the reference libraries are no longer asked to hold in memory."""

MOVED = ("scoring", "kv-store", "kv-quality", "report", "overhead", "reading", "endpoint", "perplexity")
"""Benches that are not in the package: each measures the suite itself."""

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


def _count(text: str | int) -> int:
    """A number of chunks as a person writes it."""
    factor = {"k": 1000, "M": 1_000_000}.get(str(text)[-1:], 1)
    digits = str(text)[:-1] if factor > 1 else str(text)
    if not digits.isdecimal() or int(digits) * factor < 10:
        raise typer.BadParameter(f"'{text}' is no number of at least 10 chunks, such as 5000, 50k or 1M")
    return int(digits) * factor


@app.command("retrieval")
def retrieval(  # many: the command's options
    chunks: Annotated[
        int, typer.Option(parser=_count, metavar="N", help="Invented chunks: k is 1,000, M is 1,000,000.")
    ] = 5000,
    queries: Annotated[int, typer.Option(min=10, help="Queries to time.")] = 200,
    on_disk: Annotated[
        bool, typer.Option("--on-disk", help="Indexes in files, built in bounded memory (always above 100k chunks).")
    ] = False,
    folder: Annotated[Path | None, typer.Option(help="Keep these files; the same command goes on there.")] = None,
    kind: Annotated[str, typer.Option(help="Of the dense index in files: auto, flat, pq, ivf, hnsw.")] = "auto",
    dataset: Annotated[
        str | None, typer.Option(help="Instead: recall on a data set's questions; as for rmtbench run.")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="As for rmtbench run.")] = None,
    size: Annotated[str, typer.Option(help="As for rmtbench run.")] = "small",
    draws: Annotated[int, typer.Option(min=1, help="As for rmtbench run.")] = 1,
    questions: Annotated[int | None, typer.Option(min=1, help="As for rmtbench run.")] = None,
    chunk_tokens: Annotated[int, typer.Option(min=1, help="As for rmtbench run.")] = 512,
    embedder: Annotated[str, typer.Option(help="As for rmtbench run.")] = "minilm",
    embed_windows: Annotated[bool, typer.Option(help="Embed long chunks by windows, or only their beginning.")] = True,
    reranker: Annotated[str | None, typer.Option(help="As for rmtbench run.")] = None,
    json_file: JsonFile = None,
) -> None:
    """BM25 and dense search beside the reference libraries, or in files of any size; or recall on a data set."""
    from rmtbench.cli.progress import note

    if dataset is not None:
        from rmtbench.bench.retrieval_quality import run as measure
        from rmtbench.cli.bench_tables import quality_table

        found = measure(
            dataset=dataset,
            data_dir=data_dir,
            generated=data_dir is None,
            size=size,
            draws=draws,
            questions=questions,
            chunk_tokens=chunk_tokens,
            embedder=embedder,
            windows=embed_windows,
            reranker=reranker,
            report=note,
        )
        show_table(quality_table(found), found.to_json(), json_file)
        return
    if on_disk or chunks > ON_DISK_ABOVE:
        from rmtbench.bench.retrieval_scale import run as scale

        if kind not in {"auto", "flat", "pq", "ivf", "hnsw"}:
            raise UserError(f"no kind '{kind}'", where="--kind", remedy="choose auto, flat, pq, ivf or hnsw")
        scaled = scale(chunks=chunks, queries=queries, kind=kind, folder=folder, report=note)
        show_figures(scaled.to_json(), json_file)
        return
    from rmtbench.bench.retrieval import run

    show_figures(run(chunks=chunks, queries=queries).to_json(), json_file)


@app.command("kv")
def kv(
    models: Annotated[str, typer.Option(help="Models, comma-separated, as for rmtbench run.")] = (
        "mini,random:llama-0.1b"
    ),
    lengths: Annotated[str, typer.Option(help="Tokens of the contexts; 85k is the paper's largest.")] = "1k,4k,21k",
    batches: Annotated[str, typer.Option(help="Questions at once, comma-separated.")] = "1,8,32",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16, float16.")] = "auto",
    json_file: JsonFile = None,
) -> None:
    """Questions a second over a cached context, beside transformers' growing cache, copies of it, and no cache."""
    from rmtbench.bench.kv import run
    from rmtbench.bench.rmt import parse_tokens
    from rmtbench.cli.progress import note
    from rmtbench.models.load import choose_device, choose_dtype

    device = choose_device(device)
    figures = run(
        models.split(","),
        [parse_tokens(length) for length in lengths.split(",")],
        _numbers(batches, "--batches"),
        device=device,
        dtype=choose_dtype(dtype, device),
        report=note,
    )
    _show_rows(figures.to_json(), json_file)


# What benches of recurrent memory ask for.
BaseModel = Annotated[str | None, typer.Option("--model", help="Base model, where the memory names a path.")]
Names = Annotated[str, typer.Option(help="Name words: all, seen or held-out.")]
Style = Annotated[AnswerStyle | None, typer.Option(help="bridge or direct (default: as the memory was trained).")]
Seed = Annotated[int, typer.Option(help="Decides the texts.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda.")]
Dtype = Annotated[str, typer.Option(help="auto, float32, bfloat16, float16.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads (default: torch's own choice).")]


@app.command("rmt")
def rmt(  # many: the command's options
    memory: Annotated[
        Path | None, typer.Option(help="Folder of a trained memory (default: the one shipped for the task).")
    ] = None,
    task: Annotated[str, typer.Option(help="Task: see rmtbench train rmt.")] = "detect",
    lengths: Annotated[
        str, typer.Option(help="Tokens, comma-separated: k is 1,000, M is 1,000,000.")
    ] = "4k,32k,128k,1M,2M",
    samples: Annotated[
        str | None, typer.Option(help="Texts: one number, or one a length (default: 200 to 128k, then 20).")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Texts read side by side.")] = 20,
    base_too: Annotated[bool, typer.Option("--base-too", help="Let the base model read them in full, too.")] = False,
    base_samples: Annotated[int, typer.Option(min=1, help="Texts of each length for the base model.")] = 10,
    model: BaseModel = None,
    names: Names = "all",
    style: Style = None,
    seed: Seed = 0,
    device: Device = "auto",
    dtype: Dtype = "auto",
    threads: Threads = None,
    json_file: JsonFile = None,
) -> None:
    """Accuracy, speed and peak memory of a recurrent memory by length of text, each length in a fresh process."""
    from rmtbench.bench.rmt import run
    from rmtbench.cli.bench_tables import rmt_table, show_reading

    with show_reading() as report:
        figures = run(
            memory=memory,
            task=task,
            lengths=lengths.split(","),
            samples=None if samples is None else _numbers(samples),
            batch=batch,
            base_too=base_too,
            base_samples=base_samples,
            model=model,
            names=names,
            style=style,
            seed=seed,
            device=device,
            dtype=dtype,
            threads=threads,
            report=report,
        )
    show_table(rmt_table(figures), figures.to_json(), json_file)


def _numbers(text: str, option: str = "--samples") -> list[int]:
    try:
        return [int(word) for word in text.split(",")]
    except ValueError as error:
        raise UserError(f"'{text}' are no numbers", where=option, remedy="give such as 200,200,20") from error


def show_table(table: Table, figures: Mapping[str, Any], json_file: Path | None) -> None:
    """Draw a table on stderr, and write the figures as JSON."""
    from rich.console import Console

    from rmtbench.cli.tables import draw_table

    Console(stderr=True).print(draw_table(table))
    _write(figures, json_file)


def show_figures(figures: Mapping[str, Any], json_file: Path | None) -> None:
    """Print the figures, and write them where they are wanted: the last line on stdout is the JSON."""
    for name, value in figures.items():
        if isinstance(value, Mapping):
            for inner, entry in value.items():
                typer.echo(f"  {name}: {inner} = {_figure(entry)}", err=True)
        else:
            typer.echo(f"  {name} = {_figure(value)}", err=True)
    _write(figures, json_file)


def _show_rows(figures: Mapping[str, Any], json_file: Path | None) -> None:
    """As `show_figures`; the rows of a bench have been told of one by one."""
    for name, value in figures.items():
        if name != "rows":
            typer.echo(f"  {name} = {_figure(value)}", err=True)
    _write(figures, json_file)


def _write(figures: Mapping[str, Any], json_file: Path | None) -> None:
    typer.echo(json.dumps(figures, ensure_ascii=False))
    if json_file is not None:
        from rmtbench.journal.lines import write_whole

        write_whole(json_file, (json.dumps(figures, indent=1, ensure_ascii=False) + "\n").encode())


def _figure(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
