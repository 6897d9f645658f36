"""Which differences between systems the draws can tell from chance: all pairs of one dataset and size, compared fairly.

Pairs share the draws that both answered. NumPy and SciPy are imported when a comparison is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from rmtbench.analysis.figure_data import Record
from rmtbench.analysis.grid import Grid, Row
from rmtbench.analysis.metrics import METRICS
from rmtbench.analysis.run_figures import Cell
from rmtbench.analysis.units import FEWEST_UNITS, Unit
from rmtbench.report.notes import RANDOM, name_of
from rmtbench.report.numbers import MISSING
from rmtbench.report.tables import Table

SEED = 0
"""Of the bootstrap and the test: the same runs give the same figures."""
LEVEL = 0.05
STAR = "★"
UNDEFINED = "undefined"
MATRIX_METRIC = "f1"
"""Metric of the matrices; the files hold all of `QUALITY`."""


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

    first: tuple[Row, Cell]
    second: tuple[Row, Cell]
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
        """Whether it stays below 0.05 after Holm's adjustment."""
        return self.adjusted is not None and self.adjusted < LEVEL


def compare_all(grid: Grid, size: str, metric: str) -> tuple[Pair, ...]:
    """Every pair of complete, scored runs at one size.

    Args:
        grid: The runs.
        size: The size.
        metric: One that applies to every question.

    Returns:
        Pairs in the order of rows; those without a draw in common, and runs of another scorer, are left out.
    """
    from rmtbench.analysis.stats.multiple import holm
    from rmtbench.analysis.stats.power import minimum_detectable_effect
    from rmtbench.analysis.stats.resampling import sign_flip_test
    from rmtbench.analysis.stats.together import PairedDifference, paired_differences

    runs = [(row, cell) for row, cell in grid.at(size) if cell is not None and not why_left_out(cell, metric)]
    shared: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    for first, second in combinations(range(len(runs)), 2):
        mine, theirs = runs[first][1], runs[second][1]
        if mine.scorers.get(metric) == theirs.scorers.get(metric) and (clusters := _shared(mine, theirs, metric)):
            shared.setdefault(clusters, []).append((first, second))
    found: dict[tuple[int, int], tuple[PairedDifference, float | None, int]] = {}
    for clusters, pairs in shared.items():
        members = sorted({place for pair in pairs for place in pair})
        totals = [[runs[place][1].by_cluster[metric][cluster][0] for cluster in clusters] for place in members]
        counts = [runs[members[0]][1].by_cluster[metric][cluster][1] for cluster in clusters]
        together = paired_differences(totals, counts, seed=SEED)
        for first, second in pairs:
            above, below = members.index(first), members.index(second)
            # The test flips whole clusters, so that their sums are all that it needs.
            sums = [[one - other] for one, other in zip(totals[above], totals[below], strict=True)]
            test = sign_flip_test(sums, seed=SEED)
            found[first, second] = together[above, below], test.p if test else None, sum(counts)
    order = sorted(found)
    adjusted = holm([found[pair][1] for pair in order])
    return tuple(
        Pair(
            first=runs[first],
            second=runs[second],
            metric=metric,
            difference=difference.difference,
            low=difference.low,
            high=difference.high,
            p=p,
            adjusted=after,
            detectable=minimum_detectable_effect(difference.standard_error, difference.clusters),
            draws=difference.clusters if runs[first][1].unit == "draw" else runs[first][1].summary.draws,
            questions=questions,
            unit=runs[first][1].unit,
            units=difference.clusters,
        )
        for (first, second), after in zip(order, adjusted, strict=True)
        for difference, p, questions in [found[first, second]]
    )


def why_left_out(cell: Cell, metric: str) -> str:
    """Why a run is in no comparison; empty where it is in."""
    if not cell.complete:
        return "incomplete"
    if not cell.scored or cell.summary.means.get(metric) is None:
        return "not scored"
    return ""


def matrix_table(grid: Grid, size: str, pairs: Sequence[Pair]) -> Table | None:
    """Differences of all pairs as a matrix: above the diagonal the difference, below it the adjusted p.

    Args:
        grid: The runs.
        size: The size.
        pairs: All its pairs in one metric.

    Returns:
        The matrix; None without a pair.
    """
    if not pairs:
        return None
    names = list(dict.fromkeys(grid.full_label(row) for pair in pairs for row, _ in (pair.first, pair.second)))
    known = {(grid.full_label(pair.first[0]), grid.full_label(pair.second[0])): pair for pair in pairs}
    ordered = [grid.full_label(row) for row, _ in grid.at(size) if grid.full_label(row) in names]
    rows = tuple((f"{place + 1} {name}", *_matrix_row(ordered, known, place)) for place, name in enumerate(ordered))
    units, unit = {pair.units for pair in pairs}, pairs[0].unit
    notes = []
    if units != {1}:
        notes.append(f"{STAR} significant at {LEVEL} after Holm's adjustment for {len(pairs)} comparisons")
    if 1 in units:
        notes.append(f"? undefined: with one {unit} nothing but the difference is defined; ask for more {unit}s")
    elif min(units) < FEWEST_UNITS:
        notes.append(f"fewer than six {unit}s can show nothing at 0.05: the smallest p is 2^(1 - {unit}s)")
    if any(cell.random_weights for pair in pairs for _, cell in (pair.first, pair.second)):
        notes.append(f"{RANDOM} random weights: the scores and their differences mean nothing")
    left = [
        f"{name_of(cell)} ({why})"
        for _, cell in grid.at(size)
        if cell is not None and (why := why_left_out(cell, pairs[0].metric))
    ]
    if left:
        notes.append(f"left out: {'; '.join(left)}")
    metric = dict(METRICS)[pairs[0].metric]
    return Table(
        title=f"Differences in {metric}, {grid.name}, {size}",
        caption="Above the diagonal: the row's mean minus the column's on the same questions. Below: p of the "
        f"sign-flip test after Holm. {_told(units, unit)}; intervals and detectable effects stand in the list of "
        "pairs.",
        columns=("system", *(str(place + 1) for place in range(len(ordered)))),
        rows=rows,
        labels=1,
        notes=tuple(notes),
    )


