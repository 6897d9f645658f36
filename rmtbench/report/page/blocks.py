"""A run's questions and answers as compact JSON for the page; questions that several runs share are held once.

What is written here is data: the page shows every text as text. Documents are not kept with a run, so that a chunk is
told by its place.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rmtbench.core import Answer, Gold, Question
from rmtbench.journal.record import Key, RunRecord

PLAIN_BYTES = 8 * 2**20
"""Pages with less are not compressed: their bytes then do not depend on which zlib made them."""
SMALL_BLOCK = 2**14


@dataclass(slots=True)
class Blocks:
    """The blocks of a page, in the order in which they were added.

    Attributes:
        texts: Their JSON.
        runs: For each run's name, the positions of its questions and answers, and how many of them there are.
    """

    texts: list[str] = field(default_factory=list)
    runs: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    _known: dict[bytes, int] = field(default_factory=dict)
    _asked: dict[int, tuple[Mapping[Key, Gold], int]] = field(default_factory=dict)

    def add(self, run: RunRecord) -> None:
        """Add one run; it may be let go afterwards."""
        keys = list(run.gold)
        # Runs that were read together share their gold; kept here, no other object can take its identity.
        if id(run.gold) not in self._asked:
            rows = [_question(key, run.questions[key], run.gold[key]) for key in keys]
            self._asked[id(run.gold)] = run.gold, self._place(rows)
        asked = self._asked[id(run.gold)][1]
        metrics = sorted({metric for values in run.scores.values() for metric in values})
        given = [
            _answer(place, run.answers[key], run.gold[key], [run.scores.get(key, {}).get(name) for name in metrics])
            for place, key in enumerate(keys)
            if key in run.answers
        ]
        self.runs[run.run_id] = (asked, self._place({"metrics": metrics, "rows": given}), len(given))

    def _place(self, value: object) -> int:
        text = to_json(value)
        digest = hashlib.sha256(text.encode()).digest()
        if digest not in self._known:
            self._known[digest] = len(self.texts)
            self.texts.append(text)
        return self._known[digest]


def to_json(value: object) -> str:
    """JSON that may stand in a script element: ASCII, and nothing that could end the element or open a comment."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def elements(blocks: Blocks) -> str:
    """The blocks as script elements that no browser runs, compressed where the page would be large."""
    large = sum(map(len, blocks.texts)) > PLAIN_BYTES
    lines = []
    for place, text in enumerate(blocks.texts):
        kind, content = "application/json", text
        if large and len(text) > SMALL_BLOCK:
            kind = "application/gzip-base64"
            content = base64.b64encode(gzip.compress(text.encode("ascii"), 6, mtime=0)).decode("ascii")
        lines.append(f'<script type="{kind}" id="block-{place}">{content}</script>')
    return "\n".join(lines)


def _question(key: Key, question: Question, gold: Gold) -> list[Any]:
    evidence = [[[span.document_id, span.start, span.end] for span in spans] for spans in gold.evidence]
    return [key[0], question.id, question.text, question.kind, list(gold.references), evidence]


def _answer(place: int, answer: Answer, gold: Gold, scores: list[float | None]) -> list[Any]:
    times, tokens = answer.timings, answer.tokens
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
        [
            [
                chunk.document_id,
                chunk.start,
                chunk.end,
                round(chunk.score, 4),
                # An empty chunk has no span.
                int(chunk.start < chunk.end and any(chunk.span.overlaps(s) for spans in gold.evidence for s in spans)),
            ]
            for chunk in answer.retrieved
        ],
        int(answer.warmup),
        [None if value is None else round(value, 4) for value in scores],
    ]
