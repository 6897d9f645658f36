"""The nouns that pass through the suite: frozen, typed, and true when they are made.

Imports the standard library, and the declarations of options, which do the same. Knows no file format, no model and no
system.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from typing import Literal

from rmtbench.options.data import token_budget as token_budget  # noqa: PLC0414 - a noun of the suite, declared there
from rmtbench.options.identity import RunOptions
from rmtbench.options.model import with_adapter

Finish = Literal["eos", "stop", "length", "error"]
"""Why an answer ended: end-of-sequence token, the prompt's stop rule, the token limit, or a failure."""

AnswerStyle = Literal["direct", "bridge"]
"""What the prompt asks for: only the answer, or short reasoning and then a marked final answer."""

SourceKind = Literal["official", "hub", "own", "embedded", "miniature"]

SystemFamily = Literal["reference", "whole corpus", "retrieval", "recurrent memory", "other"]
"""What systems have in common: reference systems are a floor or a ceiling and not in use; the others are named for what
their model reads."""

Colour = Literal["black", "grey", "blue", "vermilion", "green", "purple", "orange", "sky", "yellow"]
"""Colours of figures by name; the report knows their values."""

MARKERS = "x*soD^v<>PXhdp8H"
"""Markers of figures, a letter each, as matplotlib names them."""

SHIPPED_MODELS = ("mini", "mini-short")
"""Models that come with the package. They know the miniature's few words, and answer only in the `bridge` style."""


@dataclass(frozen=True, slots=True)
class Document:
    """One text of a corpus. `text` does not contain `title`; paragraphs are set apart by a blank line."""

    id: str
    title: str
    text: str

    def __post_init__(self) -> None:
        if not self.id:
            raise ValueError("a document needs an id")


@dataclass(frozen=True, slots=True)
class Question:
    """What a system is asked. It carries no reference answer: see `Gold`."""

    id: str
    text: str
    kind: str = ""

    def __post_init__(self) -> None:
        if not self.id or not self.text.strip():
            raise ValueError(f"question {self.id!r} needs an id and a text")


@dataclass(frozen=True, slots=True)
class Span:
    """Characters ``[start, end)`` of one document's text."""

    document_id: str
    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(f"span {self.start}..{self.end} of {self.document_id} is empty or negative")

    def overlaps(self, other: Span) -> bool:
        """Whether the two spans share at least one character of the same document."""
        return self.document_id == other.document_id and self.start < other.end and other.start < self.end


@dataclass(frozen=True, slots=True)
class Gold:
    """What scoring knows of one question, and no system but the oracle may see.

    Attributes:
        question_id: The question it belongs to.
        references: All accepted answers, the one to show first. Never empty.
        evidence: One entry a supporting fact; each entry holds the spans of which any one states that fact.
    """

    question_id: str
    references: tuple[str, ...]
    evidence: tuple[tuple[Span, ...], ...] = ()

    def __post_init__(self) -> None:
        if not self.references:
            raise ValueError(f"question {self.question_id} has no reference answer")
        if any(not spans for spans in self.evidence):
            raise ValueError(f"question {self.question_id} has a supporting fact without a span")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a corpus came from: kind, a name without machine paths, and the hash of its bytes."""

    kind: SourceKind
    name: str
    sha256: str


@dataclass(frozen=True)
class Corpus:
    """The documents of one draw and the questions about them."""

    id: str
    dataset: str
    size: str
    draw: int
    documents: tuple[Document, ...]
    questions: tuple[Question, ...]
    source: Source

    def __post_init__(self) -> None:
        for noun, ids in (
            ("document", [document.id for document in self.documents]),
            ("question", [question.id for question in self.questions]),
        ):
            if len(set(ids)) != len(ids):
                raise ValueError(f"corpus {self.id} holds a {noun} id twice")

    @cached_property
    def sha256(self) -> str:
        """Hash over all documents and questions, in order: the same bytes are the same corpus."""
        digest = hashlib.sha256()
        for document in self.documents:
            _feed(digest, document.id, document.title, document.text)
        for question in self.questions:
            _feed(digest, question.id, question.text, question.kind)
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Draw:
    """A corpus and, apart from it, the gold of its questions, in the questions' order."""

    corpus: Corpus
    gold: tuple[Gold, ...]

    def __post_init__(self) -> None:
        if [gold.question_id for gold in self.gold] != [question.id for question in self.corpus.questions]:
            raise ValueError(f"corpus {self.corpus.id}: gold and questions do not match")


