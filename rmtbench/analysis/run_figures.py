"""One run reduced to the numbers that tables print, so that its answers need not stay in memory.

Knows no table and no layout.
"""

from __future__ import annotations

import hashlib
import math
import statistics
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import compress, islice
from operator import add
from pathlib import PurePath
from typing import Any

from rmtbench.analysis.earlier_systems import system_of
from rmtbench.analysis.judging import JudgedRun, judged_run
from rmtbench.analysis.spending import Cost, cost_of
from rmtbench.analysis.stats.clustered import clustered_standard_error
from rmtbench.analysis.sums import compact, sum_clusters
from rmtbench.analysis.units import Unit, question_clusters, unit_of
from rmtbench.core import SHIPPED_MODELS, MetricValue, RunSpec, SystemTraits, TokenCounts
from rmtbench.journal.columns import (
    ANSWERED,
    COUNTS,
    CUT_OFF,
    EMPTY,
    FAILED,
    GIVEN,
    NOT_APPLICABLE,
    SCORED,
    WARM_UP,
    Columns,
    Numbers,
    RunColumns,
    columns_of,
)
from rmtbench.journal.record import RunRecord
from rmtbench.measure import share_of_rounds

Sums = Mapping[int, tuple[float, int]]
"""Sum of a metric's values and their number, by cluster: a draw, or a question if `RunFigures.unit` says so."""
Values = Mapping[str, Mapping[int, list[float]]]
"""For each metric, its values for each question, by draw: see `values_of`."""

TIMINGS = ("retrieve", "prefill", "first_token", "decode", "total")
"""The parts of an answer's time, in order."""
FIFTHS = 5
"""Number of parts of a corpus, for scores by position of the evidence."""


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
        p90_wait: 90th percentile of the seconds until a timed answer's whole batch is there: see `_waits`.
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
    p90_wait: float | None
    timed: int
    prepare_seconds: dict[str, float]
    kept_bytes: float | None
    prepared_counts: dict[str, int]
    cost: Cost | None


@dataclass(frozen=True, slots=True)
class MeanTokens:
    """Mean tokens of an answer: read, of these already cached, written, and of these reasoning. None without an answer.

    `cached` is also None if no answer states it. If only some do, because servers leave out a count of 0, the others
    count as 0. `reasoning` is also None if that of any answer is unknown.
    """

    prompt: float | None
    cached: float | None
    output: float | None
    reasoning: float | None = None


@dataclass(frozen=True, slots=True)
class RunFigures:
    """One run in figures.

    Attributes:
        run_id: Its name.
        spec: What was asked.
        system: What tables must know about the system.
        provenance: What answered first: see `rmtbench.journal.record.RunRecord`.
        sessions: The same for every process that answered.
        scorers: What produced each metric, by metric.
        corpora: One row for each draw.
        summary: Means and counts.
        standard_errors: Standard error of each metric's mean, clustered by `unit`; None if it is undefined.
        by_cluster: For each metric, the sum of its values and their number, by cluster. A comparison needs no more.
        by_position: The same by fifth of the corpus that holds a supporting fact (0 is the first). A question counts
            once for each fact. Empty if the run has no positions.
        tokens: Mean tokens of the answers that did not fail.
        peak_bytes: Most memory, resident and on the device; None if not measured.
        warmups: Answers left out of all times, because they were the first of their process.
        shared: Whether its preparation also served another run, and is counted there as well.
        unscored: Answers given but not scored; failed answers need no score.
        complete: Whether every question of every draw has an answer.
        written: A hash of each answer's token ids, in the order of the questions; 0 if there are none.
        unit: What a cluster is.
        units: How many clusters there are.
        values: What its metrics' values are, as its files say; empty for older runs, and before scoring.
        judging: What a judge said of its answers; None where none was asked.
        squares: Of each metric, the sum of its squared values: equal to the sum where all are right or wrong.
        lacking: Of each metric, by cluster a hash of the questions that it does not apply to, where there are any.
    """

    run_id: str
    spec: RunSpec
    system: SystemTraits
    provenance: Mapping[str, Any]
    sessions: tuple[Mapping[str, Any], ...]
    scorers: Mapping[str, str]
    corpora: tuple[Mapping[str, Any], ...]
    summary: Summary
    standard_errors: Mapping[str, float | None]
    by_cluster: Mapping[str, Sums]
    by_position: Mapping[str, Mapping[int, Sums]]
    tokens: MeanTokens
    peak_bytes: tuple[int | None, int | None]
    warmups: int
    shared: bool
    unscored: int
    complete: bool
    written: Sequence[int] = ()
    unit: Unit = "draw"
    units: int = 0
    values: tuple[MetricValue, ...] = ()
    judging: JudgedRun | None = None
    squares: Mapping[str, float] = field(default_factory=dict)
    lacking: Mapping[str, Mapping[int, int]] = field(default_factory=dict)

    @property
    def hash(self) -> str:
        """The last eight digits of the run's name, which are unique to it."""
        return self.run_id.rpartition("-")[2]

    @property
    def model(self) -> Mapping[str, Any]:
        """What is recorded about the model."""
        recorded = self.provenance.get("model")
        return recorded if isinstance(recorded, Mapping) else {"id": recorded} if recorded else {}

    @property
    def dataset(self) -> str:
        """The dataset's name; for a user's own folder, its name without the path."""
        return PurePath(self.spec.dataset).name

    @property
    def random_weights(self) -> bool:
        """Whether the model's weights are random, so that its answers have no meaning."""
        labels = f"{self.model.get('label') or ''} {self.provenance.get('label') or ''}"
        return self.spec.model.startswith("random:") or "random weights" in labels

    @property
    def reads_other_english(self) -> bool:
        """Whether a model that knows only the miniature's words read other texts: its answers have no meaning."""
        return self.spec.model in SHIPPED_MODELS and self.source_kind != "miniature"

    @property
    def scored(self) -> bool:
        """Whether all answers have scores. A mean with missing scores would be too low."""
        return bool(self.summary.means) and self.unscored == 0

    @property
    def source_kind(self) -> str:
        """Kind of the data source, from the draws; before the first draw, as the spec names it."""
        kinds = sorted({row["source"]["kind"] for row in self.corpora})
        return " and ".join(kinds) or self.spec.data.partition(":")[0]

    @property
    def preparation(self) -> float | None:
        """Mean seconds to prepare one draw; None if no draw has been prepared."""
        return None if self.summary.kept_bytes is None else sum(self.summary.prepare_seconds.values())

    @property
    def machine_seconds(self) -> float | None:
        """Mean seconds of the machine for a question. Questions that a server answers at the same time share them."""
        mean = self.summary.mean_seconds["total"]
        return None if mean is None else mean * share_of_rounds(self._questions, self.spec.concurrency)

    @property
    def _questions(self) -> list[int]:
        """Number of questions of each draw that has some."""
        return [row["questions"] for row in self.corpora if row["questions"]]

    @property
    def seconds_with_preparation(self) -> float | None:
        """Mean seconds for a question, with its share of the preparation over the questions answered so far."""
        mean = self.summary.mean_seconds["total"]
        if mean is None or self.preparation is None:
            return None
        return mean + self.preparation * self.summary.draws / self.summary.answered

    @property
    def asked(self) -> frozenset[tuple[int, str]]:
        """Draws and their hashes. Two runs with equal ones have the same questions."""
        return frozenset((row["draw"], row["sha256"]) for row in self.corpora)


