"""The seam everything hangs on: one system object per draw, which owns what it prepared until it is closed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeVar

from rmtbench.core import Answer, Corpus, Gold, Prepared, Question, Retrieved, RunSpec, Timings, TokenCounts
from rmtbench.errors import AnswerError
from rmtbench.kvcache.watching import NOBODY, Watch
from rmtbench.models.base import Embedder, Generation, LanguageModel, Reranker

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from rmtbench.kvcache.disk.store import CacheStore
    from rmtbench.rmt.decoder import RecurrentDecoder

T = TypeVar("T")


class System(Protocol):
    """One way of bringing a corpus to a model. Contract: `prepare` once, then `answer`, inside one ``with`` block."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def prepare(self, corpus: Corpus) -> Prepared:
        """Make ready whatever is shared by all questions; called once, before any answer."""
        ...

    def answer(self, questions: Sequence[Question]) -> Iterator[Answer]:
        """Answer in order, each answer given as soon as it is there.

        Raises:
            RuntimeError: `prepare` was not called.
        """
        ...


class SharedWork:
    """What several runs over one draw may share, such as an index; closed when the draw is done."""

    def __init__(self) -> None:
        self._made: dict[tuple[Any, ...], Any] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._made.clear()
        self._stack.close()

    def get(self, key: tuple[Any, ...], make: Callable[[], T]) -> tuple[T, bool]:
        """The value made for `key`, and whether it stood ready (else it is made now)."""
        if key in self._made:
            return self._made[key], True
        value = make()
        self._made[key] = value
        return value, False


@dataclass(frozen=True)
class Equipment:
    """What a system is built with.

    Attributes:
        spec: What the run asks.
        model: The language model.
        embedder: Embeds questions, for systems that need it.
        document_embedder: Embeds chunks; may look them up on disk instead of computing them again.
        gold: The gold of the draw by question id; given to systems that declare `sees_gold` alone, else empty.
        shared: Work shared with other runs of the same command over the same draw.
        recurrent: The model with a trained memory, on weights of its own; for systems that need one.
        writer: The language model under the contract that writes notes; for systems that write them.
        kv_store: Where prefix caches are kept between runs; None where each run makes its own.
        watch: Told how far the corpus is read, and what the store had.
        reranker: Judges what retrieval finds, where the spec names one.
        indexes: Folder in which indexes are kept, where the spec has them kept.
        qdrant: Keeps the embeddings, where the spec has Qdrant keep them.
    """

    spec: RunSpec
    model: LanguageModel
    embedder: Embedder | None = None
    document_embedder: Embedder | None = None
    gold: Mapping[str, Gold] = field(default_factory=dict)
    shared: SharedWork = field(default_factory=SharedWork)
    recurrent: RecurrentDecoder | None = None
    writer: LanguageModel | None = None
    kv_store: CacheStore | None = None
    watch: Watch = NOBODY
    reranker: Reranker | None = None
    indexes: Path | None = None
    qdrant: QdrantClient | None = None


@dataclass(frozen=True, slots=True)
class SystemKind:
    """A system as the registry knows it.

    Attributes:
        name: What stands after ``--system``.
        summary: One line for ``rmtbench systems``.
        make: Builds the system for one draw.
        takes_top_k: Whether it runs once for each ``--top-k``.
        needs_embedder: Whether it needs an embedder.
        counts_words: Whether it ranks by words, and so takes ``--stemming`` and ``--stop-words``.
        reads_corpus: Whether the whole corpus must fit the model's context.
        takes_prefix: Whether it reads the corpus through a prefix cache, and so takes ``--prefix``.
        sees_gold: Whether it is built with the gold: an oracle.
        memory: How it reads with a trained memory, and so which one is looked for; None where it needs none.
        writes_notes: Whether the model also writes notes for it.
        in_all: Whether ``--system all`` means it too; one that calls the model very often must be named.
        kernels: By which attention it reads with a model, for the run's provenance; None, or an empty answer, where
            that is the model's own.
    """

    name: str
    summary: str
    make: Callable[[Equipment], System]
    takes_top_k: bool = False
    needs_embedder: bool = False
    counts_words: bool = False
    reads_corpus: bool = False
    takes_prefix: bool = False
    sees_gold: bool = False
    memory: Literal["memory", "query-first"] | None = None
    writes_notes: bool = False
    in_all: bool = True
    kernels: Callable[[LanguageModel, RunSpec], Mapping[str, Any]] | None = None


