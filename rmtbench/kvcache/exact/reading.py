"""The first steps of every prefix: tokenise the context and the questions' room, then read the context."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from rmtbench.kvcache.base import PrefixKV
from rmtbench.kvcache.exact.prefill import prefill
from rmtbench.measure import Timed, synchroniser, timed
from rmtbench.models.base import Passage
from rmtbench.models.local import LocalModel

ReadContext = Callable[[LocalModel, Sequence[int]], Timed[PrefixKV]]
"""Reads a context's token ids, or has its keys and values already."""


@dataclass(frozen=True, slots=True)
class ContextTokens:
    """A context as token ids, and the room that its questions need.

    Attributes:
        parts: The whole context as one part; or its head and each of its documents, to be read one by one.
        longest: Tokens of the longest question.
    """

    parts: Sequence[Sequence[int]]
    longest: int

    @property
    def total(self) -> int:
        """Tokens of the context."""
        return sum(map(len, self.parts))

    @property
    def ids(self) -> list[int]:
        """The whole context."""
        return [token for part in self.parts for token in part]


def tokenise(
    model: LocalModel, passages: Sequence[Passage], questions: Sequence[str], *, apart: bool = False
) -> Timed[ContextTokens]:
    """Tokenise a context and measure its questions.

    Args:
        model: The model that will read.
        passages: The context.
        questions: Those that will be asked.
        apart: Whether documents are read one by one.

    Raises:
        ContextTooLongError: The context leaves no room for an answer.
    """

    def make() -> ContextTokens:
        parts = model.contract.context_parts(passages) if apart else [model.context_ids(passages)]
        return ContextTokens(parts, max((len(model.question_ids(question)) for question in questions), default=0))

    made = timed("tokenize", make, synchroniser(model.device))
    model.check_length(made.value.total + made.value.longest)
    return made


def read_in_chunks(model: LocalModel, ids: Sequence[int]) -> Timed[PrefixKV]:
    """A `ReadContext` that computes everything and keeps nothing on disk."""
    return timed("prefill", partial(prefill, model.model, ids), synchroniser(model.device))
