"""A run's questions, answers and scores as columns of numbers, without their texts: what figures are computed from.

They are made from a run that was read, and kept by `rmtbench.journal.column_cache`.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TypeAlias

import orjson

from rmtbench.core import Answer, Timings, TokenCounts
from rmtbench.journal.checks import damaged
from rmtbench.journal.record import Key, RunHead, RunRecord

ANSWERED, FAILED, CUT_OFF, EMPTY, WARM_UP, SCORED = 1, 2, 4, 8, 16, 32
"""What is so of a question's answer: bits of `Columns.states`."""
GIVEN, NOT_APPLICABLE, ABSENT = 0, 1, 2
"""What a metric's value is: a number, null, or not in the row at all."""
TIMES = tuple(each.name for each in fields(Timings))
COUNTS = tuple(each.name for each in fields(TokenCounts))

_NO_ROW: Mapping[str, float | None] = {}

Numbers: TypeAlias = "array[float]"
"""Numbers of double precision; NaN stands for null."""


@dataclass(frozen=True, slots=True)
class Scores:
    """One metric's values, a place a question, and after them those of rows without a question.

    Attributes:
        values: The values; 0 where there is none.
        kinds: `GIVEN`, `NOT_APPLICABLE` or `ABSENT`, a byte a place.
    """

    values: Numbers
    kinds: bytes


@dataclass(frozen=True, slots=True)
class Spans:
    """The different places of a run's documents that its answers retrieved or its evidence names, sorted.

    Attributes:
        documents: Names of documents.
        draws: The draw of each place.
        names: Position of its document in `documents`.
        starts: Its first character.
        ends: The character behind its last.
    """

    documents: tuple[str, ...]
    draws: array[int]
    names: array[int]
    starts: array[int]
    ends: array[int]


@dataclass(frozen=True, slots=True)
class Columns:
    """Questions in their order, and the answer to each.

    Attributes:
        draws: The draw of each question.
        ids: Its name.
        states: Bits, a byte a question: see `ANSWERED`.
        positions: How many supporting facts of each question have a place.
        places: These places, from 0 to 1, all questions together.
        seconds: Of each part of `TIMES`, a number a question; NaN where it is null or nothing was answered.
        tokens: Of each of `COUNTS` the same.
        written: A hash of each answer's token ids; 0 where there are none, and of failed answers.
        strays: Rows of scores whose question is none of the run's.
        usual: Metrics of the first row of scores: what a question without a row is taken to have 0 of.
        scores: Of each metric, its values.
        spans: Which parts of documents the page shows.
    """

    draws: array[int]
    ids: tuple[str, ...]
    states: bytes
    positions: array[int]
    places: Numbers
    seconds: Mapping[str, Numbers]
    tokens: Mapping[str, Numbers]
    written: array[int]
    strays: int
    usual: tuple[str, ...]
    scores: Mapping[str, Scores]
    spans: Spans

    @property
    def questions(self) -> int:
        """How many questions were asked."""
        return len(self.ids)

    @property
    def answered(self) -> int:
        """How many of them have an answer; a failed one counts."""
        return self.count(ANSWERED)

    def count(self, bit: int) -> int:
        """Return how many answers a bit is set of: see `ANSWERED`."""
        return sum(1 for state in self.states if state & bit)


@dataclass(frozen=True, slots=True)
class RunColumns:
    """One run: its small files, and the rest as columns."""

    head: RunHead
    columns: Columns

    @property
    def complete(self) -> bool:
        """Whether every draw was begun and every question of it has an answer (a failed one counts)."""
        return self.head.holds_all(self.columns.questions, self.columns.answered)


def columns_of(run: RunRecord) -> RunColumns:
    """Turn a run that was read into columns."""
    return RunColumns(run, make_columns(run))


def make_columns(run: RunRecord) -> Columns:
    """Return a run's questions, answers and scores as columns.

    Raises:
        UserError: A number is beyond what 64 bits hold.
    """
    keys = list(run.gold)
    answers = [run.answers.get(key) for key in keys]
    positions = [run.positions.get(key, ()) for key in keys]
    strays = [key for key in run.scores if key not in run.gold]
    try:
        return Columns(
            draws=array("q", (draw for draw, _ in keys)),
            ids=tuple(name for _, name in keys),
            states=bytes(_state(answer, scored=key in run.scores) for key, answer in zip(keys, answers, strict=True)),
            positions=array("q", map(len, positions)),
            places=array("d", (place for own in positions for place in own)),
            seconds={
                name: _numbers(None if a is None else getattr(a.timings, name) for a in answers) for name in TIMES
            },
            tokens={name: _numbers(None if a is None else getattr(a.tokens, name) for a in answers) for name in COUNTS},
            written=array("q", map(_written, answers)),
            strays=len(strays),
            usual=tuple(next(iter(run.scores.values()), ())),
            scores=_scores(run, [*keys, *strays]),
            spans=spans_of(run),
        )
    except OverflowError as error:
        raise damaged(str(run.folder.path), error) from error


def _state(answer: Answer | None, *, scored: bool) -> int:
    state = SCORED if scored else 0
    if answer is None:
        return state
    return (
        state
        | ANSWERED
        | (FAILED if answer.error is not None else 0)
        | (CUT_OFF if answer.finish == "length" else 0)
        | (EMPTY if not answer.text.strip() else 0)
        | (WARM_UP if answer.warmup else 0)
    )


def _numbers(values: Iterable[float | None]) -> Numbers:
    return array("d", (math.nan if value is None else value for value in values))


def _written(answer: Answer | None) -> int:
    """A hash of an answer's tokens, of an empty answer's too; 0 if there is no answer, or its tokens are unknown."""
    if answer is None or answer.error is not None or (not answer.output_ids and (answer.text or answer.raw)):
        return 0
    try:
        data = orjson.dumps(answer.output_ids)
    except TypeError:  # a number beyond 64 bits, which only a damaged row has
        data = repr(answer.output_ids).encode()
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big", signed=True)


def _scores(run: RunRecord, keys: Sequence[Key]) -> dict[str, Scores]:
    rows = [run.scores.get(key, _NO_ROW) for key in keys]
    found = {}
    for metric in sorted({metric for row in run.scores.values() for metric in row}):
        kinds = bytes(ABSENT if metric not in row else NOT_APPLICABLE if row[metric] is None else GIVEN for row in rows)
        found[metric] = Scores(array("d", (row.get(metric) or 0.0 for row in rows)), kinds)
    return found


def spans_of(run: RunRecord) -> Spans:
    """Return which parts of documents a run's answers retrieved and its evidence names."""
    found = {
        (draw, span.document_id, span.start, span.end)
        for (draw, _), gold in run.gold.items()
        for spans in gold.evidence
        for span in spans
    }
    found |= {
        (draw, chunk.document_id, chunk.start, chunk.end)
        for (draw, _), answer in run.answers.items()
        for chunk in answer.retrieved
    }
    kept = sorted(each for each in found if _is_span(each))
    documents = sorted({name for _, name, _, _ in kept})
    places = {name: place for place, name in enumerate(documents)}
    return Spans(
        documents=tuple(documents),
        draws=array("q", (draw for draw, *_ in kept)),
        names=array("q", (places[name] for _, name, _, _ in kept)),
        starts=array("q", (start for *_, start, _ in kept)),
        ends=array("q", (end for *_, end in kept)),
    )


def _is_span(found: tuple[int, str, int, int]) -> bool:
    """Whether it is a place that a document can have: nothing checks what rows say of chunks."""
    _, name, start, end = found
    return isinstance(name, str) and isinstance(start, int) and isinstance(end, int) and 0 <= start < end
