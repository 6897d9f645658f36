"""Which system to use: rules over measured figures, given how many questions, which limits and which prices.

Pure: knows no file and no text. The page computes the same in `page/decide.js`, and a test holds one to the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rmtbench.analysis.changes import TippingPoint, crossings, limits, losses, too_large
from rmtbench.analysis.contest import Candidate, Contest, Terms, difference, score_of, total_cost
from rmtbench.analysis.pairs import LEVEL
from rmtbench.analysis.standings import Standing, fewest_without_variation, standings
from rmtbench.analysis.units import FEWEST_UNITS

VerdictKind = Literal["best", "only", "tie", "more data", "none"]
MOST_UNITS = 1000
"""Beyond so many draws or questions the verdict says "more than"."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to use, and how sure that is. Systems are positions in the contest's candidates.

    Attributes:
        kind: `best`: better than every other that fits. `only`: no other fits. `tie`: several cannot be told apart,
            though a difference that matters would have shown. `more data`: it would not have. `none`: nothing fits.
        choice: What to use: the best; of a tie the cheapest; without enough data the one that is ahead.
        rival: The best of the others (`best`), or the best of those not told apart from the leader.
        leader: The highest score among those that fit.
        alike: Those not told apart from the leader, itself first.
        units_needed: More draws, or questions, that would do (`more data`) if differences and their spread stay as they
            are; None for more than `MOST_UNITS`.
        at_least: Whether that number is a lower bound, since nothing is known of the variation yet.
        detectable: The largest difference that could have been missed (`tie`, `more data`); None where undefined.
        out: Those that do not fit, with the reason: `unfit`, `seconds` or `memory`.
        costs: Total cost of each candidate, preparation included; None where it has no time.
        changes: What would change the verdict.
        standings: How each other that fits stands to the leader, the best first.
        comparisons: How many comparisons share the chance of a mistake.
    """

    kind: VerdictKind
    choice: int | None
    rival: int | None
    leader: int | None
    alike: tuple[int, ...]
    units_needed: int | None
    at_least: bool
    detectable: float | None
    out: tuple[tuple[int, str], ...]
    costs: tuple[float | None, ...]
    changes: tuple[TippingPoint, ...]
    standings: tuple[Standing, ...] = ()
    comparisons: int = 1

    def standing(self, place: int) -> Standing | None:
        """How a candidate stands to the leader; None for the leader itself and for those that do not fit."""
        return next((each for each in self.standings if each.place == place), None)


Decided = tuple[Contest, Verdict]
"""What was measured, and what the rules made of it."""


def decide_all(contests: Iterable[Contest], terms: Terms) -> tuple[Decided, ...]:
    """Return contests with their verdicts: see `decide`."""
    return tuple((each, decide(each, terms)) for each in contests)


def decide(contest: Contest, terms: Terms) -> Verdict:
    """Apply the rules of `docs/explanation/decision.md`.

    Args:
        contest: What was measured.
        terms: What is asked for.
    """
    costs = tuple(total_cost(candidate, terms) for candidate in contest.candidates)
    out = tuple((place, why) for place, each in enumerate(contest.candidates) if (why := _why_out(each, terms)))
    fit = [place for place in range(len(costs)) if place not in dict(out)]
    ranked = sorted(fit, key=lambda place: (-score_of(contest, place), costs[place] or 0.0, place))
    if not ranked:
        changes = tuple(limits(contest, None, out, terms))
        return Verdict("none", None, None, None, (), None, False, None, out, costs, changes)
    leader = ranked[0]
    held = standings(contest, leader, ranked[1:], terms.margin)
    alike = [each for each in held if each.state != "worse"]
    unknown = [each for each in alike if each.state == "unknown"]
    kind: VerdictKind = "more data" if unknown else "tie" if alike else "best" if held else "only"
    level = [leader, *(each.place for each in alike)]
    choice = min(level, key=lambda place: (costs[place] or 0.0, place)) if kind == "tie" else leader
    rivals = level if alike else ranked
    needed, at_least = _more(contest, leader, unknown, terms.margin)
    return Verdict(
        kind=kind,
        choice=choice,
        rival=next((place for place in rivals if place != choice), None),
        leader=leader,
        alike=tuple(level),
        units_needed=needed,
        at_least=at_least,
        detectable=max((each.detectable for each in alike if each.detectable is not None), default=None),
        out=out,
        costs=costs,
        changes=(
            *crossings(contest, choice, fit, terms),
            *losses(contest, choice, fit, costs, terms.margin),
            *limits(contest, leader, out, terms),
        ),
        standings=held,
        comparisons=max(1, contest.family.count),
    )


def fewest_units(contest: Contest) -> int:
    """Return the fewest draws, or questions, with which anything can be proven: more where Holm counts all pairs."""
    count = contest.family.count if contest.family.all_pairs else 1
    return next(units for units in range(FEWEST_UNITS, MOST_UNITS) if count * 2.0 ** (1 - units) < LEVEL)


def _why_out(candidate: Candidate, terms: Terms) -> str:
    if candidate.unfit:
        return "unfit"
    if terms.max_seconds is not None and (candidate.slow is None or candidate.slow > terms.max_seconds):
        return "seconds"
    return "memory" if too_large(candidate, terms) else ""


def _more(contest: Contest, leader: int, unknown: Sequence[Standing], margin: float) -> tuple[int | None, bool]:
    """More units until every open comparison would be settled, and whether that is only a lower bound."""
    from rmtbench.analysis.stats.power import clusters_needed

    if not unknown:
        return None, False
    at_least, fewest = False, fewest_units(contest)
    level = LEVEL / max(1, contest.family.count)
    most = fewest
    for each in unknown:
        pair = difference(contest, leader, each.place)
        effect = max(abs(pair.difference), margin)
        needed = clusters_needed(effect, pair.standard_error, pair.clusters, significance=level, fewest=fewest)
        if needed is None:
            # One that is equally large in every unit is proven by the fewest; one that is never there needs more.
            proving = pair.clusters < 2 or abs(pair.difference) > margin
            needed = fewest if proving else fewest_without_variation(contest, margin)
            at_least = True
        most = max(most, needed)
    return (None if most > MOST_UNITS else max(1, most - contest.units)), at_least
