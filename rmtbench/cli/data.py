"""`rmtbench data`: list the data sets, check one, or write a draw as files."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, replace
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rmtbench.cli.flags import takes
from rmtbench.cli.progress import telling_counter
from rmtbench.options.datasets import Counting, ExportedDraw, FirstDraws
from rmtbench.plural import many

if TYPE_CHECKING:
    from rmtbench.corpora.base import Dataset, DatasetKind, TokenCounter

app = typer.Typer(help="Look at data sets: list, check, export.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _reader(asked: Counting, dataset: str) -> str:
    """Return the model whose tokenizer counts a data set's tokens: the one that is named, else the data's default."""
    from rmtbench.spec import default_reader, profile_defaults

    values = {**profile_defaults(asked.profile), "dataset": dataset, "data_dir": asked.data_dir}
    return asked.model or str({**values, **default_reader(values, os.environ)}["model"])


def _open(asked: Counting, dataset: str) -> Dataset:
    """Open a data set. The profile decides whether it is the miniature where no files are named."""
    from rmtbench.corpora.open import open_dataset
    from rmtbench.spec import profile_defaults

    generated = "generated" in profile_defaults(asked.profile)
    return open_dataset(dataset, asked.data_dir, os.environ, generated=generated)


@app.command("list")
@takes(FirstDraws)
def list_datasets(asked: FirstDraws, as_json: AsJson = False) -> None:
    """Show the data sets that are here, and how large the first draw of each size is."""
    from rmtbench.corpora.registry import broken_datasets, known_datasets
    from rmtbench.models.load import load_token_counter
    from rmtbench.spec import profile_defaults

    # One tokenizer for all rows, so that their counts can be compared.
    reader = _reader(asked, profile_defaults(asked.profile)["dataset"])
    count_tokens = load_token_counter(reader, asked.tokenizer)
    here = (_describe(kind, asked, count_tokens) for kind in known_datasets().values())
    rows = chain(here, (_missing(name, name, error) for name, error in broken_datasets().items()))
    if as_json:
        typer.echo(json.dumps(list(rows), indent=1))
        return
    for row in rows:  # each as soon as it is counted
        _print_row(row)


def _print_row(row: dict[str, Any]) -> None:
    source = row["source"]
    typer.echo(f"{row['dataset']}: " + (f"{source['kind']}, {source['name']}" if source else "not here"))
    for size in row["sizes"]:
        if "problem" in size:
            typer.echo(f"  {size['size']:7}{_reason(size['problem'])}")
        else:
            counts = f"{size['tokens']:9,} tokens {size['documents']:5,} documents {size['questions']:5,} questions"
            typer.echo(f"  {size['size']:7}{counts}")
    if row["problem"]:
        typer.echo(f"  {_reason(row['problem'])}")


@app.command()
@takes(Counting)
def check(
    asked: Counting,
    name: Annotated[str, typer.Argument(help="squad, hotpotqa, triviaqa, handbook, or a folder of your own.")],
    as_json: AsJson = False,
) -> None:
    """Read all of a data set and count its documents, questions and oddities; the first defect ends it."""
    from rmtbench.corpora.registry import known_datasets
    from rmtbench.models.load import load_token_counter

    dataset = _open(asked, name)
    facts = dataset.facts()
    source = asdict(dataset.source)
    counts = {"documents": facts.documents, "questions": facts.questions}
    reader = None
    kind = known_datasets().get(name)
    if source["kind"] in ("own", "embedded") and (kind is None or "all" in kind.sizes):  # else a run never reads all
        reader = _reader(asked, name)
        counter = telling_counter(load_token_counter(reader, asked.tokenizer))
        counts["tokens"] = _counts(dataset, "all", counter, 0)["tokens"]
    counted_by = asked.tokenizer or reader
    if as_json:
        row = {"dataset": dataset.name, "source": source, **counts, "counted_by": counted_by}
        typer.echo(json.dumps(row | {"notes": dict(facts.notes), "remark": facts.remark}, indent=1))
        return
    typer.echo(f"{dataset.name}: sound ({source['kind']}, {source['name']}, sha256 {source['sha256'][:16]})")
    counts |= facts.notes
    for noun, count in counts.items():
        named = re.sub(r"^(\w+)s\b", r"\1", noun) if count == 1 else noun
        typer.echo(f"{count:9,}  {named}" + (f" by {counted_by}" if noun == "tokens" else ""))
    if facts.remark:
        typer.echo(facts.remark)


@app.command()
@takes(ExportedDraw)
def export(asked: ExportedDraw) -> None:
    """Write one draw as files in its data set's official format, or as a folder like your own."""
    from rmtbench.corpora.base import DrawRequest
    from rmtbench.corpora.export import export_draw
    from rmtbench.models.load import load_token_counter

    dataset = _open(asked, asked.dataset)
    count_tokens = load_token_counter(_reader(asked, asked.dataset), asked.tokenizer)
    drawn = dataset.draw(DrawRequest(asked.size, asked.draw, asked.seed), count_tokens)
    files = export_draw(drawn, asked.out)
    corpus = drawn.corpus
    typer.echo(
        f"{many(len(files), 'file')} in {asked.out}: {many(len(corpus.documents), 'document')}, "
        f"{many(len(corpus.questions), 'question')} "
        f"({corpus.id}, sha256 {corpus.sha256[:16]})"
    )


