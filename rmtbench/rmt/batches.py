"""What one step of a memory's training reads and asks: texts in segments, and questions after some of them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rmtbench.errors import UserError
from rmtbench.options import flag
from rmtbench.rmt.base import Ids
from rmtbench.rmt.tasks.base import Sample, Task, sample_of
from rmtbench.training.base import Stage

DRAWS = 1000
"""How often a sample is drawn anew before the task is said not to fit."""


@dataclass(frozen=True, slots=True)
class Query:
    """One question of a batch.

    Attributes:
        row: Whose memory it is asked from.
        after: Number of the segment after which it is asked.
        figure: In which share of right answers it counts: ``accuracy`` at the end of rows that were not drawn to be
            shorter, or are of full length all the same, ``shorter`` at the end of others, ``along`` before the end,
            ``others`` of a text's further questions, all at the end.
        kind: The sample's kind.
        question: Token ids up to where the answer begins.
        answer: Token ids of what is right there and then.
    """

    row: int
    after: int
    figure: Literal["accuracy", "shorter", "along", "others"]
    kind: str
    question: Ids
    answer: Ids


@dataclass(frozen=True, slots=True)
class Batch:
    """Segments of each row, and what is asked about them."""

    rows: Sequence[Sequence[Ids]]
    queries: Sequence[Query]

    @property
    def tokens(self) -> int:
        """Tokens of all segments."""
        return sum(len(segment) for row in self.rows for segment in row)


def draw_batch(task: Task, stage: Stage, segment_tokens: int, chance: random.Random) -> Batch:
    """Draw texts with their questions.

    Args:
        task: Makes them.
        stage: Settings `rows`, `segments` of a full row, `mixed` (share of rows with a random smaller number), `along`
            (most earlier segments after which a row's question is asked too), `query_first` (1: the question follows
            the text of every segment).
        segment_tokens: Most tokens of a segment.
        chance: Random numbers.

    Raises:
        UserError: The task cannot be told in so many segments, or its questions do not fit.
    """
    settings = stage.settings
    full, along, query_first = int(settings["segments"]), int(settings["along"]), bool(settings["query_first"])
    rows: list[Sequence[Ids]] = []
    queries: list[Query] = []
    for row in range(int(settings["rows"])):
        # The first row is always full: every step has the figure that promotes.
        shorter = full > 1 and row > 0 and chance.random() < settings["mixed"]
        count = chance.randrange(1, full) if shorter else full
        sample, segments = _draw(task, count, full, segment_tokens, query_first, chance)
        if query_first:
            segments = [[*segment, *sample.question] for segment in segments]
        last = len(segments) - 1
        rows.append(segments)
        asked = sorted(chance.sample(range(last), min(along, last)))
        for after in (*asked, last):
            figure: Literal["accuracy", "shorter", "along"] = "along"
            if after == last:
                figure = "shorter" if shorter and len(segments) < full else "accuracy"
            queries.append(Query(row, after, figure, sample.kind, sample.question, sample.right_after(after)))
        queries += [Query(row, last, "others", one.kind, one.question, one.answer) for one in sample.others]
    return Batch(rows, queries)


def _draw(
    task: Task, count: int, full: int, segment_tokens: int, query_first: bool, chance: random.Random
) -> tuple[Sample, Sequence[Ids]]:
    """A sample that fits, of `count` segments or, where the task needs more, as few more as it does."""
    for _ in range(DRAWS):
        sample = None
        while sample is None:
            try:
                sample = task.sample(count, chance) if count < full else sample_of(task, full, chance)
            except ValueError:
                count += 1
        segments = list(sample.segments)
        text = max(map(len, segments)) if query_first else 0
        if text + len(sample.question) <= segment_tokens:
            return sample, segments
    raise UserError(
        f"questions of task '{task.name}' do not fit a segment of {segment_tokens} tokens",
        where=flag.segment_tokens,
        remedy="lengthen the segments",
    )


@dataclass(frozen=True, slots=True)
class ClosedTask:
    """A `Task` whose answers can be listed: where the text tells another one, it is drawn anew.

    Attributes:
        task: Makes samples.
        answers: Token ids of all that can be right, each once.
    """

    task: Task
    answers: tuple[Ids, ...]

    @property
    def name(self) -> str:
        """The task's own."""
        return self.task.name

    def sample(self, segments: int, chance: random.Random) -> Sample:
        """One sample of the task; raises what the task does."""
        for _ in range(DRAWS):
            sample = self.task.sample(segments, chance)
            if tuple(sample.answer) in self.answers and tuple(sample.not_yet) in self.answers:
                return replace(sample, others=[one for one in sample.others if tuple(one.answer) in self.answers])
        raise ValueError(f"none of {DRAWS} samples has an answer of the closed set")


def close_task(task: Task, segments: int, most: int, chance: random.Random) -> ClosedTask:
    """Keep a task's most frequent answers, and those that are right before the text has told one.

    Args:
        task: Makes samples.
        segments: How many segments the samples have that are counted.
        most: Most answers, the latter aside.
        chance: Random numbers.

    Raises:
        UserError: The task cannot be told in so many segments.
    """
    samples = [sample_of(task, segments, chance) for _ in range(20 * most)]
    unknown = dict.fromkeys(tuple(sample.not_yet) for sample in samples)
    counts = Counter(tuple(sample.answer) for sample in samples if tuple(sample.answer) not in unknown)
    frequent = sorted(counts, key=lambda answer: (-counts[answer], answer))[:most]
    return ClosedTask(task, (*unknown, *frequent))
