"""`rmtbench data`: which data sets are there, whether they are sound, and draws as files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rmtbench.cli.progress import telling_counter

if TYPE_CHECKING:
    from rmtbench.corpora.base import Dataset, DatasetKind, TokenCounter

app = typer.Typer(help="Look at data sets: list, check, export.", no_args_is_help=True)

DataDir = Annotated[Path | None, typer.Option(help="Official files: a folder or one file (else RMTBENCH_DATA).")]
Model = Annotated[
    str | None, typer.Option(help="Whose tokenizer counts: hub id, path, random:GEOMETRY (default: the profile's).")
]
Profile = Annotated[str, typer.Option(help="mini: the miniature where no files are named; paper: the hub's data.")]
Tokenizer = Annotated[str | None, typer.Option(help="Another tokenizer than the model's own.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Seed = Annotated[int, typer.Option(help="Seed of the draw.")]


def _reader(profile: str, dataset: str, data_dir: Path | None) -> str:
    """The model whose tokenizer counts a data set's tokens, if the user names none."""
    from rmtbench.spec import default_reader, profile_defaults

    values = {**profile_defaults(profile), "dataset": dataset, "data_dir": data_dir}
    return str({**values, **default_reader(values, os.environ)}["model"])


@app.command("list")
def list_datasets(
    data_dir: DataDir = None,
    model: Model = None,
    profile: Profile = "mini",
    tokenizer: Tokenizer = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Show the data sets that are here, and how large the first draw of each size is."""
    from rmtbench.corpora.registry import broken_datasets, known_datasets
    from rmtbench.models.load import load_token_counter
    from rmtbench.spec import profile_defaults

    defaults = profile_defaults(profile)
    # One tokenizer for all rows, so that their counts can be compared.
    count_tokens = load_token_counter(model or _reader(profile, defaults["dataset"], data_dir), tokenizer)
    generated = "generated" in defaults
    kinds = known_datasets().values()
    rows = [_describe(kind, data_dir, count_tokens, seed, generated=generated) for kind in kinds]
    rows += [_missing(name, name, error) for name, error in broken_datasets().items()]
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
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
def check(
    name: Annotated[str, typer.Argument(help="squad, hotpotqa, triviaqa, handbook, or a folder of your own.")],
    data_dir: DataDir = None,
    model: Model = None,
    profile: Profile = "mini",
    tokenizer: Tokenizer = None,
    as_json: AsJson = False,
) -> None:
    """Read all of a data set and count its documents, questions and oddities; the first defect ends it."""
    from rmtbench.corpora.open import open_dataset
    from rmtbench.models.load import load_token_counter
    from rmtbench.spec import profile_defaults

    dataset = open_dataset(name, data_dir, os.environ, generated="generated" in profile_defaults(profile))
    facts = dataset.facts()
    source = _source(dataset)
    counts = {"documents": facts.documents, "questions": facts.questions}
    reader = None
    if source["kind"] in ("own", "embedded"):  # of others a size is read, and never all
        reader = model or _reader(profile, name, data_dir)
        counter = telling_counter(load_token_counter(reader, tokenizer))
        counts["tokens"] = _measure(dataset, "all", counter, 0)["tokens"]
    if as_json:
        row = {"dataset": dataset.name, "source": source, **counts, "counted_by": tokenizer or reader}
        typer.echo(json.dumps(row | {"notes": dict(facts.notes), "remark": facts.remark}, indent=1))
        return
    typer.echo(f"{dataset.name}: sound ({source['kind']}, {source['name']}, sha256 {source['sha256'][:16]})")
    counts |= facts.notes
    for noun, count in counts.items():
        typer.echo(f"{count:9,}  {noun}" + (f" by {tokenizer or reader}" if noun == "tokens" else ""))
    if facts.remark:
        typer.echo(facts.remark)


@app.command()
def export(
    out: Annotated[Path, typer.Option(help="A new or empty folder.")],
    dataset: Annotated[str, typer.Option(help="squad, hotpotqa, triviaqa, handbook, or a folder of your own.")],
    size: Annotated[str, typer.Option(help="smoke, small, medium, large; all for own documents.")],
    draw: Annotated[int, typer.Option(min=0, help="Which draw, from 0.")] = 0,
    seed: Seed = 0,
    data_dir: DataDir = None,
    model: Model = None,
    profile: Profile = "mini",
    tokenizer: Tokenizer = None,
) -> None:
    """Write one draw as files in its data set's official format, or as a folder like your own."""
    from rmtbench.corpora.base import DrawRequest
    from rmtbench.corpora.export import export_draw
    from rmtbench.corpora.open import open_dataset
    from rmtbench.models.load import load_token_counter
    from rmtbench.spec import profile_defaults

    defaults = profile_defaults(profile)
    opened = open_dataset(dataset, data_dir, os.environ, generated="generated" in defaults)
    count_tokens = load_token_counter(model or _reader(profile, dataset, data_dir), tokenizer)
    drawn = opened.draw(DrawRequest(size, draw, seed), count_tokens)
    files = export_draw(drawn, out)
    corpus = drawn.corpus
    typer.echo(
        f"{len(files)} files in {out}: {len(corpus.documents)} documents, {len(corpus.questions)} questions "
        f"({corpus.id}, sha256 {corpus.sha256[:16]})"
    )


def _describe(
    kind: DatasetKind, data_dir: Path | None, count_tokens: TokenCounter, seed: int, *, generated: bool
) -> dict[str, Any]:
    """Source and sizes of a data set, or why it is not here. Never asks the hub, whose files can be gigabytes."""
    from rmtbench.corpora.open import DATA_VARIABLE, open_dataset
    from rmtbench.errors import UserError

    name = kind.name
    there = kind.embedded is not None or (generated and kind.miniature)
    if not there and data_dir is None and not os.environ.get(DATA_VARIABLE):
        unnamed = UserError(
            "no official files are named",
            remedy=f"give --data-dir or set {DATA_VARIABLE}; without either, a run asks the hub",
        )
        return _missing(name, kind.label, unnamed)
    try:
        dataset = open_dataset(name, data_dir, os.environ, generated=generated)
    except UserError as error:
        return _missing(name, kind.label, error)
    sizes = [_measure(dataset, size, count_tokens, seed) for size in kind.sizes]
    return {"dataset": name, "label": kind.label, "source": _source(dataset), "sizes": sizes, "problem": None}


def _missing(name: str, label: str, error: Exception) -> dict[str, Any]:
    return {"dataset": name, "label": label, "source": None, "sizes": [], "problem": _problem(error)}


def _measure(dataset: Dataset, size: str, count_tokens: TokenCounter, seed: int) -> dict[str, Any]:
    from rmtbench.corpora.base import DrawRequest
    from rmtbench.errors import UserError

    try:
        corpus = dataset.draw(DrawRequest(size, 0, seed), count_tokens).corpus
    except UserError as error:
        return {"size": size, "problem": _problem(error)}
    return {
        "size": size,
        "tokens": sum(count_tokens([f"{document.title}\n{document.text}" for document in corpus.documents])),
        "documents": len(corpus.documents),
        "questions": len(corpus.questions),
    }


def _source(dataset: Dataset) -> dict[str, str]:
    source = dataset.source
    return {"kind": source.kind, "name": source.name, "sha256": source.sha256}


def _problem(error: Exception) -> dict[str, str]:
    return {name: getattr(error, name) for name in ("what", "where", "remedy")}


def _reason(problem: dict[str, str]) -> str:
    where = f"{problem['where']}: " if problem["where"] else ""
    return f"{where}{problem['what']}; {problem['remedy']}"
