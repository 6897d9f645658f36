"""`rmtbench run`: ask systems the questions of a dataset, keep every answer, score them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def run(
    system: Annotated[str, typer.Option(help="Systems, comma-separated, or 'all' (see rmtbench systems).")] = "all",
    dataset: Annotated[
        str | None, typer.Option(help="squad, hotpotqa, triviaqa, handbook, or a folder of your own.")
    ] = None,
    size: Annotated[str | None, typer.Option(help="smoke, small, medium, large; all for own documents.")] = None,
    model: Annotated[
        str | None, typer.Option(help="smollm2, mini, hub id, folder, GGUF file, random:GEOMETRY or openai:NAME.")
    ] = None,
    adapter: Annotated[
        str | None, typer.Option(help="PEFT adapter to merge into the model: a folder, or reading (for smollm2).")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Official files: a folder or one file (else RMTBENCH_DATA, else the hub).")
    ] = None,
    top_k: Annotated[
        str | None, typer.Option(help="Chunks in the prompt, for RAG (default 1,3,5,10); several share one index.")
    ] = None,
    top_tokens: Annotated[int | None, typer.Option(help="Tokens of chunks in the prompt, in place of --top-k.")] = None,
    questions: Annotated[int | None, typer.Option(help="At most so many questions a draw.")] = None,
    draws: Annotated[int | None, typer.Option(help="Independent draws of documents (default 1).")] = None,
    batch: Annotated[int | None, typer.Option(help="Questions at once: above 1 measures throughput.")] = None,
    answer_style: Annotated[str | None, typer.Option(help="direct, or bridge: reasoning, then the answer.")] = None,
    max_answer_tokens: Annotated[
        int | None, typer.Option(help="Longest answer, reasoning not counted (default 64).")
    ] = None,
    chunk_tokens: Annotated[int | None, typer.Option(help="Longest chunk, for RAG (default 512).")] = None,
    split: Annotated[str | None, typer.Option(help="Chunks end with a sentence (default) or a token.")] = None,
    chunk_order: Annotated[str | None, typer.Option(help="In the prompt: rank (default) or document.")] = None,
    stemming: Annotated[str | None, typer.Option(help="BM25 counts stems of this language, such as english.")] = None,
    stop_words: Annotated[str | None, typer.Option(help="english: BM25 leaves its function words out.")] = None,
    reranker: Annotated[
        str | None, typer.Option(help="Cross-encoder (folder or hub id) that ranks what is found.")
    ] = None,
    index: Annotated[Path | None, typer.Option(help="Folder to keep indexes in, memory-mapped.")] = None,
    prefix: Annotated[
        str | None, typer.Option(help="How cag keeps the corpus: shared (default), plain or composed.")
    ] = None,
    chunk_cache: Annotated[
        bool, typer.Option("--chunk-cache", help="RAG's chunks come with their caches already made; not exact.")
    ] = False,
    kv_cache: Annotated[
        str | None, typer.Option(help="Keep cag's caches between runs: a folder, or on (default: not kept).")
    ] = None,
    cache_limit: Annotated[str | None, typer.Option(help="Most bytes of all kept caches (default 20GB).")] = None,
    rmt: Annotated[
        Path | None, typer.Option(help="Folder of a trained memory, for rmt-... (else the one shipped for the model).")
    ] = None,
    rmt_chunk_tokens: Annotated[int | None, typer.Option(help="Longest section, for rmt-text (default 5000).")] = None,
    rmt_memory_tokens: Annotated[int | None, typer.Option(help="Longest notes, for rmt-text (default 1024).")] = None,
    embedder: Annotated[str | None, typer.Option(help="minilm, a sentence-transformers model, or openai:NAME.")] = None,
    scorer: Annotated[str | None, typer.Option(help="BERTScore model: minilm, roberta-large, or a path.")] = None,
    tokenizer: Annotated[str | None, typer.Option(help="Another tokenizer than the model's own.")] = None,
    dtype: Annotated[str | None, typer.Option(help="auto, float32, bfloat16, float16.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda.")] = None,
    seed: Annotated[int | None, typer.Option(help="Decides draws and random weights (default 0).")] = None,
    base_url: Annotated[
        str | None, typer.Option(help="Server of an openai:NAME model or embedder (default: OpenAI's).")
    ] = None,
    key_variable: Annotated[str | None, typer.Option(help="Variable of its key (default OPENAI_API_KEY).")] = None,
    api: Annotated[str | None, typer.Option(help="chat (default), or completions: the prompt's text as it is.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="Questions asked of a server at once: throughput.")] = None,
    prices: Annotated[Path | None, typer.Option(help="TOML file of prices (else the package's).")] = None,
    rare: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="NAME=VALUE for a rare setting, such as think-tokens (of reasoning, default 1024) or system-prompt "
            "(text or @FILE); repeatable (docs/method.md, cag, endpoints, retrieval).",
        ),
    ] = None,
    profile: Annotated[str, typer.Option(help="Defaults: mini (any machine) or paper (GPU and hub).")] = "mini",
    results: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("results"),
    fresh: Annotated[bool, typer.Option("--fresh", help="Start anew instead of resuming.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Open the data, print runs, calls, tokens, price and time, and stop.")
    ] = False,
) -> None:
    """Run systems over a dataset. The same command again resumes; finished runs are left alone."""
    from rmtbench.cli.planning import Planning, say_cost
    from rmtbench.cli.running import run_request
    from rmtbench.spec import make_request, rare_settings

    request = make_request(
        profile,
        {
            "systems": tuple(name.strip() for name in system.split(",") if name.strip()),
            "dataset": dataset,
            "size": size,
            "model": model,
            "adapter": adapter,
            "data_dir": data_dir,
            "top_k": None if top_k is None else tuple(part.strip() for part in top_k.split(",")),
            "top_tokens": top_tokens,
            "questions": questions,
            "draws": draws,
            "batch": batch,
            "answer_style": answer_style,
            "max_answer_tokens": max_answer_tokens,
            "chunk_tokens": chunk_tokens,
            "split": split,
            "chunk_order": chunk_order,
            "stemming": stemming,
            "stop_words": stop_words,
            "reranker": reranker,
            "index": index,
            "prefix": prefix,
            "chunk_cache": chunk_cache or None,
            "kv_cache": kv_cache,
            "cache_limit": cache_limit,
            "rmt": rmt,
            "rmt_chunk_tokens": rmt_chunk_tokens,
            "rmt_memory_tokens": rmt_memory_tokens,
            "embedder": embedder,
            "scorer": scorer,
            "tokenizer": tokenizer,
            "dtype": dtype,
            "device": device,
            "seed": seed,
            "base_url": base_url,
            "key_variable": key_variable,
            "api": api,
            "concurrency": concurrency,
            "prices": prices,
            **rare_settings(rare or ()),
        },
        os.environ,
    )
    if dry_run:
        planning = Planning(results, fresh=fresh)
        planning.add(request)
        say_cost(planning.told, results, 1)
        raise typer.Exit(0)
    raise typer.Exit(run_request(request, results, fresh=fresh))