def pairs_table(grid: Grid, size: str, pairs: Sequence[Pair]) -> Table | None:
    """All pairs as a list, with everything that is known of each; None without a pair."""
    if not pairs:
        return None
    return Table(
        title=f"Pairs in {dict(METRICS)[pairs[0].metric]}, {grid.name}, {size}",
        caption="Difference: first minus second. 95 % interval by the cluster bootstrap; p by sign flips, then after "
        "Holm; detectable: the true difference that four of five such experiments would find.",
        columns=("first", "second", "difference", "from", "to", "p", "after Holm", "detectable", "draws", "questions"),
        rows=tuple(
            (
                grid.full_label(pair.first[0]),
                grid.full_label(pair.second[0]),
                f"{signed(pair.difference)}{STAR if pair.significant else ''}",
                UNDEFINED if pair.low is None else signed(pair.low),
                UNDEFINED if pair.high is None else signed(pair.high),
                p_text(pair.p),
                p_text(pair.adjusted),
                UNDEFINED if pair.detectable is None else f"{pair.detectable:.3f}",
                str(pair.draws),
                str(pair.questions),
            )
            for pair in pairs
        ),
        labels=2,
    )


def pair_record(grid: Grid, size: str, pair: Pair) -> Record:
    """A pair's figures for scripts; what is undefined is None."""

    def name(prefix: str, run: tuple[Row, Cell]) -> Record:
        row, cell = run
        return {f"{prefix}_system": row.label, f"{prefix}_top_k": row.top_k, f"{prefix}_run_id": cell.run_id}

    def digits(value: float | None) -> float | None:
        return None if value is None else round(value, 5)

    return {
        "dataset": grid.dataset,
        "size": size,
        "metric": pair.metric,
        **name("first", pair.first),
        **name("second", pair.second),
        "difference": digits(pair.difference),
        "low": digits(pair.low),
        "high": digits(pair.high),
        "p": digits(pair.p),
        "p_holm": digits(pair.adjusted),
        "significant": pair.significant,
        "detectable": digits(pair.detectable),
        "draws": pair.draws,
        "questions": pair.questions,
    }


def signed(value: float) -> str:
    """A difference with its sign and three decimals; what rounds to nothing has none."""
    text = f"{value:+.3f}"
    return "0.000" if float(text) == 0 else text.replace("-", "−")


def p_text(p: float | None) -> str:
    """A p-value with three decimals, ``<.001`` below, or that it is undefined."""
    return UNDEFINED if p is None else "<.001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def _matrix_row(names: Sequence[str], known: dict[tuple[str, str], Pair], place: int) -> list[str]:
    cells = []
    for column, other in enumerate(names):
        above = column > place
        pair = known.get((names[place], other) if above else (other, names[place]))
        if column == place:
            cells.append("")
        elif pair is None:
            cells.append(MISSING)
        elif above:
            cells.append(f"{signed(pair.difference)}{STAR if pair.significant else ''}")
        else:
            cells.append("?" if pair.adjusted is None else p_text(pair.adjusted))
    return cells


def _shared(one: Cell, other: Cell, metric: str) -> tuple[int, ...]:
    """Clusters that both were asked alike and that the metric applies to in both alike."""
    mine, theirs = one.by_cluster.get(metric, {}), other.by_cluster.get(metric, {})
    if one.unit != "draw":  # questions have the same numbers only where all of them are the same
        alike = one.asked == other.asked and mine.keys() == theirs.keys()
        return tuple(sorted(each for each in mine if alike and mine[each][1] == theirs[each][1]))
    return tuple(
        sorted(
            draw
            for draw, _ in one.asked & other.asked
            if draw in mine and draw in theirs and mine[draw][1] == theirs[draw][1]
        )
    )


def _told(units: set[int], unit: Unit) -> str:
    return f"{' or '.join(map(str, sorted(units)))} {unit}{'' if units == {1} else 's'}"
