"""Means and counts of one run, computed from its journal and scores: the numbers that tables print."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from rmtbench.analysis.spending import Cost, cost_of
from rmtbench.journal.record import Key, RunRecord


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
"""For each metric, its values for each question, by draw: see `values_by_draw`."""

TIMINGS = ("retrieve", "prefill", "first_token", "decode", "total")
"""The parts of an answer's time, in order."""


def summarize(run: RunRecord, by_metric: Values | None = None) -> Summary:
    """Compute a run's figures from its files.

    Args:
        run: The run; it may be incomplete.
        by_metric: Its `values_of`, if the caller has them.

    Returns:
        Its figures. A metric that was never scored is missing, not zero.
    """
    answers = list(run.answers.values())
    means: dict[str, float | None] = {}
    applicable: dict[str, int] = {}
    for metric, draws in (values_of(run) if by_metric is None else by_metric).items():
        values = [value for draw in draws.values() for value in draw]
        means[metric] = statistics.fmean(values) if values else None
        applicable[metric] = len(values)
    timed = [answer for answer in answers if answer.error is None and not answer.warmup]
    seconds = {name: _known(getattr(answer.timings, name) for answer in timed) for name in TIMINGS}
    first = run.first_prepared
    parts = dict.fromkeys(part for prepared in first.values() for part in prepared.seconds)
    counts: Counter[str] = Counter()
    for prepared in first.values():
        counts.update(prepared.counts)
    return Summary(
        expected=run.expected,
        answered=len(answers),
        errors=run.errors,
        cut_off=sum(answer.finish == "length" for answer in answers),
        empty=sum(not answer.text.strip() for answer in answers),
        draws=len(run.corpora),
        documents=_mean(row["documents"] for row in run.corpora),
        corpus_tokens=_mean(_known(row["tokens"] for row in run.corpora)),
        means=means,
        applicable=applicable,
        median_seconds=_over(seconds, statistics.median),
        p90_seconds=_over(seconds, _p90),
        mean_seconds=_over(seconds, statistics.fmean),
        timed=len(timed),
        prepare_seconds={
            part: statistics.fmean(prepared.seconds.get(part, 0.0) for prepared in first.values()) for part in parts
        },
        kept_bytes=_mean(prepared.bytes for prepared in first.values()),
        prepared_counts=dict(counts),
        cost=cost_of(run),
    )


def values_of(run: RunRecord) -> Values:
    """Return `values_by_draw` of every metric that was scored, by name."""
    return {
        metric: values_by_draw(run, metric)
        for metric in sorted({metric for values in run.scores.values() for metric in values})
    }


def values_by_draw(run: RunRecord, metric: str) -> dict[int, list[float]]:
    """Return one metric's values for each question, by draw.

    Args:
        run: A scored run.
        metric: Name of the metric.

    Returns:
        Values by draw number, over the questions where the metric applies. A question without an answer or a score
        counts as zero, unless the metric applies to none of the scored answers.
    """
    return values_by_cluster(run, metric, {key: key[0] for key in run.gold})


def values_by_cluster(run: RunRecord, metric: str, clusters: Mapping[Key, int]) -> dict[int, list[float]]:
    """Return one metric's values as `values_by_draw` does, by other clusters than draws.

    Args:
        run: A scored run.
        metric: Name of the metric.
        clusters: The number of each question's cluster.
    """
    if all(row.get(metric, 0.0) is None for row in run.scores.values()):
        return {}
    values: dict[int, list[float]] = {}
    for key in run.gold:
        row = run.scores.get(key)
        value = row.get(metric, 0.0) if row is not None else 0.0
        if value is not None:
            values.setdefault(clusters[key], []).append(value)
    return values


def _over(seconds: Mapping[str, list[float]], reduce: Callable[[list[float]], float]) -> dict[str, float | None]:
    return {name: reduce(values) if values else None for name, values in seconds.items()}


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


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
