"""The commands that write, each small: what they need before, their words, and which of their files are results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Words = Sequence[str]

BASIC = tuple(
    "--dataset squad --size smoke --questions 4 --model mini --max-answer-tokens 16 --results results".split()  # noqa: SIM905
)
MEMORY = tuple(
    "train rmt --base random:tiny --task detect --segments 1,2 --steps 4 --rows 2 --memory-tokens 4 "  # noqa: SIM905
    "--segment-tokens 32 --device cpu --threads 1 --out trained".split()
)
SYSTEMS = ("closed-book", "oracle", "full-context", "cag", "rag-sparse", "rag-dense", "rag-hybrid", "rmt-query-first")
SWEEP = """name: two
description: two systems over one small corpus
runs:
  - {system: [closed-book, rag-sparse], dataset: squad, size: smoke, model: mini, top_k: [1], questions: 3}
  - {system: cag, dataset: handbook, model: "random:tiny", questions: 2}
"""


@dataclass(frozen=True, slots=True)
class Writer:
    """A command under test.

    Attributes:
        name: In the table.
        words: The command line.
        before: Commands that are run undisturbed before, once for all trials.
        files: Files that stand beside it, by name.
        remove: Files that are removed after `before`, as patterns.
        same: Patterns of files whose bytes must be those of the undisturbed run.
        make: Makes more files in its folder; called in a process of its own.
        children: Whether it starts processes of its own.
    """

    name: str
    words: Words
    before: Sequence[Words] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    remove: Sequence[str] = ()
    same: Sequence[str] = ()
    make: Callable[[Path], None] | None = None
    children: bool = False


def run_of(system: str, *more: str) -> Words:
    """Return the words of a small run."""
    return ("run", "--system", system, *BASIC, *(("--top-k", "1") if "rag" in system else ()), *more)


INDEX = ("indexes/**/*.bin", "indexes/**/*.u32", "indexes/**/index.json")
WRITERS: Sequence[Writer] = (
    *(Writer(f"run {system}", run_of(system)) for system in SYSTEMS),
    Writer("run rmt-text", run_of("rmt-text", "--rmt-memory-tokens", "32")),
    Writer(
        "run rmt-memory",
        run_of("rmt-memory", "--rmt", "trained/model", "--model", "random:tiny"),
        before=[(*MEMORY, "--mode", "memory")],
    ),
    Writer("run, two draws", run_of("closed-book,rag-sparse", "--draws", "2", "--questions", "2")),
    Writer(
        "cache store", run_of("cag", "--kv-cache", "store"), same=["store/*/*.safetensors", "store/*/token-ids.u32"]
    ),
    Writer("index, sparse", run_of("rag-sparse", "--index", "indexes"), same=INDEX),
    Writer("index, dense", run_of("rag-dense", "--index", "indexes"), same=INDEX),
    Writer("sweep", ("sweep", "two.yaml", "--results", "results"), files={"two.yaml": SWEEP}),
    Writer(
        "score",
        ("score", "results"),
        before=[run_of("closed-book,rag-sparse")],
        remove=["results/*/scores.jsonl", "results/*/summary.json"],
    ),
    Writer(
        "report",
        ("report", "results"),
        before=[run_of("closed-book,rag-sparse,cag")],
        same=["results/report/*.md", "results/report/*.csv", "results/report/*.tex"],
    ),
    Writer(
        "merge",
        ("merge", "one", "two", "--results", "results"),
        before=[
            run_of("closed-book", "--draws", "2", "--questions", "3", "--shard", f"{part}/2", "--results", name)
            for part, name in ((1, "one"), (2, "two"))
        ],
    ),
    Writer("train", MEMORY, same=["trained/model/*.safetensors"]),
    Writer("pack", ("pack", "results"), before=[run_of("closed-book")], same=["results/*.zip"]),
    Writer(
        "workers", run_of("closed-book,rag-sparse", "--draws", "2", "--questions", "2", "--workers", "2"), children=True
    ),
)