def make_run_figures(run: RunRecord) -> RunFigures:
    """Reduce a run to its figures."""
    return figures_of(columns_of(run))


def figures_of(run: RunColumns) -> RunFigures:
    """Reduce a run's columns to its figures."""
    head, columns, system = run.head, run.columns, system_of(run.head)
    unit, clusters = unit_of(head), question_clusters(head, columns.draws, columns.ids)
    values = values_of(run)
    summary = _summary(run, values)
    if unit != "draw":
        values = {metric: _by_cluster(columns, metric, clusters) for metric in values}
    return RunFigures(
        run_id=head.run_id,
        spec=head.spec,
        system=system,
        provenance=head.provenance,
        sessions=tuple(head.sessions),
        scorers=head.scorers,
        corpora=tuple(head.corpora),
        summary=summary,
        standard_errors={metric: clustered_standard_error(list(found.values())) for metric, found in values.items()},
        by_cluster=sum_clusters(values),
        by_position=_by_position(columns, clusters),
        tokens=_mean_tokens(columns),
        peak_bytes=head.peak_bytes,
        warmups=columns.count(WARM_UP),
        shared=any(prepared.shared for _, prepared in head.prepared),
        unscored=sum(state & (ANSWERED | FAILED | SCORED) == ANSWERED for state in columns.states),
        complete=run.complete,
        written=columns.written,
        unit=unit,
        units=len(head.corpora) if unit == "draw" else len(set(clusters)),
        values=head.values,
        judging=judged_run(run),
        squares={
            metric: math.fsum(value * value for each in found.values() for value in each)
            for metric, found in values.items()
        },
        lacking={metric: _lacking(columns, metric, clusters) for metric, found in values.items() if found},
    )


def summarize(run: RunRecord) -> Summary:
    """Return the means and counts of a run, which may be incomplete. A metric never scored is missing, not zero."""
    columns = columns_of(run)
    return _summary(columns, values_of(columns))


def _summary(run: RunColumns, by_metric: Values) -> Summary:
    head, columns = run.head, run.columns
    means: dict[str, float | None] = {}
    applicable: dict[str, int] = {}
    for metric, draws in by_metric.items():
        values = [value for draw in draws.values() for value in draw]
        means[metric] = statistics.fmean(values) if values else None
        applicable[metric] = len(values)
    timed = [state & (ANSWERED | FAILED | WARM_UP) == ANSWERED for state in columns.states]
    seconds = {name: _chosen(columns.seconds[name], timed) for name in TIMINGS}
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
        p90_wait=_p90(waits) if (waits := _chosen(_waits(columns, head.spec.batch), timed)) else None,
        timed=sum(timed),
        prepare_seconds={
            part: statistics.fmean(prepared.seconds.get(part, 0.0) for prepared in first.values()) for part in parts
        },
        kept_bytes=_mean(prepared.bytes for prepared in first.values()),
        prepared_counts=dict(counts),
        cost=cost_of(head, lambda: _answer_tokens(columns)),
    )


