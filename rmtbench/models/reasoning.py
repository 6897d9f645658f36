"""Reasoning that a model writes between marks before its answer: which marks there are, and where the answer begins."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

DEFAULT_THINK_TOKENS = 1024
"""Most tokens of reasoning, for a model whose tokenizer or chat format has marks of reasoning."""


@dataclass(frozen=True, slots=True)
class Marks:
    """The texts that open and close a reasoning."""

    opening: str
    closing: str


REASONING_MARKS = (
    Marks("<think>", "</think>"),
    Marks("<thinking>", "</thinking>"),
    Marks("<thought>", "</thought>"),
    Marks("<reasoning>", "</reasoning>"),
    Marks("<|begin_of_thought|>", "<|end_of_thought|>"),
    Marks("[THINK]", "[/THINK]"),
    Marks("<seed:think>", "</seed:think>"),
)
"""All marks that are known. A new family's marks go here and nowhere else."""


@dataclass(frozen=True, slots=True)
class Parted:
    """A text in its two parts. `answer` is None while the reasoning goes on; `closing` is the mark that ended it."""

    reasoning: str
    answer: str | None
    closing: str | None = None


@dataclass(frozen=True, slots=True)
class Reasoning:
    """How a model marks its reasoning.

    Attributes:
        marks: The marks that it may write; empty for a model that has none.
        opened: The marks whose opening one already ends the prompt; None if the model opens its reasoning itself.
    """

    marks: tuple[Marks, ...] = ()
    opened: Marks | None = None

    def part(self, text: str) -> Parted:
        """Part what a model wrote into reasoning and answer, without the marks.

        A closing mark without an opening one ends a reasoning too: a server's chat format may have opened it.
        """
        said = text.lstrip()
        opening = self.opened or next((pair for pair in self.marks if said.startswith(pair.opening)), None)
        closed = opening or next((pair for pair in self.marks if pair.closing in text), None)
        if closed is None:
            return Parted("", text)
        reasoning, closing, answer = said.removeprefix(closed.opening).partition(closed.closing)
        return Parted(reasoning.strip(), answer if closing else None, closing or None)

    def answer_start(self, ids: Sequence[int], decode: Callable[[Sequence[int]], str]) -> int | None:
        """Return how many of the tokens are reasoning, its marks included; None while it goes on.

        Args:
            ids: Tokens written so far, at least one.
            decode: The text of tokens, marks included.
        """
        if not self.marks:
            return 0
        parted = self.part(decode(ids))
        closing = parted.closing
        if closing is None:
            return None if parted.answer is None else 0
        # The fewest tokens whose text holds the closing mark.
        return bisect_left(range(len(ids)), True, key=lambda count: closing in decode(ids[:count]))


NO_REASONING = Reasoning()


def find_reasoning(template: str, vocabulary: Sequence[str], closing: str) -> Reasoning:
    """Return how a model marks its reasoning, as far as its tokenizer and chat format show.

    Args:
        template: The chat template's source; empty if there is none.
        vocabulary: The tokenizer's added tokens.
        closing: What the chat format writes after the user's message, up to where the model goes on.
    """
    marks = tuple(
        pair
        for pair in REASONING_MARKS
        if any(mark in template or mark in vocabulary for mark in (pair.opening, pair.closing))
    )
    opened = next((pair for pair in marks if closing.rfind(pair.opening) > closing.rfind(pair.closing)), None)
    return Reasoning(marks, opened)
