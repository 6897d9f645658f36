"""The runs of a folder, each reduced to the numbers that tables print: one run's answers are in memory at a time.

Knows no table and no layout.
"""

from __future__ import annotations

import gc
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from rmtbench.analysis.earlier_systems import system_of
from rmtbench.analysis.exactness import compared_in_tokens
from rmtbench.analysis.judging import JudgedRun, judged_run
from rmtbench.analysis.stats.clustered import clustered_standard_error
from rmtbench.analysis.summary import Summary, summarize, values_by_cluster, values_of
from rmtbench.analysis.units import Unit, clusters_of, unit_of
from rmtbench.core import SHIPPED_MODELS, Answer, MetricValue, RunSpec, SystemTraits, TokenCounts
from rmtbench.errors import UserError
from rmtbench.journal.record import Asked, Key, RunRecord, find_runs, read_run

Sums = Mapping[int, tuple[float, int]]
"""Sum of a metric's values and their number, by cluster: a draw, or a question if `RunFigures.unit` says so."""
FIFTHS = 5
"""Number of parts of a corpus, for scores by position of the evidence."""


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
    written: tuple[int, ...] = ()
    unit: Unit = "draw"
    units: int = 0
    values: tuple[MetricValue, ...] = ()
    judging: JudgedRun | None = None
    squares: Mapping[str, float] = field(default_factory=dict)

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
        return None if mean is None else mean / self.spec.concurrency

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


def read_figures(results: Path, seen: Callable[[RunRecord], None] | None = None) -> list[RunFigures]:
    """Read all runs of a folder.

    Args:
        results: The folder that holds the runs, or one run's folder.
        seen: Called with every run before its answers are let go.

    Raises:
        UserError: There are no runs, or one is damaged or of another version.
    """
    paths = find_runs(results)
    if not paths:
        raise UserError("no runs here", where=str(results), remedy="run something first: rmtbench run --help")
    runs = []
    known: dict[bytes, Asked] = {}
    with _no_search_for_cycles():
        for path in paths:
            run = read_run(path, known)
            if seen is not None:
                seen(run)
            runs.append(make_run_figures(run))
    return runs


@contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """Rows of a journal make no cycles, and the search for them takes a seventh of the time of reading."""
    searched = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searched:
            gc.enable()


def make_run_figures(run: RunRecord) -> RunFigures:
    """Reduce a run to its figures."""
    unit, clusters, system = unit_of(run), clusters_of(run), system_of(run)
    values = values_of(run)
    summary = summarize(run, values)
    if unit != "draw":
        values = {metric: values_by_cluster(run, metric, clusters) for metric in values}
    answered = [answer for answer in run.answers.values() if answer.error is None]
    return RunFigures(
        run_id=run.run_id,
        spec=run.spec,
        system=system,
        provenance=run.provenance,
        sessions=tuple(run.sessions),
        scorers=run.scorers,
        corpora=tuple(run.corpora),
        summary=summary,
        standard_errors={metric: clustered_standard_error(list(found.values())) for metric, found in values.items()},
        by_cluster={
            metric: {cluster: (math.fsum(each), len(each)) for cluster, each in found.items()}
            for metric, found in values.items()
        },
        by_position=_by_position(run, clusters),
        tokens=_mean_tokens([answer.tokens for answer in answered]),
        peak_bytes=run.peak_bytes,
        warmups=sum(answer.warmup for answer in run.answers.values()),
        shared=any(prepared.shared for _, prepared in run.prepared),
        unscored=sum(answer.error is None and key not in run.scores for key, answer in run.answers.items()),
        complete=run.complete,
        written=_written_by(run) if compared_in_tokens(run.spec, system) else (),
        unit=unit,
        units=len(run.corpora) if unit == "draw" else len(set(clusters.values())),
        values=run.values,
        judging=judged_run(run),
        squares={
            metric: math.fsum(value * value for each in found.values() for value in each)
            for metric, found in values.items()
        },
    )


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


def _mean_tokens(counts: Sequence[TokenCounts]) -> MeanTokens:
    if not counts:
        return MeanTokens(None, None, None)
    told = any(each.cached is not None for each in counts)
    reasoning = [each.reasoning for each in counts]
    return MeanTokens(
        prompt=statistics.fmean(each.prompt for each in counts),
        cached=statistics.fmean(each.cached or 0 for each in counts) if told else None,
        output=statistics.fmean(each.output for each in counts),
        reasoning=None if None in reasoning else statistics.fmean(each or 0 for each in reasoning),
    )


def _written_by(run: RunRecord) -> tuple[int, ...]:
    return tuple(_hash_of(run.answers.get(key)) for key in run.gold)


def _hash_of(answer: Answer | None) -> int:
    # A hash of numbers is the same in every process; one of texts is not.
    return hash(answer.output_ids) if answer is not None and answer.error is None and answer.output_ids else 0


def _by_position(run: RunRecord, clusters: Mapping[Key, int]) -> dict[str, dict[int, Sums]]:
    """Return sums of each metric's values by fifth of the corpus and cluster. A question counts once for each fact."""
    found: dict[str, dict[tuple[int, int], tuple[float, int]]] = {}
    unscored = dict.fromkeys(next(iter(run.scores.values()), {}), 0.0)
    for key, places in run.positions.items():
        spots = [(min(int(place * FIFTHS), FIFTHS - 1), clusters[key]) for place in places]
        for metric, value in run.scores.get(key, unscored).items():
            if value is None:
                continue
            sums = found.setdefault(metric, {})
            for spot in spots:
                total, count = sums.get(spot, (0.0, 0))
                sums[spot] = (total + value, count + 1)
    return {
        metric: {
            fifth: {cluster: each for (other, cluster), each in sums.items() if other == fifth}
            for fifth in sorted({fifth for fifth, _ in sums})
        }
        for metric, sums in found.items()
    }
