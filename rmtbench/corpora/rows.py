"""Rows of the three data sets, however they were stored: what official files and hub rows are both turned into."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SquadQuestion:
    """A question about one paragraph; answers are (text, first character in the paragraph), as annotated."""

    id: str
    text: str
    answers: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class SquadParagraph:
    """A paragraph and its questions."""

    text: str
    questions: tuple[SquadQuestion, ...]


@dataclass(frozen=True, slots=True)
class SquadArticle:
    """A whole article; its title is cleaned (spaces, no percent signs)."""

    title: str
    paragraphs: tuple[SquadParagraph, ...]


@dataclass(frozen=True, slots=True)
class HotpotRow:
    """One question with its paragraphs, each a title and sentences that keep their leading space.

    `facts` are the supporting ones: paragraph title and sentence number. `kind` is ``bridge`` or ``comparison``.
    """

    id: str
    question: str
    answer: str
    kind: str
    paragraphs: tuple[tuple[str, tuple[str, ...]], ...]
    facts: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class TriviaDocument:
    """One evidence document; the same id is the same text in every row."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class TriviaRow:
    """One question with its evidence documents.

    Attributes:
        id: Question id.
        question: Its text, quotes mended.
        references: Accepted answers, the one to show first; their normal forms are the official ground truths.
        documents: Evidence that could be read.
        missing: Names of evidence files that the row lists and that are not there.
        gradable: False where the row itself says that its evidence may not hold an answer.
    """

    id: str
    question: str
    references: tuple[str, ...]
    documents: tuple[TriviaDocument, ...]
    missing: tuple[str, ...] = ()
    gradable: bool = True