def _waits(columns: Columns, batch: int) -> Numbers:
    """Return the seconds until each question's whole batch was answered: a row's time is its share.

    Each draw is answered in batches of its own, of which the last may not be full.
    """
    asked, answered, waits = Counter(columns.draws), Counter[int](), array("d")
    for draw, share in zip(columns.draws, columns.seconds["total"], strict=True):
        begun = answered[draw] // batch * batch
        waits.append(share * min(batch, asked[draw] - begun))
        answered[draw] += 1
    return waits


def _answer_tokens(columns: Columns) -> Sequence[TokenCounts]:
    """Return the tokens of every answer that did not fail."""
    kept = [state & (ANSWERED | FAILED) == ANSWERED for state in columns.states]
    rows = zip(*(compress(columns.tokens[name], kept) for name in COUNTS), strict=True)
    return [TokenCounts(*(None if math.isnan(each) else int(each) for each in row)) for row in rows]  # type: ignore[arg-type]


def values_of(run: RunColumns) -> Values:
    """Return the values of every metric that was scored, by draw; a question without a score counts as zero."""
    return {metric: _by_cluster(run.columns, metric, run.columns.draws) for metric in run.columns.scores}


def _by_cluster(columns: Columns, metric: str, clusters: Sequence[int]) -> dict[int, list[float]]:
    """Return one metric's values over the questions where it applies, by cluster.

    A question without an answer or a score counts as zero, unless the metric applies to none of the scored answers.
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


def _lacking(columns: Columns, metric: str, clusters: Sequence[int]) -> dict[int, int]:
    """Return, by cluster, a hash of the questions that a metric does not apply to: the same in every process."""
    without: dict[int, list[str]] = {}
    for at, kind in enumerate(columns.scores[metric].kinds[: columns.questions]):
        if kind == NOT_APPLICABLE:
            without.setdefault(clusters[at], []).append(f"{columns.draws[at]} {columns.ids[at]!r}")
    return {
        cluster: int.from_bytes(hashlib.blake2b("\n".join(names).encode(), digest_size=8).digest(), "big")
        for cluster, names in without.items()
    }


def _chosen(numbers: Numbers, mask: Sequence[bool]) -> list[float]:
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


def spared(run: RunFigures) -> str:
    """Return what this run's preparation took from an earlier run's work; empty if nothing."""
    parts, counts = run.summary.prepare_seconds, run.summary.prepared_counts
    if reused := counts.get("reused_tokens", 0):
        return f"{reused:,} of {reused + counts.get('read_tokens', 0):,} tokens"
    if run.spec.embedder is None or "load" not in parts:
        return ""
    if "embed" not in parts:
        return "all embeddings"
    # A kept index is opened after it was made: its "load" is no work of an earlier run.
    return "" if "index" in dict(run.spec.settings) else "embeddings of some draws"


def _mean_tokens(columns: Columns) -> MeanTokens:
    given = [state & (ANSWERED | FAILED) == ANSWERED for state in columns.states]
    prompt, output, cached, reasoning = (
        _chosen(columns.tokens[name], given) for name in ("prompt", "output", "cached", "reasoning")
    )
    if not prompt:
        return MeanTokens(None, None, None)
    return MeanTokens(
        prompt=statistics.fmean(prompt),
        cached=math.fsum(cached) / len(prompt) if cached else None,  # one that is not told counts as 0
        output=statistics.fmean(output),
        reasoning=statistics.fmean(reasoning) if len(reasoning) == len(prompt) else None,
    )


def _by_position(columns: Columns, clusters: Sequence[int]) -> dict[str, dict[int, Sums]]:
    """Return sums of each metric's values by fifth of the corpus and cluster. A question counts once for each fact."""
    spots: dict[tuple[int, int], list[int]] = {}
    places = iter(columns.places)
    for at, count in enumerate(columns.positions):
        for place in islice(places, count):
            spots.setdefault((min(int(place * FIFTHS), FIFTHS - 1), clusters[at]), []).append(at)
    if not spots:
        return {}
    found: dict[str, dict[int, Sums]] = {}
    unscored = frozenset(at for at, state in enumerate(columns.states) if not state & SCORED)
    for metric, scores in columns.scores.items():
        # A question without a row of scores has 0 of what rows usually hold; a row without the metric says nothing.
        missing = unscored if metric in columns.usual else frozenset()
        held = [kind == GIVEN or at in missing for at, kind in enumerate(scores.kinds)]
        fifths: dict[int, dict[int, tuple[float, int]]] = {}
        for (fifth, cluster), questions in spots.items():
            values = [scores.values[at] for at in questions if held[at]]
            if values:
                # One after the other, as they were always added: `sum` is exact from Python 3.12 on.
                fifths.setdefault(fifth, {})[cluster] = reduce(add, values, 0.0), len(values)
        if fifths:
            found[metric] = {fifth: compact(fifths[fifth]) for fifth in sorted(fifths)}
    return found
