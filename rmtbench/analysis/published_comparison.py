"""Match published figures to runs by dataset, size and system, or by the nearest published length.

Corresponding is not comparable: the report says of every table in what the two differ.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from rmtbench.analysis.judging import JUDGED
from rmtbench.analysis.published.figures import (
    BABILONG_POINTS,
    LENGTHS,
    PublishedScore,
    PublishedTime,
    published_score,
    published_time,
)
from rmtbench.analysis.run_figures import RunFigures, spared
from rmtbench.analysis.sections import Grid, Row

FARTHEST = math.sqrt(2)
"""Times shorter or longer that a published length may be: neighbouring ones mostly lie a factor of two apart."""
RECURRENT = "recurrent memory"
"""Family of the systems that keep a memory in place of the context."""
EXACT = "em"
"""What is shown beside exact answers. Beside published judged correctness only `JUDGED` is."""


@dataclass(frozen=True, slots=True)
class Corresponding:
    """A run and the paper's figures for its dataset, size, system and top-k.

    Attributes:
        row: Its row.
        run: The run.
        score: The published score; None where only a time is published.
        time: The published time; None where only a score is published.
    """

    row: Row
    run: RunFigures
    score: PublishedScore | None
    time: PublishedTime | None

    @property
    def size(self) -> str:
        """The run's size."""
        return self.run.spec.size

    @property
    def published_seconds(self) -> float | None:
        """Published mean seconds a question."""
        return None if self.time is None else self.time.seconds

    @property
    def published_preparation(self) -> float | None:
        """Seconds of making the cache, by the authors' logs."""
        return None if self.time is None else self.time.preparation

    @property
    def spared(self) -> bool:
        """Whether the measured preparation loaded a kept cache, so that it is no measure of making one."""
        return self.published_preparation is not None and bool(spared(self.run))

    @property
    def preparation(self) -> float | None:
        """Measured seconds of making the cache; None without a published figure, or where a kept cache was loaded."""
        return None if self.published_preparation is None or self.spared else self.run.preparation


@dataclass(frozen=True, slots=True)
class AtLength:
    """A run and the published length that is nearest to what it read.

    Attributes:
        row: Its row.
        run: The run.
        tokens: The published length.
    """

    row: Row
    run: RunFigures
    tokens: int


def corresponding(grid: Grid) -> list[Corresponding]:
    """Return the runs whose dataset, size, system and top-k the paper has a figure for."""
    found = [
        Corresponding(
            row,
            run,
            published_score(grid.dataset, size, row.system, row.top_k),
            published_time(grid.dataset, size, row.system),
        )
        for size in grid.sizes
        for row, run in grid.at(size)
        if run is not None and not row.settings
    ]
    return [each for each in found if each.score is not None or each.time is not None]


def nearest(tokens: float | None, lengths: Iterable[int]) -> int | None:
    """Return the published length that is nearest by its ratio; None where none is within a factor of `FARTHEST`.

    Args:
        tokens: What was measured at; None where it is not known.
        lengths: What was published.
    """
    if not tokens:
        return None
    ratios = {length: max(length / tokens, tokens / length) for length in lengths if length}
    found = min(ratios, key=lambda length: (ratios[length], length), default=None)
    return found if found is not None and ratios[found] <= FARTHEST else None


def contexts_at_lengths(grid: Grid) -> list[AtLength]:
    """Return the judged runs whose questions read about as much as a published context, by tokens."""
    found = [
        AtLength(row, run, tokens)
        for row, run in _scored(grid, JUDGED)
        if row.traits.in_use
        and row.traits.family != RECURRENT
        and (tokens := nearest(run.tokens.prompt, LENGTHS)) is not None
    ]
    return sorted(found, key=lambda each: each.tokens)


def one_a_length(contexts: Iterable[AtLength]) -> list[AtLength]:
    """Return one run for each system and length: a complete one, on the longest corpus; the cache's systems first."""
    shown: dict[tuple[str, int], AtLength] = {}
    for each in contexts:
        other = shown.get((each.row.system, each.tokens))
        if other is None or _read(each.run) >= _read(other.run):
            shown[each.row.system, each.tokens] = each
    return sorted(shown.values(), key=lambda each: (not each.row.traits.twin, each.row.order))


def memories_at_lengths(grid: Grid) -> list[AtLength]:
    """Return the runs of recurrent memories on corpora of about a published length."""
    lengths = {point.tokens for point in BABILONG_POINTS}
    return [
        AtLength(row, run, tokens)
        for row, run in _scored(grid, EXACT)
        if row.traits.family == RECURRENT and (tokens := nearest(run.summary.corpus_tokens, lengths)) is not None
    ]


def memory_accuracies(tokens: int) -> dict[str, float]:
    """Return the published accuracies of recurrent memories at a length, by system."""
    return {point.system: point.accuracy for point in BABILONG_POINTS if point.tokens == tokens}


def _scored(grid: Grid, metric: str) -> list[tuple[Row, RunFigures]]:
    """Runs with a score that means something, by size and row."""
    return [
        (row, run)
        for size in grid.sizes
        for row, run in grid.at(size)
        if run is not None
        and run.scored
        and run.summary.means.get(metric) is not None
        and not (run.random_weights or run.reads_other_english)
    ]


def _read(run: RunFigures) -> tuple[bool, float, float]:
    """Sort key: complete, then the longest corpus, then the most tokens that a question reads of it."""
    return run.complete, run.summary.corpus_tokens or 0.0, run.tokens.prompt or 0.0
