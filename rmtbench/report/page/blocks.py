"""A run's questions and answers as compact JSON for the page, in slices that are unpacked when they are looked at.

What is written here is data: the page shows every text as text. What several runs share is held once.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rmtbench.analysis.run_figures import FIFTHS
from rmtbench.core import Answer, Gold, Question, Retrieved
from rmtbench.journal.columns import spans_of
from rmtbench.journal.record import Key, RunRecord
from rmtbench.report.page.outcomes import MISSING, flag, outcome
from rmtbench.report.page.passages import Passages, Place

PLAIN_BYTES = 8 * 2**20
"""Pages with less are not compressed: their bytes then do not depend on which zlib made them."""
SMALL_BLOCK = 2**14
SLICE = 256
"""Questions whose answers are one block: what the page unpacks of each run to show one question."""


@dataclass(frozen=True, slots=True)
class RunBlocks:
    """Where a run's questions and answers are: positions of blocks.

    Attributes:
        questions: Of its questions.
        outcomes: Of the letters that say what became of each question.
        answers: Of the slices of its answers, in the order of the questions.
        count: Answers in them.
        metrics: Names of the scores of each answer, in their order.
        draws: Position of its draws in `Passages.draws`.
    """

    questions: Place
    outcomes: int
    answers: tuple[Place, ...]
    count: int
    metrics: tuple[str, ...]
    draws: int


@dataclass(slots=True)
class Blocks:
    """The blocks of a page, in the order in which they were added.

    Attributes:
        passages: What the runs need of their documents.
        contents: Each block's kind and content, as its element has them.
        runs: For each run's name, where its questions and answers are.
    """

    passages: Passages = field(default_factory=Passages)
    contents: list[tuple[str, str]] = field(default_factory=list)
    runs: dict[str, RunBlocks] = field(default_factory=dict)
    _known: dict[bytes, int] = field(default_factory=dict)
    _asked: dict[int, tuple[Mapping[Key, Gold], int]] = field(default_factory=dict)
    _bytes: int = 0

    @property
    def beside(self) -> bool:
        """Whether the page loads texts from files beside it."""
        return False

    def add(self, run: RunRecord) -> None:
        """Add one run; it may be let go afterwards."""
        keys = list(run.gold)
        # Runs that were read together share their gold; kept here, no other object can take its identity.
        if id(run.gold) not in self._asked:
            self._asked[id(run.gold)] = run.gold, self.place(question_rows(run))
        metrics = metrics_of(run)
        slices = [self.place({"rows": rows}) for rows in answer_slices(run, metrics)]
        self.runs[run.run_id] = RunBlocks(
            questions=self._asked[id(run.gold)][1],
            outcomes=self.place(outcomes_of(run)),
            answers=tuple(slices),
            count=sum(key in run.answers for key in keys),
            metrics=metrics,
            draws=self.passages.add(run, lambda: spans_of(run)),
        )

    def cut_passages(self) -> list[dict[str, Any]]:
        """Read the documents that the runs need again, and take their passages in: see `Passages.cut`."""
        return self.passages.cut(self.place)

    def place(self, value: object) -> int:
        """Take a value in, once; returns its position."""
        text = to_json(value)
        digest = hashlib.sha256(text.encode()).digest()
        if digest not in self._known:
            self._known[digest] = len(self.contents)
            self.contents.append(("application/json", text))
            self._press(text)
        return self._known[digest]

    def _press(self, text: str) -> None:
        """Compress what is there when the page grows large, and from then on whatever is added."""
        was_large = self._bytes > PLAIN_BYTES
        self._bytes += len(text)
        if self._bytes > PLAIN_BYTES:
            first = len(self.contents) - 1 if was_large else 0
            self.contents[first:] = [_pressed(*content) for content in self.contents[first:]]


def to_json(value: object) -> str:
    """JSON that may stand in a script element: ASCII, and nothing that could end the element or open a comment."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def elements(blocks: Blocks) -> str:
    """The blocks as script elements that no browser runs."""
    return "\n".join(
        f'<script type="{kind}" id="block-{place}">{content}</script>'
        for place, (kind, content) in enumerate(blocks.contents)
    )


def _pressed(kind: str, content: str) -> tuple[str, str]:
    if len(content) <= SMALL_BLOCK or kind != "application/json":
        return kind, content
    packed = gzip.compress(content.encode("ascii"), 6, mtime=0)
    return "application/gzip-base64", base64.b64encode(packed).decode("ascii")


def question_rows(run: RunRecord) -> list[list[Any]]:
    """Return a run's questions as the page has them."""
    return [_question(key, run.questions[key], run.gold[key], run.positions.get(key, ())) for key in run.gold]


def metrics_of(run: RunRecord) -> tuple[str, ...]:
    """Return the names of all metrics that a run was scored by."""
    return tuple(sorted({metric for values in run.scores.values() for metric in values}))


def answer_slices(run: RunRecord, metrics: Sequence[str]) -> Iterator[list[list[Any]]]:
    """Yield a run's answers as the page has them, `SLICE` questions at a time."""
    keys = list(run.gold)
    for first in range(0, len(keys), SLICE):
        yield [
            _answer(first + place, run.answers[key], run.gold[key], _scores(run, key, metrics))
            for place, key in enumerate(keys[first : first + SLICE])
            if key in run.answers
        ]


def outcomes_of(run: RunRecord) -> dict[str, str]:
    """Return two texts with a letter a question: what became of it, and what else is to be said of the answer."""
    given = [(run.answers.get(key), run.scores.get(key, {})) for key in run.gold]
    letters = "".join(MISSING if answer is None else outcome(answer, scores) for answer, scores in given)
    flags = "".join(" " if answer is None else flag(answer) for answer, _ in given)
    return {"outcomes": letters, "flags": flags if flags.strip() else ""}


def _question(key: Key, question: Question, gold: Gold, positions: Sequence[float]) -> list[Any]:
    evidence = [[[span.document_id, span.start, span.end] for span in spans] for spans in gold.evidence]
    fifths = sorted({min(int(place * FIFTHS), FIFTHS - 1) for place in positions})
    return [key[0], question.id, question.text, question.kind, list(gold.references), evidence, fifths]


def _scores(run: RunRecord, key: Key, metrics: Sequence[str]) -> list[float | None]:
    values = run.scores.get(key, {})
    return [values.get(name) for name in metrics]


def _answer(place: int, answer: Answer, gold: Gold, scores: list[float | None]) -> list[Any]:
    times, tokens = answer.timings, answer.tokens
    evidence = [(span.document_id, span.start, span.end) for spans in gold.evidence for span in spans]
    return [
        place,
        answer.text,
        None if answer.raw == answer.text else answer.raw,
        answer.finish,
        answer.error,
        [tokens.prompt, tokens.cached, tokens.output],
        [
            None if each is None else round(each, 6)
            for each in (times.retrieve, times.prefill, times.first_token, times.decode, times.total)
        ],
        [_chunk(chunk, evidence) for chunk in answer.retrieved],
        int(answer.warmup),
        [None if value is None else round(value, 4) for value in scores],
    ]


def _chunk(chunk: Retrieved, evidence: Sequence[tuple[str, int, int]]) -> list[Any]:
    """A chunk's place and score, and whether it holds evidence; an empty chunk holds none."""
    name, start, end = chunk.document_id, chunk.start, chunk.end
    holds = 0
    for other, first, last in evidence:
        if other == name and first < end and start < last and start < end:
            holds = 1
            break
    return [name, start, end, round(chunk.score, 4), holds]