def _describe(kind: DatasetKind, asked: FirstDraws, count_tokens: TokenCounter) -> dict[str, Any]:
    """Return source and sizes of a data set, or why it is not here. It never asks the hub, whose files can be large."""
    from rmtbench.corpora.open import DATA_VARIABLE, has_official_files
    from rmtbench.errors import UserError
    from rmtbench.spec import profile_defaults

    there = kind.embedded is not None or ("generated" in profile_defaults(asked.profile) and kind.miniature)
    if not there and asked.data_dir is None and not os.environ.get(DATA_VARIABLE):
        unnamed = UserError(
            "no official files are named",
            remedy=f"give --data-dir or set {DATA_VARIABLE}; without either, a run asks the hub",
        )
        return _missing(kind.name, kind.label, unnamed)
    try:
        dataset = _open(asked if has_official_files(kind.name) else replace(asked, data_dir=None), kind.name)
    except UserError as error:
        return _missing(kind.name, kind.label, error)
    sizes = [_measure(dataset, size, count_tokens, asked.seed) for size in kind.sizes]
    source = asdict(dataset.source)
    return {"dataset": kind.name, "label": kind.label, "source": source, "sizes": sizes, "problem": None}


def _missing(name: str, label: str, error: Exception) -> dict[str, Any]:
    return {"dataset": name, "label": label, "source": None, "sizes": [], "problem": _problem(error)}


def _measure(dataset: Dataset, size: str, count_tokens: TokenCounter, seed: int) -> dict[str, Any]:
    from rmtbench.errors import UserError

    try:
        return {"size": size, **_counts(dataset, size, count_tokens, seed)}
    except UserError as error:
        return {"size": size, "problem": _problem(error)}


def _counts(dataset: Dataset, size: str, count_tokens: TokenCounter, seed: int) -> dict[str, int]:
    from rmtbench.corpora.base import DrawRequest

    corpus = dataset.draw(DrawRequest(size, 0, seed), count_tokens).corpus
    return {
        "tokens": sum(count_tokens([f"{document.title}\n{document.text}" for document in corpus.documents])),
        "documents": len(corpus.documents),
        "questions": len(corpus.questions),
    }


def _problem(error: Exception) -> dict[str, str]:
    return {name: getattr(error, name) for name in ("what", "where", "remedy")}


def _reason(problem: dict[str, str]) -> str:
    where = f"{problem['where']}: " if problem["where"] else ""
    return f"{where}{problem['what']}; {problem['remedy']}"
