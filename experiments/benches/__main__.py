"""The workshop's benches as commands, run from the repository's root: ``python -m experiments.benches NAME``.

A table is printed on stderr. The last line on stdout is the JSON.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from experiments.benches.options import DiagonalBench, KeyValuesBench, KvStoreBench, PerplexityBench
from rmtbench.cli.bench import JsonFile, show_figures, show_table
from rmtbench.cli.flags import takes
from rmtbench.cli.progress import note
from rmtbench.errors import UserError

app = typer.Typer(help="Measure the suite itself, beside other people's code.", no_args_is_help=True)


@app.command("scoring")
def scoring(
    answers: Annotated[int, typer.Option(min=10, help="Answers of each system.")] = 1000,
    systems: Annotated[int, typer.Option(min=1, help="Systems.")] = 4,
    json_file: JsonFile = None,
) -> None:
    """BERTScore of several systems at once beside as many calls of the bert-score package."""
    from experiments.benches.scoring import run

    show_figures(run(answers=answers, systems=systems), json_file)


@app.command("kv-store")
@takes(KvStoreBench)
def kv_store(asked: KvStoreBench, json_file: JsonFile = None) -> None:
    """A kept key-value cache loaded, cold and warm, beside computing it; and how many damaged ones are noticed."""
    from experiments.benches.kv_store import run
    from experiments.benches.tables import kv_store_table

    figures = run(asked, report=note)
    show_table(kv_store_table(figures), figures, json_file)


@app.command("kv-quality")
def kv_quality(
    model: Annotated[str, typer.Option(help="As for rmtbench run.")] = "mini",
    size: Annotated[str, typer.Option(help="Size of the miniature.")] = "smoke",
    styles: Annotated[str, typer.Option(help="Styles, comma-separated.")] = "squad,hotpotqa,triviaqa",
    draws: Annotated[int, typer.Option(min=1, help="Contexts of each style.")] = 5,
    questions: Annotated[int, typer.Option(min=1, help="Questions of each kind about each context.")] = 5,
    recompute: Annotated[
        list[float] | None, typer.Option(min=0.001, max=1, help="Share read again; repeatable (default 0.15).")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Answers from caches that are not exact, composed of documents' own or in few bits, beside the exact cache's."""
    from experiments.benches.kv_quality import run
    from experiments.benches.tables import kv_quality_table

    figures = run(
        model=model,
        size=size,
        styles=styles.split(","),
        draws=draws,
        questions=questions,
        recompute=recompute or [0.15],
        report=note,
    )
    show_table(kv_quality_table(figures), figures, json_file)


RunsOption = Annotated[int, typer.Option(min=1, max=2000, help="Synthetic runs.")]
AnswersOption = Annotated[int, typer.Option(min=40, help="Answers of each run.")]


@app.command("report")
def report(runs: RunsOption = 200, answers: AnswersOption = 1000, json_file: JsonFile = None) -> None:
    """Time and memory of a report, with and without what an earlier one kept, over synthetic runs."""
    from experiments.benches.report import run
    from experiments.benches.report_scale import Scale

    show_figures(run(Scale(runs, answers)), json_file)


@app.command("report-scale")
def report_scale(
    out: Annotated[Path, typer.Option(help="Results folder; runs that are there are left alone.")],
    runs: RunsOption = 2000,
    answers: AnswersOption = 1000,
) -> None:
    """Write synthetic runs for a report of any size; every heading of the report says that they are synthetic."""
    from experiments.benches.report_scale import Scale, write_runs

    for number, path in enumerate(write_runs(out, Scale(runs, answers)), start=1):
        note(f"{number} of {runs}: {path.name}")


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
    from experiments.benches.overhead import run
    from rmtbench.spec import make_request

    given = {"dataset": dataset, "size": size, "data_dir": data_dir, "model": model, "questions": questions}
    show_figures(run(make_request("mini", {**given, "systems": tuple(system.split(","))})), json_file)


@app.command("reading")
def reading(
    model: Annotated[str, typer.Option(help="As for rmtbench run.")] = "mini",
    sizes: Annotated[
        str, typer.Option(help="Sizes of the miniature, comma-separated; 'without', 'oracle': no context, the gold.")
    ] = "smoke",
    styles: Annotated[str, typer.Option(help="Styles, comma-separated.")] = "squad,hotpotqa,triviaqa",
    names: Annotated[str, typer.Option(help="Name words: all, seen or held-out.")] = "all",
    draws: Annotated[int, typer.Option(min=1, help="Contexts of each size and style.")] = 5,
    questions: Annotated[int, typer.Option(min=1, help="Questions of each kind about each context.")] = 20,
    json_file: JsonFile = None,
) -> None:
    """How well a model reads the miniature world, by kind of question and length of context."""
    from experiments.benches.reading import run
    from experiments.benches.tables import reading_table

    chosen, told = sizes.split(","), styles.split(",")
    figures = run(model=model, sizes=chosen, styles=told, names=names, draws=draws, questions=questions, report=note)
    show_table(reading_table(figures), figures, json_file)