@dataclass(frozen=True)
class RunSpec:
    """What one run asks: one system in one setting, on one dataset and size, with one model. Every field is hashed.

    `data` names the source with its hash, never a path of this machine; `options` holds what is not the same in all
    systems, or rarely set.
    """

    system: str
    dataset: str
    size: str
    model: str
    data: str
    tokenizer: str | None = None
    top_k: int | None = None
    embedder: str | None = None
    answer_style: AnswerStyle = "direct"
    max_answer_tokens: int = 64
    batch: int = 1
    chunk_tokens: int = 512
    chunk_overlap: int = 0
    seed: int = 0
    draws: int = 1
    questions: int | None = None
    dtype: str = "float32"
    device: str = "cpu"
    options: RunOptions = RunOptions()
    adapter: str | None = None

    def __post_init__(self) -> None:
        for name in ("max_answer_tokens", "batch", "chunk_tokens", "draws", "top_k"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1")
        if not 0 <= self.chunk_overlap < self.chunk_tokens:
            raise ValueError("chunk_overlap must be at least 0 and smaller than chunk_tokens")

    @property
    def model_name(self) -> str:
        """The model's name in tables and run ids: ``smollm2+reading`` where an adapter is merged into its weights."""
        return with_adapter(self.model, self.adapter)

    @property
    def settings(self) -> tuple[tuple[str, str], ...]:
        """The options that are not at their defaults, by name and in order: as files and tables have them."""
        return self.options.texts

    @property
    def mode(self) -> Literal["latency", "throughput"]:
        """`latency` asks one question at a time; `throughput` asks several at once. The two are never pooled."""
        return "latency" if self.at_once == 1 else "throughput"

    @property
    def retrieves(self) -> bool:
        """Whether it reads chunks that it has chosen, by number or by tokens."""
        return self.top_k is not None or self.options.top_tokens is not None

    @property
    def concurrency(self) -> int:
        """Questions that a server is asked at once."""
        return self.options.concurrency

    @property
    def at_once(self) -> int:
        """Questions that are answered at the same time, in one batch or by one server."""
        return max(self.batch, self.concurrency)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What it cost to get one corpus ready.

    Attributes:
        seconds: Wall seconds by part (tokenize, chunk, embed, index, prefill, save, load), in order. Embeddings found
            on disk have in `embed` the seconds of when they were computed, if that was measured on this machine.
        bytes: Bytes kept for answering (index, KV cache or memory).
        tokens: Tokens kept ready for every question (0 where each question reads its own context).
        shared: Whether the work was done for another run of the same command and is counted there too.
        counts: What was prepared, by name: `chunks`, `windows` of them that were embedded, and `truncated_chunks` that
            the embedder read only in part.
    """

    seconds: Mapping[str, float] = field(default_factory=dict)
    bytes: int = 0
    tokens: int = 0
    shared: bool = False
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def total_seconds(self) -> float:
        """All parts together."""
        return sum(self.seconds.values())


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """Tokens of one answer: read for it, of these already cached, written by it, and embedded for it by a server.

    `cached` is None where a server does not say. `reasoning` is the part of `output` that was written before the
    answer: as the server states it, else counted from the reasoning's text; None where nothing counts it.
    """

    prompt: int = 0
    cached: int | None = 0
    output: int = 0
    embedded: int = 0
    reasoning: int | None = 0


@dataclass(frozen=True, slots=True)
class Timings:
    """Wall seconds of one answer; in throughput mode the row's equal share of its batch.

    `total` runs from the question's arrival to its answer and also holds what lies between the parts. `prefill`,
    `first_token` and `decode` are None where a server does not stream: when its first text was there is not known.
    """

    retrieve: float = 0.0
    prefill: float | None = 0.0
    first_token: float | None = 0.0
    decode: float | None = 0.0
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class Retrieved:
    """One chunk that retrieval chose, best first: where it lies and how it scored."""

    document_id: str
    start: int
    end: int
    score: float

    @property
    def span(self) -> Span:
        """The chunk as characters of its document."""
        return Span(self.document_id, self.start, self.end)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as it was given.

    `text` is the final answer that is scored, `raw` all that the model wrote after its `reasoning`. `finish_reason` is
    a server's own word for `finish`; None where it gave none, and for a model on this machine. `notes` is what was
    written after each section of the corpus, in order, and the last `note_heads` of them are what was left at the end.
    """

    question_id: str
    text: str
    finish: Finish
    raw: str = ""
    tokens: TokenCounts = TokenCounts()
    timings: Timings = Timings()
    retrieved: tuple[Retrieved, ...] = ()
    output_ids: tuple[int, ...] = ()
    error: str | None = None
    warmup: bool = False
    reasoning: str = ""
    finish_reason: str | None = None
    notes: tuple[str, ...] = ()
    note_heads: int = 1

    def __post_init__(self) -> None:
        if (self.error is not None) != (self.finish == "error"):
            raise ValueError(f"answer to {self.question_id}: an error and finish='error' go together")


@dataclass(frozen=True, slots=True)
class MetricValue:
    """One value that a metric gives every answer, and what tables must know of it; a run's own files hold this.

    Attributes:
        name: What files call it, such as ``bertscore_f1``.
        label: Its heading in tables.
        order: Where it stands among the columns, lowest first; None for a value that only files hold.
        of: ``answers``: systems are compared by it. ``retrieval``: it does not apply to every system.
        beside: Another value's name: its column is shown only where a shown run differs in the two; empty for always.
        missing: What is so of the answers that have no such value, as the end of a sentence about them.
    """

    name: str
    label: str
    order: int | None = None
    of: Literal["answers", "retrieval"] = "answers"
    beside: str = ""
    missing: str = ""


@dataclass(frozen=True, slots=True)
class SystemTraits:
    """What tables and figures must know about a system. A run's own files hold it, so a report imports no system.

    Attributes:
        name: What ``--system`` and files call it.
        needs: What it needs, as `rmtbench.systems.resources.NEEDS` names it.
        label: Its name in tables and figures; `name` if none is given.
        order: Its place among the rows, lowest first; None puts it after all systems that have one, by name.
        family: What it has in common with others.
        colour: Its colour in figures.
        marker: Its marker in figures, one of `MARKERS`.
        twin: The system that reads the same context without a cache, or with one: the two are compared in table 3.
            Empty for a system that has none.
    """

    name: str
    _: KW_ONLY
    needs: AbstractSet[str] = frozenset()
    label: str = ""
    order: int | None = None
    family: SystemFamily = "other"
    colour: Colour = "black"
    marker: str = "d"
    twin: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "needs", frozenset(self.needs))
        if not self.label:
            object.__setattr__(self, "label", self.name)

    @property
    def place(self) -> tuple[float, str]:
        """Sort key of the rows of tables."""
        return (math.inf if self.order is None else self.order, self.name)

    @property
    def in_use(self) -> bool:
        """Whether it is a system to use, and no floor or ceiling."""
        return self.family != "reference"

    @property
    def sees_gold(self) -> bool:
        """Whether it is given the gold answers and evidence, which nothing in use has."""
        return "gold" in self.needs

    @property
    def holds_cache(self) -> bool:
        """Whether it answers from a prefix cache of the corpus."""
        return "prefix-cache" in self.needs


def _feed(digest: hashlib._Hash, *texts: str) -> None:
    for data in (text.encode("utf-8", "surrogatepass") for text in texts):
        digest.update(len(data).to_bytes(8, "big") + data)
