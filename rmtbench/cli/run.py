"""`rmtbench run`: ask systems the questions of a dataset, keep every answer, score them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def run(
    system: Annotated[str, typer.Option(help="Systems, comma-separated, or 'all' (see rmtbench systems).")] = "all",
    dataset: Annotated[
        str | None, typer.Option(help="squad, hotpotqa, triviaqa, sample, or a folder of your own.")
    ] = None,
    size: Annotated[str | None, typer.Option(help="smoke, small, medium, large; all for own documents.")] = None,
    model: Annotated[str | None, typer.Option(help="Hub id, path, mini, mini-short, or random:GEOMETRY.")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Official files: a folder or one file (else RMTBENCH_DATA, else the hub).")
    ] = None,
    top_k: Annotated[str, typer.Option(help="Chunks in the prompt, for RAG; several share one index.")] = "1,3,5,10",
    questions: Annotated[int | None, typer.Option(help="At most so many questions a draw.")] = None,
    draws: Annotated[int | None, typer.Option(help="Independent draws of documents (default 1).")] = None,
    batch: Annotated[int | None, typer.Option(help="Questions at once: above 1 measures throughput.")] = None,
    answer_style: Annotated[str | None, typer.Option(help="direct, or bridge: reasoning, then the answer.")] = None,
    max_answer_tokens: Annotated[int | None, typer.Option(help="Longest answer (default 64).")] = None,
    chunk_tokens: Annotated[int | None, typer.Option(help="Longest chunk, for RAG (default 512).")] = None,
    rmt: Annotated[
        Path | None, typer.Option(help="Folder of a trained memory, for rmt-... (else the one shipped for the model).")
    ] = None,
    rmt_chunk_tokens: Annotated[int | None, typer.Option(help="Longest section, for rmt-text (default 5000).")] = None,
    rmt_memory_tokens: Annotated[int | None, typer.Option(help="Longest notes, for rmt-text (default 1024).")] = None,
    embedder: Annotated[str | None, typer.Option(help="minilm, or a sentence-transformers model.")] = None,
    scorer: Annotated[str | None, typer.Option(help="BERTScore model: minilm, roberta-large, or a path.")] = None,
    tokenizer: Annotated[str | None, typer.Option(help="Another tokenizer than the model's own.")] = None,
    dtype: Annotated[str | None, typer.Option(help="auto, float32, bfloat16, float16.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda.")] = None,
    seed: Annotated[int | None, typer.Option(help="Decides draws and random weights (default 0).")] = None,
    profile: Annotated[str, typer.Option(help="Defaults: mini (any machine) or paper (GPU and hub).")] = "mini",
    results: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("results"),
    fresh: Annotated[bool, typer.Option("--fresh", help="Start anew instead of resuming.")] = False,
) -> None:
    """Run systems over a dataset. The same command again resumes; finished runs are left alone."""
    from rmtbench.cli.running import run_request
    from rmtbench.spec import make_request

    request = make_request(
        profile,
        {
            "systems": tuple(name.strip() for name in system.split(",") if name.strip()),
            "dataset": dataset,
            "size": size,
            "model": model,
            "data_dir": data_dir,
            "top_k": tuple(part.strip() for part in top_k.split(",")),
            "questions": questions,
            "draws": draws,
            "batch": batch,
            "answer_style": answer_style,
            "max_answer_tokens": max_answer_tokens,
            "chunk_tokens": chunk_tokens,
            "rmt": rmt,
            "rmt_chunk_tokens": rmt_chunk_tokens,
            "rmt_memory_tokens": rmt_memory_tokens,
            "embedder": embedder,
            "scorer": scorer,
            "tokenizer": tokenizer,
            "dtype": dtype,
            "device": device,
            "seed": seed,
        },
    )
    raise typer.Exit(run_request(request, results, fresh=fresh))
