"""Means and counts of one run, computed from its journal and scores: the numbers that tables print."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress

from rmtbench.analysis.spending import Cost, cost_of
from rmtbench.core import TokenCounts
from rmtbench.journal.columns import (
    ANSWERED,
    COUNTS,
    CUT_OFF,
    EMPTY,
    FAILED,
    NOT_APPLICABLE,
    SCORED,
    WARM_UP,
    Columns,
    Numbers,
    RunColumns,
    columns_of,
)
from rmtbench.journal.record import RunRecord


@dataclass(frozen=True, slots=True)
class Summary:
    """One run in figures. Times leave out failed answers and the warm-up answers; scores leave out no answer.

    Attributes:
        expected: Questions asked: the denominator of every score.
        answered: Answers on disk, failed ones included.
        errors: Failed answers.
        cut_off: Answers that ended at the token limit.
        empty: Answers without text.
        draws: Draws begun.
        documents: Mean number of documents of a draw.
        corpus_tokens: Mean number of tokens in a draw's documents; None if they were not counted.
        means: Mean of each metric over the questions where it applies. A missing or failed answer counts as zero.
        applicable: Number of questions in each mean.
        median_seconds: Median of each timing over the timed answers that have it; None without any.
        p90_seconds: Their 90th percentile.
        mean_seconds: Their mean.
        timed: Number of timed answers.
        prepare_seconds: Mean seconds of a draw by part, over the first preparation of each draw.
        kept_bytes: Mean bytes of a draw that are kept for answering.
        prepared_counts: What was prepared, by name, over all draws: see `rmtbench.core.Prepared`.
        cost: What was paid; None if no price is known, as for a local model.
    """

    expected: int
    answered: int
    errors: int
    cut_off: int
    empty: int
    draws: int
    documents: float | None
    corpus_tokens: float | None
    means: dict[str, float | None]
    applicable: dict[str, int]
    median_seconds: dict[str, float | None]
    p90_seconds: dict[str, float | None]
    mean_seconds: dict[str, float | None]
    timed: int
    prepare_seconds: dict[str, float]
    kept_bytes: float | None
    prepared_counts: dict[str, int]
    cost: Cost | None


Values = Mapping[str, Mapping[int, list[float]]]
"""For each metric, its values for each question, by draw: see `values_of`."""

TIMINGS = ("retrieve", "prefill", "first_token", "decode", "total")
"""The parts of an answer's time, in order."""


def summarize(run: RunRecord) -> Summary:
    """Compute a run's figures from its files.

    Args:
        run: The run; it may be incomplete.

    Returns:
        Its figures. A metric that was never scored is missing, not zero.
    """
    return summary_of(columns_of(run))


def summary_of(run: RunColumns, by_metric: Values | None = None) -> Summary:
    """Compute a run's figures as `summarize` does, from its columns.

    Args:
        run: The run; it may be incomplete.
        by_metric: Its `values_of`, if the caller has them.
    """
    head, columns = run.head, run.columns
    means: dict[str, float | None] = {}
    applicable: dict[str, int] = {}
    for metric, draws in (values_of(run) if by_metric is None else by_metric).items():
        values = [value for draw in draws.values() for value in draw]
        means[metric] = statistics.fmean(values) if values else None
        applicable[metric] = len(values)
    timed = [state & (ANSWERED | FAILED | WARM_UP) == ANSWERED for state in columns.states]
    seconds = {name: chosen(columns.seconds[name], timed) for name in TIMINGS}
    first = head.first_prepared
    parts = dict.fromkeys(part for prepared in first.values() for part in prepared.seconds)
    counts: Counter[str] = Counter()
    for prepared in first.values():
        counts.update(prepared.counts)
    return Summary(
        expected=columns.questions,
        answered=columns.answered,
        errors=columns.count(FAILED),
        cut_off=columns.count(CUT_OFF),
        empty=columns.count(EMPTY),
        draws=len(head.corpora),
        documents=_mean(row["documents"] for row in head.corpora),
        corpus_tokens=_mean(row["tokens"] for row in head.corpora if row["tokens"] is not None),
        means=means,
        applicable=applicable,
        median_seconds=_over(seconds, statistics.median),
        p90_seconds=_over(seconds, _p90),
        mean_seconds=_over(seconds, statistics.fmean),
        timed=sum(timed),
        prepare_seconds={
            part: statistics.fmean(prepared.seconds.get(part, 0.0) for prepared in first.values()) for part in parts
        },
        kept_bytes=_mean(prepared.bytes for prepared in first.values()),
        prepared_counts=dict(counts),
        cost=cost_of(head, lambda: answer_tokens(columns)),
    )


def answer_tokens(columns: Columns) -> Sequence[TokenCounts]:
    """Return the tokens of every answer that did not fail."""
    kept = [state & (ANSWERED | FAILED) == ANSWERED for state in columns.states]
    rows = zip(*(compress(columns.tokens[name], kept) for name in COUNTS), strict=True)
    return [TokenCounts(*(None if math.isnan(each) else int(each) for each in row)) for row in rows]  # type: ignore[arg-type]


def values_of(run: RunColumns) -> Values:
    """Return each metric's values by draw, of every metric that was scored: see `values_by_cluster`."""
    return {metric: values_by_cluster(run.columns, metric, run.columns.draws) for metric in run.columns.scores}


def values_by_draw(run: RunRecord, metric: str) -> dict[int, list[float]]:
    """Return one metric's values by draw, as `values_by_cluster` does.

    Args:
        run: A scored run.
        metric: Name of the metric.
    """
    columns = columns_of(run).columns
    return values_by_cluster(columns, metric, columns.draws)


def values_by_cluster(columns: Columns, metric: str, clusters: Sequence[int]) -> dict[int, list[float]]:
    """Return one metric's values for each question, by cluster.

    Args:
        columns: A scored run.
        metric: Name of the metric.
        clusters: The cluster of each question.

    Returns:
        Values by cluster, over the questions where the metric applies. A question without an answer or a score
        counts as zero, unless the metric applies to none of the scored answers.
    """
    scores = columns.scores[metric]
    if scores.kinds.count(NOT_APPLICABLE) == columns.count(SCORED) + columns.strays:
        return {}
    values: dict[int, list[float]] = {}
    for cluster, value, kind in zip(
        clusters, scores.values, scores.kinds, strict=False
    ):  # what follows has no question
        if kind != NOT_APPLICABLE:
            values.setdefault(cluster, []).append(value)
    return values


def chosen(numbers: Numbers, mask: Sequence[bool]) -> list[float]:
    """Return those of a column's numbers that a mask chooses and that are not null."""
    return [value for value in compress(numbers, mask) if not math.isnan(value)]


def _over(seconds: Mapping[str, list[float]], reduce: Callable[[list[float]], float]) -> dict[str, float | None]:
    return {name: reduce(values) if values else None for name, values in seconds.items()}


def _p90(values: list[float]) -> float:
    """Return the 90th percentile, linearly interpolated as `numpy.quantile` does by default."""
    ordered = sorted(values)
    place = 0.9 * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _mean(values: Iterable[float]) -> float | None:
    listed = list(values)
    return statistics.fmean(listed) if listed else None
