"""How runs differ on the questions that they share, and which differences the draws can tell from chance.

`compare_sums` is what `rmtbench compare`, `rmtbench decide` and the report ask, so that all three say the same interval
for the same pair. NumPy and SciPy are imported when a comparison is asked for.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from rmtbench.analysis.run_figures import RunFigures, Sums
from rmtbench.analysis.sections import Grid, Row
from rmtbench.analysis.units import Unit

if TYPE_CHECKING:
    from rmtbench.analysis.stats.paired import PairedDifference

SEED = 0
"""Of the bootstrap and the test: the same runs give the same figures."""
CONFIDENCE = 0.95
"""Of all intervals."""
LEVEL = 0.05
"""Below this a p-value after Holm's adjustment is called significant."""

_Alike = tuple[tuple[int, int], ...]
"""Clusters in which two runs have values of the same questions, each with the number of these questions."""


@dataclass(frozen=True, slots=True)
class Pair:
    """How two runs differ, the first minus the second.

    Attributes:
        first: Row and run.
        second: The other.
        metric: What is compared.
        difference: Mean over the shared questions.
        low: Lower end of the 95 % interval of the cluster bootstrap; None where it is undefined.
        high: Upper end.
        p: Of the sign-flip test; None where it is undefined.
        adjusted: By Holm, over all pairs of this dataset, size and metric.
        detectable: The difference that four of five such experiments would find; None where it is undefined.
        draws: That both answered.
        questions: In these draws.
        unit: What the two are compared by.
        units: How many of these there are.
    """

    first: tuple[Row, RunFigures]
    second: tuple[Row, RunFigures]
    metric: str
    difference: float
    low: float | None
    high: float | None
    p: float | None
    adjusted: float | None
    detectable: float | None
    draws: int
    questions: int
    unit: Unit
    units: int

    @property
    def significant(self) -> bool:
        """Whether p stays below 0.05 after Holm's adjustment and the interval does not hold 0: neither is enough."""
        return excludes_zero(self.low, self.high, self.adjusted)

    @property
    def needed(self) -> int | None:
        """Units that would show a difference as large as this one, before Holm; None where that is undefined."""
        from rmtbench.analysis.stats.power import clusters_needed, minimum_detectable_effect

        if self.detectable is None:
            return None
        # The detectable effect is the standard error times this.
        factor = minimum_detectable_effect(1.0, self.units) or 1.0
        return clusters_needed(self.difference, self.detectable / factor, self.units)


def excludes_zero(low: float | None, high: float | None, adjusted: float | None) -> bool:
    """Whether a difference is proven: by the interval and by the adjusted test, so that no two tables disagree."""
    if low is None or high is None or adjusted is None:
        return False
    return adjusted < LEVEL and not low <= 0 <= high


def compare_sums(runs: Sequence[Sums], clusters: Iterable[int]) -> dict[tuple[int, int], PairedDifference]:
    """Compare every two of several runs on the clusters that all of them answered alike.

    Args:
        runs: Each run's sums by cluster, with the same number of questions in each of `clusters`.
        clusters: Which clusters, at least one.

    Returns:
        By the runs' positions, the smaller first.
    """
    from rmtbench.analysis.stats.paired import paired_differences

    ordered = sorted(clusters)
    totals = [[run[cluster][0] for cluster in ordered] for run in runs]
    return paired_differences(totals, [runs[0][cluster][1] for cluster in ordered], seed=SEED, level=CONFIDENCE)


def compare_each(runs: Sequence[Sums], clusters: Iterable[int]) -> dict[tuple[int, int], float]:
    """Test each of several runs against each other on the clusters that all of them answered alike.

    Args:
        runs: As for `compare_sums`.
        clusters: As for `compare_sums`.

    Returns:
        p, corrected for the number of others, by the positions of the one run and the other; empty for one cluster.
    """
    from rmtbench.analysis.stats.leader import against_each

    ordered = sorted(clusters)
    return against_each([[run[cluster][0] for cluster in ordered] for run in runs], seed=SEED)