def batches(questions: Sequence[Question], size: int) -> Iterator[Sequence[Question]]:
    """Consecutive groups of at most `size` questions."""
    for start in range(0, len(questions), size):
        yield questions[start : start + size]


@dataclass(frozen=True, slots=True)
class Found:
    """What retrieval contributed to one answer: the chunks, the seconds it took, and tokens that a server embedded."""

    retrieved: tuple[Retrieved, ...] = ()
    seconds: float = 0.0
    embedded: int = 0


def embedded_tokens(embedder: Embedder | None) -> int:
    """Tokens that this thread has had a server embed so far; 0 for an embedder on this machine."""
    return getattr(getattr(embedder, "embedder", embedder), "thread_tokens", 0)


def generate_apart(generate: Callable[[Sequence[T]], list[Generation]], prompts: Sequence[T]) -> list[Generation]:
    """Answer a batch; where it cannot be answered as one, each prompt by itself: one too long fails no neighbour.

    Args:
        generate: Calls the model for a whole batch.
        prompts: The batch, at least one.

    Returns:
        One result a prompt, in order; `error` says why there is no answer.
    """
    try:
        return generate(prompts)
    except AnswerError as error:
        if len(prompts) == 1:
            return [_failed(error)]
    return [generation for prompt in prompts for generation in generate_apart(generate, [prompt])]


def _failed(error: AnswerError) -> Generation:
    return Generation("", "", "error", (), 0, 0, 0.0, 0.0, str(error))


def answer_batch(
    questions: Sequence[Question],
    generate: Callable[[], list[Generation]],
    started: float,
    found: Sequence[Found] | None = None,
) -> Iterator[Answer]:
    """Turn one call of a model into answers, or its failure into rows that say why.

    Args:
        questions: The batch.
        generate: Calls the model for the whole batch.
        started: `time.perf_counter()` at the questions' arrival.
        found: What retrieval contributed, one entry a question.
    """
    rows = len(questions)
    found = found or [Found()] * rows
    try:
        generations = generate()
    except AnswerError as error:
        generations = [_failed(error)] * rows
    total = (time.perf_counter() - started) / rows
    for question, generation, part in zip(questions, generations, found, strict=True):
        yield make_answer(question, generation, total, part)


def make_answer(question: Question, generation: Generation, total: float, found: Found | None = None) -> Answer:
    """What a model wrote, as the answer to a question.

    Args:
        question: The question.
        generation: What was written.
        total: Seconds of the whole answer, or the question's share of its batch.
        found: What retrieval contributed.
    """
    found, prefill = found or Found(), generation.prefill_seconds
    return Answer(
        question_id=question.id,
        text=generation.final,
        raw=generation.raw,
        finish=generation.finish,
        error=generation.error,
        tokens=TokenCounts(
            generation.prompt_tokens,
            generation.cached_tokens,
            generation.written_tokens,
            found.embedded,
            generation.reasoning_tokens,
        ),
        timings=Timings(
            retrieve=found.seconds,
            prefill=prefill,
            first_token=None if prefill is None else found.seconds + prefill,
            decode=None if prefill is None else generation.decode_seconds,
            total=total,
        ),
        retrieved=found.retrieved,
        output_ids=generation.output_ids,
        reasoning=generation.reasoning,
        finish_reason=generation.finish_reason,
    )
