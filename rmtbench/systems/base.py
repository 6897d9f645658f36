"""The interface of all systems: one system object per draw, which owns what it prepared until it is closed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, fields
from types import TracebackType
from typing import Any, Literal, NoReturn, Protocol, Self, get_args

from rmtbench.core import (
    MARKERS,
    Answer,
    Colour,
    Corpus,
    Prepared,
    Question,
    Retrieved,
    RunSpec,
    SystemFamily,
    SystemTraits,
    Timings,
    TokenCounts,
)
from rmtbench.errors import AnswerError
from rmtbench.models.base import Embedder, Generation, LanguageModel
from rmtbench.models.batches import batches, failed, generate_apart
from rmtbench.systems.resources import NEEDS, Need, Resources, SharedWork

__all__ = [
    "Closing",
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
    """One way to bring a corpus to a model. Call `prepare` once, then `answer`, inside one ``with`` block."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def prepare(self, corpus: Corpus) -> Prepared:
        """Prepare what all questions share. Called once, before any answer."""
        ...

    def answer(self, questions: Sequence[Question]) -> Iterator[Answer]:
        """Answer in order, and give each answer as soon as it is complete.

        Raises:
            RuntimeError: `prepare` was not called.
        """
        ...


class Closing:
    """A system that lets go of what it prepared when its block is left, whatever ends it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of what was prepared."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class SystemKind(SystemTraits):
    """A system as its module declares it: what tables must know about it, and how it is built.

    A module declares one under the name ``KIND``, or a family of them as a tuple under that name: see
    `rmtbench.systems.registry`.

    Attributes:
        needs: What it needs, of `NEEDS`; any collection of their names.
        summary: One line for ``rmtbench systems``.
        make: Builds the system for one draw.
        kernels: Returns the attention with which it reads, given a model and a spec, for the run's provenance. None,
            or an empty result, if that is the model's own.

    Raises:
        ValueError: A need that is not in `NEEDS`, or a family, colour or marker that figures do not have.
    """

    needs: AbstractSet[Need] = field(default=frozenset(), kw_only=True)
    summary: str
    make: Callable[[Resources], System]
    kernels: Callable[[LanguageModel, RunSpec], Mapping[str, Any]] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        SystemTraits.__post_init__(self)
        unknown = sorted(set(self.needs) - set(NEEDS))
        if unknown:
            raise ValueError(f"system '{self.name}' needs '{unknown[0]}', which is none of {', '.join(NEEDS)}")
        allowed: Mapping[str, Sequence[str]] = {
            "family": get_args(SystemFamily),
            "colour": get_args(Colour),
            "marker": MARKERS,
        }
        for what, known in allowed.items():
            if getattr(self, what) not in [*known]:
                told = f"the {what} of system '{self.name}' is '{getattr(self, what)}'"
                raise ValueError(f"{told}, which is none of {', '.join(known)}")

    @property
    def memory(self) -> Literal["memory", "query-first"] | None:
        """How it reads with a trained memory, which decides which memory is used; None if it needs none."""
        if "query-first-memory" in self.needs:
            return "query-first"
        return "memory" if "memory" in self.needs else None

    @property
    def traits(self) -> SystemTraits:
        """What a run's files hold about it."""
        return SystemTraits(**{each.name: getattr(self, each.name) for each in fields(SystemTraits)})


@dataclass(frozen=True, slots=True)
class Found:
    """What retrieval contributed to one answer: the chunks, its seconds, and the tokens that a server embedded."""

    retrieved: tuple[Retrieved, ...] = ()
    seconds: float = 0.0
    embedded: int = 0


def embedded_tokens(embedder: Embedder | None) -> int:
    """Return the tokens that a server has embedded for this thread so far; 0 for an embedder on this machine."""
    return getattr(getattr(embedder, "embedder", embedder), "thread_tokens", 0)


def answer_batch(
    questions: Sequence[Question],
    generate: Callable[[], list[Generation]],
    started: float,
    found: Sequence[Found] | None = None,
) -> Iterator[Answer]:
    """Turn one call of a model into answers; if the call fails, every answer has the reason.

    Args:
        questions: The batch.
        generate: Calls the model for the whole batch.
        started: `time.perf_counter()` when the questions arrived.
        found: What retrieval contributed, one entry for each question.
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
    """Return what a model wrote as the answer to a question.

    Args:
        question: The question.
        generation: What the model wrote.
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
