"""The seams of all models: what a system may ask of a language model or an embedder.

The contract speaks of texts, not tensors, so that a model behind an API fits it too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from rmtbench.core import Finish
from rmtbench.measure import Timed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Passage:
    """A titled text as it stands in a prompt: a whole document, a chunk of one, or a paragraph of evidence."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """Context first, then the question."""

    passages: tuple[Passage, ...]
    question: str


@dataclass(frozen=True, slots=True)
class Generation:
    """What a model wrote for one prompt, and what it cost. Seconds are a row's equal share of its batch.

    Attributes:
        raw: All that was written after the reasoning.
        final: The final answer, as the answer style marks it.
        finish: Why it ended.
        output_ids: Token ids written, without the end-of-sequence token; empty where the model gives none.
        prompt_tokens: Tokens of context and question.
        cached_tokens: Of these, how many were not read again; None where a server does not say.
        prefill_seconds: Until the logits of the first answer token were known; None where a server does not stream.
        decode_seconds: From there to the end; without `prefill_seconds`, the whole call.
        error: Why there is no answer, when `finish` is ``error``.
        output_tokens: Tokens written, where the model gives a count in place of ids.
        reasoning: What the model wrote before its answer, between marks or sent apart by a server; empty if nothing.
        reasoning_tokens: Of the tokens written, those of reasoning: as a server states them, else counted from
            `reasoning`, on this machine with its marks; None where nothing counts them.
        finish_reason: A server's own word for `finish`.
    """

    raw: str
    final: str
    finish: Finish
    output_ids: tuple[int, ...]
    prompt_tokens: int
    cached_tokens: int | None
    prefill_seconds: float | None
    decode_seconds: float
    error: str | None = None
    output_tokens: int | None = None
    reasoning: str = ""
    reasoning_tokens: int | None = 0
    finish_reason: str | None = None

    @property
    def seconds(self) -> float:
        """Of the whole call."""
        return (self.prefill_seconds or 0.0) + self.decode_seconds

    def after(self, seconds: float) -> Generation:
        """The same where so many seconds went before it, which count until its first token."""
        before = None if self.prefill_seconds is None else seconds + self.prefill_seconds
        return replace(self, prefill_seconds=before)

    @property
    def written_tokens(self) -> int:
        """Tokens written, by whichever the model gives."""
        return len(self.output_ids) if self.output_tokens is None else self.output_tokens


class LanguageModel(Protocol):
    """A model that answers prompts, greedily, under one prompt contract."""

    @property
    def context_limit(self) -> int | None:
        """Most tokens of prompt and answer together; None if the model sets no limit."""
        ...

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Id, revision, weights hash, tokenizer hash, dtype, device, attention implementation, label."""
        ...

    def count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        """Tokens of each text, without special tokens."""
        ...

    def token_ids(self, text: str) -> list[int]:
        """Token ids of a text, without special tokens."""
        ...

    def generate(self, prompts: Sequence[Prompt]) -> list[Generation]:
        """Read each prompt in full and answer it; several prompts make one batch."""
        ...


class PrefixCache(Protocol):
    """A context that was read once, and answers that continue it.

    Answering leaves the context as it was. Leaving the ``with`` block frees its memory.
    """

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @property
    def tokens(self) -> int:
        """Tokens held."""
        ...

    @property
    def bytes(self) -> int:
        """Bytes held on this machine, including the room for questions and answers."""
        ...

    def generate(self, questions: Sequence[str]) -> list[Generation]:
        """Answer questions that continue the context; several make one batch."""
        ...

    def answers(self, questions: Sequence[str], batch: int) -> Iterator[Timed[Generation]]:
        """Answer questions in order, each as soon as it is there, with its wall seconds or its share of a batch.

        Args:
            questions: Any number.
            batch: Most questions at once, for a cache that answers batch by batch.

        Yields:
            One result a question; `error` says why there is no answer, and fails no other question.
        """
        ...


@dataclass(frozen=True, slots=True)
class HeldPrefix:
    """A context that is ready for questions, and what was counted while it was made, by name."""

    cache: PrefixCache
    counts: Mapping[str, int] = field(default_factory=dict)


class PrefixCaching(Protocol):
    """A model behind a server that holds a context ready for questions in a cache of its own."""

    def hold_context(self, passages: Sequence[Passage], /) -> Timed[HeldPrefix]:
        """Let the server read a context once.

        Raises:
            ContextTooLongError: The context does not fit the model.
            AnswerError: The server gives no reply.
        """
        ...


Role = Literal["query", "passage", "symmetric"]
"""What a text is to an embedder: a query, a passage that is searched, or one of two texts that are compared."""


class Embedder(Protocol):
    """Turns texts into unit vectors whose inner product is their similarity."""

    @property
    def name(self) -> str:
        """What the user called it, such as ``minilm``."""
        ...

    @property
    def sha256(self) -> str:
        """Hash over weights, tokenizer and settings: the same hash embeds the same text to the same vector."""
        ...

    @property
    def dimension(self) -> int:
        """Width of a vector."""
        ...

    @property
    def max_tokens(self) -> int | None:
        """Tokens that it reads of one text; None if it sets no limit."""
        ...

    def prompt(self, role: Role) -> str:
        """The model's own words before a text of this role; empty where it has none."""
        ...

    def embed(self, texts: Sequence[str], role: Role = "passage") -> NDArray[np.float32]:
        """Embed texts, each behind the prompt of its role.

        Returns:
            Shape ``[len(texts), dimension]``, rows of unit length.
        """
        ...

    def windows(self, texts: Sequence[str], heads: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Cut passages into overlapping windows that are read to their end.

        Args:
            texts: The passages.
            heads: What stands before every window of a text and is read with it, one a text.

        Returns:
            Start and end of each window, in characters of its text; one window where all of it is read.

        Raises:
            UserError: A head leaves too little room, or the tokenizer does not say where its tokens lie.
        """
        ...

    def truncated(self, texts: Sequence[str]) -> int:
        """How many of the passages are longer than `max_tokens`, so that their ends are not read."""
        ...


class Reranker(Protocol):
    """Judges how well texts answer a question, reading both together."""

    @property
    def name(self) -> str:
        """What stands in results."""
        ...

    @property
    def sha256(self) -> str:
        """Hash over weights, tokenizer and settings: the same hash gives the same scores."""
        ...

    @property
    def max_tokens(self) -> int | None:
        """Tokens that it reads of question and text together; None if it sets no limit."""
        ...

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """One score a text, higher is better."""
        ...
