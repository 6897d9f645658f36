"""The seam everything hangs on: one system object per draw, which owns what it prepared until it is closed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, NoReturn, Protocol, Self

from rmtbench.core import Answer, Corpus, Prepared, Question, Retrieved, RunSpec, Timings, TokenCounts
from rmtbench.errors import AnswerError
from rmtbench.models.base import Embedder, Generation, LanguageModel
from rmtbench.models.batches import batches, failed, generate_apart
from rmtbench.systems.resources import NEEDS, Need, Resources, SharedWork

__all__ = [
    "Found",
    "Need",
    "Resources",
    "SharedWork",
    "System",
    "SystemKind",
    "answer_batch",
    "batches",
    "embedded_tokens",
    "generate_apart",
    "make_answer",
]


def __getattr__(name: str) -> NoReturn:
    if name == "Equipment":
        raise ImportError("Equipment is now Resources: see docs/guides/plugin.md")
    raise AttributeError(name)


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


@dataclass(frozen=True, slots=True)
class SystemKind:
    """A system as the registry knows it.

    Attributes:
        name: Its name after ``--system``.
        summary: One line for ``rmtbench systems``.
        make: Builds the system for one draw.
        needs: What it needs, of `NEEDS`; any collection of their names.
        kernels: Returns, of a model and a spec, the attention that it reads with, for the run's provenance; None, or
            an empty answer, where that is the model's own.

    Raises:
        ValueError: A need that is not in `NEEDS`.
    """

    name: str
    summary: str
    make: Callable[[Resources], System]
    needs: AbstractSet[Need] = frozenset()
    kernels: Callable[[LanguageModel, RunSpec], Mapping[str, Any]] | None = None

    def __post_init__(self) -> None:
        unknown = sorted(set(self.needs) - set(NEEDS))
        if unknown:
            raise ValueError(f"system '{self.name}' needs '{unknown[0]}', which is none of {', '.join(NEEDS)}")
        object.__setattr__(self, "needs", frozenset(self.needs))

    @property
    def memory(self) -> Literal["memory", "query-first"] | None:
        """How it reads with a trained memory, and so which one is looked for; None if it needs none."""
        if "query-first-memory" in self.needs:
            return "query-first"
        return "memory" if "memory" in self.needs else None


@dataclass(frozen=True, slots=True)
class Found:
    """What retrieval contributed to one answer: the chunks, the seconds it took, and tokens that a server embedded."""

    retrieved: tuple[Retrieved, ...] = ()
    seconds: float = 0.0
    embedded: int = 0


def embedded_tokens(embedder: Embedder | None) -> int:
    """Tokens that this thread has had a server embed so far; 0 for an embedder on this machine."""
    return getattr(getattr(embedder, "embedder", embedder), "thread_tokens", 0)


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
        generations = [failed(error)] * rows
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