def compare_all(grid: Grid, size: str, metric: str) -> tuple[Pair, ...]:
    """Compare every pair of complete, scored runs at one size.

    Args:
        grid: The runs.
        size: The size.
        metric: What is compared. Of draws in which it applies to other questions of the one run than of the other,
            none counts.

    Returns:
        Pairs in the order of rows; those without a draw in common, and runs of another scorer, are left out.
    """
    from rmtbench.analysis.stats.multiple import holm

    runs = [(row, run) for row, run in grid.at(size) if run is not None and not why_left_out(run, metric)]
    sums = [run.by_cluster[metric] for _, run in runs]
    shared = _pairs_by_clusters([run for _, run in runs], metric)
    found: dict[tuple[int, int], tuple[PairedDifference, int]] = {}
    for clusters, pairs in shared.items():
        members = sorted({place for pair in pairs for place in pair})
        together = compare_sums([sums[place] for place in members], [each for each, _ in clusters])
        questions = sum(count for _, count in clusters)
        for first, second in pairs:
            found[first, second] = together[members.index(first), members.index(second)], questions
    order = sorted(found)
    adjusted = holm([found[pair][0].p for pair in order])
    return tuple(
        Pair(
            first=runs[first],
            second=runs[second],
            metric=metric,
            difference=difference.difference,
            low=difference.low,
            high=difference.high,
            p=difference.p,
            adjusted=after,
            detectable=difference.detectable,
            draws=difference.clusters if runs[first][1].unit == "draw" else runs[first][1].summary.draws,
            questions=questions,
            unit=runs[first][1].unit,
            units=difference.clusters,
        )
        for (first, second), after in zip(order, adjusted, strict=True)
        for difference, questions in [found[first, second]]
    )


def why_left_out(run: RunFigures, metric: str) -> str:
    """Why a run is in no comparison; empty where it is in."""
    if not run.complete:
        return "incomplete"
    if not run.scored or run.summary.means.get(metric) is None:
        return "not scored"
    return ""


def _pairs_by_clusters(runs: Sequence[RunFigures], metric: str) -> dict[_Alike, list[tuple[int, int]]]:
    """Every two runs with the same scorer that share clusters, by these clusters."""
    # Runs that were asked alike share the same with a third one: most pairs of a study need no look.
    numbers: dict[Hashable, int] = {}
    asked = [numbers.setdefault(_asked_in(run, metric), len(numbers)) for run in runs]
    known: dict[tuple[int, int], _Alike] = {}
    shared: dict[_Alike, list[tuple[int, int]]] = {}
    for first, second in combinations(range(len(runs)), 2):
        mine, theirs, alike = runs[first], runs[second], (asked[first], asked[second])
        if mine.scorers.get(metric) != theirs.scorers.get(metric):
            continue
        if alike not in known:
            known[alike] = _shared(mine, theirs, metric)
        if known[alike]:
            shared.setdefault(known[alike], []).append((first, second))
    return shared


def _asked_in(run: RunFigures, metric: str) -> Hashable:
    """All that `_shared` knows of a run."""
    counts = tuple((each, count) for each, (_, count) in run.by_cluster.get(metric, {}).items())
    return run.unit, run.asked, counts, tuple(run.lacking.get(metric, {}).items())


def _shared(one: RunFigures, other: RunFigures, metric: str) -> _Alike:
    """Clusters that both were asked alike and in which the metric applies to the same questions of both."""
    mine, theirs = one.by_cluster.get(metric, {}), other.by_cluster.get(metric, {})
    lacked, missed = one.lacking.get(metric, {}), other.lacking.get(metric, {})
    both = mine.keys() & theirs.keys()
    if one.unit == "draw":
        both &= {draw for draw, _ in one.asked & other.asked}
    elif one.asked != other.asked:  # questions have the same numbers only where all of them are the same
        both = set()
    return tuple((each, mine[each][1]) for each in sorted(both) if lacked.get(each) == missed.get(each))
