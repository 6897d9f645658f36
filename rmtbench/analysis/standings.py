"""The leader against each other candidate: the one set of tests and intervals that verdicts and tables both print."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rmtbench.analysis.contest import Contest, difference
from rmtbench.analysis.pairs import LEVEL, excludes_zero
from rmtbench.analysis.units import FEWEST_UNITS

if TYPE_CHECKING:
    from rmtbench.analysis.stats.paired import PairedDifference

State = Literal["worse", "alike", "unknown"]


@dataclass(frozen=True, slots=True)
class Standing:
    """How one candidate stands to the leader.

    Attributes:
        place: Its position among the candidates.
        difference: The leader's mean minus its own, on the same questions.
        low: Lower end of the 95 % interval, which holds 0 unless the difference is proven; None where undefined.
        high: Upper end.
        p: Of the sign flips, corrected for the family of comparisons; None where undefined.
        detectable: The difference that the strictest of these tests would find in four of five such experiments.
        state: `worse`: proven. `alike`: a difference that matters would have shown. `unknown`: neither.
    """

    place: int
    difference: float
    low: float | None
    high: float | None
    p: float | None
    detectable: float | None
    state: State


def standings(contest: Contest, leader: int, others: Sequence[int], margin: float) -> tuple[Standing, ...]:
    """Hold the leader against each other candidate.

    Args:
        contest: What was measured.
        leader: The candidate with the highest score of those within the limits.
        others: The others within the limits.
        margin: The smallest difference that matters.

    Returns:
        In the order of `others`.
    """
    return tuple(
        _standing(
            contest, place, difference(contest, leader, place), contest.family.adjusted.get((leader, place)), margin
        )
        for place in others
    )


def fewest_without_variation(contest: Contest, margin: float) -> int:
    """Return the number of units without any difference that is needed to call two systems as good as each other."""
    from rmtbench.analysis.stats.power import trials_to_exclude

    questions = contest.questions / contest.units if contest.unit == "draw" else 1.0
    return max(FEWEST_UNITS, math.ceil(trials_to_exclude(margin) / questions))


def _standing(contest: Contest, place: int, pair: PairedDifference, p: float | None, margin: float) -> Standing:
    from rmtbench.analysis.stats.power import minimum_detectable_effect

    level = LEVEL / max(1, contest.family.count)
    found = minimum_detectable_effect(pair.standard_error, pair.clusters, significance=level)
    proven = excludes_zero(pair.low, pair.high, p)
    low, high = pair.low, pair.high
    if low is not None and high is not None and not proven:
        # What the test does not exclude, the interval that is printed beside it may not exclude either.
        low, high = min(low, 0.0), max(high, 0.0)
    return Standing(place, pair.difference, low, high, p, found, _state(contest, pair, margin, found, proven=proven))


def _state(contest: Contest, pair: PairedDifference, margin: float, found: float | None, *, proven: bool) -> State:
    if pair.clusters < FEWEST_UNITS:
        return "unknown"
    if (
        pair.low is not None
        and pair.high is not None
        and pair.standard_error
        and (-margin <= pair.low <= pair.high <= margin)
    ):
        return "alike"  # whatever the difference is, it is none that matters
    if proven and pair.difference > 0:
        return "worse"
    if abs(pair.difference) > margin:
        return "unknown"  # too few units for the test to prove what was seen, however little it varies
    if found is None:
        return "alike" if pair.clusters >= fewest_without_variation(contest, margin) else "unknown"
    return "alike" if found <= margin else "unknown"