@app.command("endpoint")
def endpoint(
    concurrency: Annotated[int, typer.Option(min=1, help="Questions at once.")] = 32,
    calls: Annotated[int, typer.Option(min=1, help="Questions in all.")] = 960,
    milliseconds: Annotated[int, typer.Option(min=0, help="What the server takes for an answer.")] = 200,
    json_file: JsonFile = None,
) -> None:
    """What a call of a served model takes beyond the server's own time, against a server that only waits."""
    from experiments.benches.endpoint import run

    show_figures(run(concurrency=concurrency, calls=calls, seconds=milliseconds / 1000), json_file)


@app.command("perplexity")
@takes(PerplexityBench)
def perplexity(asked: PerplexityBench, json_file: JsonFile = None) -> None:
    """Perplexity of long text with a recurrent memory, with it forgotten, and by the base model with a window."""
    from experiments.benches.perplexity import run
    from experiments.benches.tables import perplexity_table
    from rmtbench.cli.bench_tables import show_reading

    with show_reading() as report:
        figures = run(asked, report=report)
    show_table(perplexity_table(figures), figures, json_file)


@app.command("key-values")
@takes(KeyValuesBench)
def key_values(asked: KeyValuesBench, json_file: JsonFile = None) -> None:
    """How many key-value pairs memories hold, by number of pairs and of gradient steps."""
    from experiments.benches.key_values import run
    from experiments.benches.tables import key_values_table
    from rmtbench.models.load import choose_device

    figures = run(
        asked.memory,
        pairs=asked.pairs,
        steps=asked.steps,
        texts=asked.texts,
        seed=asked.seed,
        threads=asked.threads,
        device=choose_device(asked.device),
        report=note,
    )
    show_table(key_values_table(figures), figures, json_file)


@app.command("trial")
def trial(
    model: Annotated[str, typer.Option(help="As for rmtbench run.")] = "smollm2",
    adapter: Annotated[str | None, typer.Option(help="As for rmtbench run.")] = None,
    json_file: JsonFile = None,
) -> None:
    """Seconds of the trial of a model at load, by the ways of reading that a run uses."""
    from experiments.benches.trial import run

    show_figures(run(model, adapter), json_file)


@app.command("diagonal")
@takes(DiagonalBench)
def diagonal(asked: DiagonalBench, json_file: JsonFile = None) -> None:
    """Reading with a per-layer memory: segments one after the other, and diagonally."""
    from experiments.benches.diagonal import run
    from experiments.benches.tables import diagonal_table

    figures = run(asked, report=note)
    show_table(diagonal_table(figures), figures, json_file)


@app.command("engines")
def engines(
    size: Annotated[str, typer.Option(help="Size of the miniature.")] = "2k",
    questions: Annotated[int, typer.Option(min=1, help="At most so many a draw.")] = 6,
    workers: Annotated[int, typer.Option(min=1, help="Workers of --workers and of Ray.")] = 2,
    rounds: Annotated[int, typer.Option(min=1, help="Times that each does the study, in turn.")] = 3,
    tiny_draws: Annotated[int, typer.Option(min=2, help="Draws of next to no work, for the cost of one.")] = 100,
    json_file: JsonFile = None,
) -> None:
    """A study of 24 draws in one process, in several and on Ray: the same answers, time, and what a draw costs more."""
    from experiments.benches.engines import run

    figures = run(size=size, questions=questions, workers=workers, rounds=rounds, tiny_draws=tiny_draws, report=note)
    show_figures(figures, json_file)


@app.command("scaling")
def scaling(
    results: Annotated[Path, typer.Option(help="Finished runs, for the times of draws.")] = Path("results/mini-draws"),
    draws: Annotated[int, typer.Option(min=1, help="Draws of the study.")] = 141,
    workers: Annotated[list[int] | None, typer.Option(min=1, help="Workers; repeatable (default 8, 32, 128).")] = None,
    load_seconds: Annotated[float, typer.Option(min=0, help="What a worker needs before its first draw.")] = 10,
    json_file: JsonFile = None,
) -> None:
    """How a study of many draws scales to many workers, simulated with recorded times."""
    from experiments.benches.scaling import run

    figures = run(results, draws=draws, workers=workers or [8, 32, 128], load_seconds=load_seconds)
    show_figures(figures, json_file)


def main() -> None:
    """Run one bench. For wrong input, exit with 2 and two lines on stderr."""
    try:
        app()
    except UserError as error:
        typer.echo(f"error: {error.where}: {error.what}\n  {error.remedy}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
