"""Published figures as values: scores, times and corpora of "Don't Do RAG", and curves by length of context.

"Don't Do RAG" stands beside the means of its authors' own logs, which differ in three cells. The curves are of other
models, data and scorers: they show where a curve falls, not which system is better.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rmtbench.analysis.published.reader import read_facts, read_rows

PAPER = read_facts("dont_do_rag")["paper"]
MODEL = read_facts("dont_do_rag")["model"]
LONG_CONTEXT_PAPER = read_facts("long_context_rag")["paper"]
LONG_CONTEXT_SETUP = read_facts("long_context_rag")["setup"]
TABLED_TOKENS = 125_000
"""The longest context of the table of all 20 models."""


@dataclass(frozen=True, slots=True)
class PublishedCorpus:
    """A row of table 1.

    Attributes:
        dataset: As `rmtbench run --dataset` calls it.
        size: As `--size` does.
        documents: In a draw: rows of HotPotQA (of ten paragraphs each), articles of SQuAD.
        tokens: In a draw, about.
        questions: In all.
        draws: Choices of documents: of HotPotQA as many as give the questions, one a row; of SQuAD one.
        note: What the logs have otherwise; may be empty.
        source: Where the figures are published.
    """

    dataset: str
    size: str
    documents: int
    tokens: int
    questions: int
    draws: int
    note: str
    source: str


@dataclass(frozen=True, slots=True)
class PublishedScore:
    """A cell of table 2, the cosine of two MiniLM embeddings: our `minilm_cosine`.

    Attributes:
        dataset: As `rmtbench run --dataset` calls it.
        size: As `--size` does.
        system: As `--system` calls what it compares with.
        top_k: None where nothing is retrieved.
        published: In the paper; None for what it leaves out.
        logged: Mean of the authors' logs.
        wrong: What the published figure really is, where it is not this cell's; else empty.
        source: Where the figures are published.
    """

    dataset: str
    size: str
    system: str
    top_k: int | None
    published: float | None
    logged: float
    wrong: str
    source: str


@dataclass(frozen=True, slots=True)
class PublishedTime:
    """A cell of table 3: mean seconds a question, preparation left out.

    Attributes:
        dataset: As `rmtbench run --dataset` calls it.
        size: As `--size` does.
        system: `cag` or `full-context`.
        seconds: As published.
        preparation: Seconds of making the cache, by the authors' logs; None where they were not read.
        source: Where the figures are published.
    """

    dataset: str
    size: str
    system: str
    seconds: float
    preparation: float | None
    source: str


@dataclass(frozen=True, slots=True)
class ModelByLength:
    """How one model answers from ever longer retrieved contexts.

    Attributes:
        model: As its authors call it.
        mean: Over all its lengths, as published: it proves the row, and a test checks it.
        scores: Judged correctness from 0 to 1, by tokens of context.
        source: Where the figures are published.
    """

    model: str
    mean: float
    scores: Mapping[int, float]
    source: str


@dataclass(frozen=True, slots=True)
class PublishedPoint:
    """One accuracy of a recurrent memory, or of what it was compared with, at one length.

    Attributes:
        system: Model, as its authors call it.
        task: Its task, as they call it.
        tokens: Length of the text, in tokens of that model; nominal (1K = 1,000) for BABILong.
        accuracy: From 0 to 1.
        source: Where it is published, and how exactly it can be read there.
    """

    system: str
    task: str
    tokens: int
    accuracy: float
    source: str


def _models_by_length() -> tuple[ModelByLength, ...]:
    """The models of table S3, two of which table S4 continues beyond 125k tokens."""
    longer = {row["model"]: row for row in read_rows("long_context_rag", "beyond_125k_tokens")}
    return tuple(
        ModelByLength(
            row["model"],
            row["mean"],
            {
                int(tokens): score
                for tokens, score in {**row, **longer.get(row["model"], {})}.items()
                if tokens.isdecimal() and score is not None
            },
            row["source"],
        )
        for row in read_rows("long_context_rag", "to_125k_tokens")
    )


CORPORA = tuple(PublishedCorpus(**row) for row in read_rows("dont_do_rag", "corpora"))
SCORES = tuple(PublishedScore(**row) for row in read_rows("dont_do_rag", "scores"))
TIMES = tuple(PublishedTime(**row) for row in read_rows("dont_do_rag", "times"))
MODELS = _models_by_length()
LENGTHS = tuple(sorted({tokens for each in MODELS for tokens in each.scores}))
"""Every length of context of which something was published."""
BERT_POINTS = tuple(PublishedPoint(**row) for row in read_rows("recurrent_memory", "bert_by_length"))
BABILONG_POINTS = tuple(PublishedPoint(**row) for row in read_rows("recurrent_memory", "babilong"))
"""Beside these stand answers about whole documents, in the order of systems, then of lengths."""

_THEIR_NAMES = {"memorize": "memorize", "detect": "detect and memorize", "two-hop": "reasoning"}
"""Our tasks, and those of the BERT experiments that they follow; every other task is read beside BABILong."""


def published_corpus(dataset: str, size: str) -> PublishedCorpus | None:
    """Return the row of table 1 that a run compares with; None where there is none."""
    return next((each for each in CORPORA if (each.dataset, each.size) == (dataset, size)), None)


def published_score(dataset: str, size: str, system: str, top_k: int | None) -> PublishedScore | None:
    """Return the cell of table 2 that a run compares with; None where there is none."""
    asked = (dataset, size, system, top_k)
    return next((each for each in SCORES if (each.dataset, each.size, each.system, each.top_k) == asked), None)


def published_time(dataset: str, size: str, system: str) -> PublishedTime | None:
    """Return the cell of table 3 that a run compares with; None where there is none."""
    return next((each for each in TIMES if (each.dataset, each.size, each.system) == (dataset, size, system)), None)


def scores_at(tokens: int) -> dict[str, float]:
    """Return the scores of all models that have one at a length of context, by model."""
    return {each.model: each.scores[tokens] for each in MODELS if tokens in each.scores}


def published_for(task: str) -> tuple[PublishedPoint, ...]:
    """Return the published points that stand beside one of our tasks, in the order of systems, then of lengths.

    Args:
        task: Name of our task. `memorize`, `detect` and `two-hop` follow tasks of the BERT experiments; all others
            stand beside BABILong, whose questions take one to three facts out of running text.
    """
    name = _THEIR_NAMES.get(task)
    return tuple(point for point in BERT_POINTS if point.task == name) if name else BABILONG_POINTS
