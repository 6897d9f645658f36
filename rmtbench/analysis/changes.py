"""What would change a verdict: other numbers of questions, a loss that may be acceptable, and wider limits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rmtbench.analysis.break_even import break_even, first_cheaper
from rmtbench.analysis.contest import Candidate, Contest, Terms, difference, line_of_cost, score_of

MOST_CHANGES = 3
MOST_LOSS = 0.1
"""A system that loses more is not named, however cheap it is."""
LARGEST_SHARE = 0.25
"""Of the chosen one's score; a system that loses more is not named either."""
LEAST_SAVING = 1.2
"""Name a system with a lower score only if the chosen one costs at least this many times as much."""
FARTHEST = 1000.0
"""Numbers of questions so many times more, or fewer, than those that were asked for are left out."""


@dataclass(frozen=True, slots=True)
class TippingPoint:
    """Something that would change the verdict.

    Attributes:
        kind: `questions`: from `at` questions a corpus on, `system` costs less than `other`. `loss`: if so much of the
            metric less is acceptable, `system` costs less. `seconds`, `memory`: with a limit of `at`, `system` is in.
        system: Position of the candidate that it speaks of.
        other: Of the one it is held against.
        at: Questions, difference of the metric, seconds or bytes.
        high: Upper end of the difference's interval (`loss`); None where it is undefined.
        ratio: Cost of `other` over cost of `system` (`loss`), or the gain in the metric (`seconds`, `memory`).
    """

    kind: Literal["questions", "loss", "seconds", "memory"]
    system: int
    other: int
    at: float
    high: float | None = None
    ratio: float | None = None


def crossings(contest: Contest, choice: int, fit: Sequence[int], terms: Terms) -> list[TippingPoint]:
    """Numbers of questions from which on another system, or the choice, becomes the cheaper one; the nearest first."""
    own = line_of_cost(contest.candidates[choice], terms)
    found = []
    for place in fit:
        other = line_of_cost(contest.candidates[place], terms)
        if place == choice or own is None or other is None:
            continue
        at = break_even(own, other)
        if at is not None:
            cheaper, dearer = (choice, place) if own.each < other.each else (place, choice)
            found.append(TippingPoint("questions", cheaper, dearer, float(first_cheaper(at))))
    found = [each for each in found if 1 / FARTHEST <= each.at / terms.questions <= FARTHEST]
    found.sort(key=lambda change: (abs(math.log(change.at / terms.questions)), change.system, change.other))
    return found[:MOST_CHANGES]


def losses(
    contest: Contest, choice: int, fit: Sequence[int], costs: Sequence[float | None], margin: float
) -> list[TippingPoint]:
    """Systems that cost clearly less and score little less, each cheaper than every one that loses less."""
    found: list[TippingPoint] = []
    most = max(margin, min(MOST_LOSS, LARGEST_SHARE * score_of(contest, choice)))
    cheapest = (costs[choice] or 0.0) / LEAST_SAVING
    below = [place for place in fit if place != choice]
    for place in sorted(below, key=lambda place: (-score_of(contest, place), costs[place] or 0.0, place)):
        pair, cost = difference(contest, choice, place), costs[place] or 0.0
        if 0 <= pair.difference <= most and cost < cheapest:
            ratio = (costs[choice] or 0.0) / cost if cost else None
            found.append(TippingPoint("loss", place, choice, pair.difference, pair.high, ratio))
            cheapest = cost
    return found[:MOST_CHANGES]


def limits(contest: Contest, leader: int | None, out: Sequence[tuple[int, str]], terms: Terms) -> list[TippingPoint]:
    """Systems that one limit alone keeps out though they scored more than the leader, the best first."""
    floor = -math.inf if leader is None else score_of(contest, leader)
    kept = [
        (place, why)
        for place, why in out
        if why == "memory" or (why == "seconds" and not too_large(contest.candidates[place], terms))
        if score_of(contest, place) > floor
    ]
    kept.sort(key=lambda each: (-score_of(contest, each[0]), each[0]))
    changes = []
    for place, why in kept[:MOST_CHANGES]:
        candidate = contest.candidates[place]
        at = candidate.slow if why == "seconds" else candidate.memory
        if at is not None:
            gain = None if leader is None else round(score_of(contest, place) - floor, 7)
            other = place if leader is None else leader
            changes.append(TippingPoint("seconds" if why == "seconds" else "memory", place, other, at, ratio=gain))
    return changes


def too_large(candidate: Candidate, terms: Terms) -> bool:
    """Return whether a system takes more memory than is allowed; one that was not measured does."""
    return terms.max_memory is not None and (candidate.memory is None or candidate.memory > terms.max_memory)
