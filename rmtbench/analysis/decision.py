"""Which system to use: rules over measured figures, given how many questions, which limits and which prices.

Pure: knows no file and no text. The page computes the same in `page/decide.js`, and a test holds one to the other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rmtbench.analysis.break_even import CostLine, break_even, first_cheaper
from rmtbench.analysis.stats.power import clusters_needed, minimum_detectable_effect, trials_to_exclude
from rmtbench.analysis.units import FEWEST_UNITS, Unit

if TYPE_CHECKING:
    from rmtbench.analysis.stats.paired import PairedDifference

VerdictKind = Literal["best", "only", "tie", "more data", "none"]
MOST_UNITS = 1000
"""Beyond so many draws or questions the verdict says "more than"."""
MOST_CHANGES = 3


@dataclass(frozen=True, slots=True)
class Candidate:
    """One run as a decision sees it.

    Attributes:
        name: System, setting and top-k.
        run_id: The run.
        unfit: Why it cannot be chosen, whatever the limits; empty where it can.
        score: Mean of the metric; None where it was not made.
        error: Its clustered standard error.
        preparation: Seconds that getting a corpus ready takes.
        seconds: Mean seconds of the machine a question; None without a timed answer.
        slow: Seconds to the answer that nine of ten questions keep to.
        memory: Most bytes taken while preparing and answering: the device's, else the process's; None if unknown.
        kept: Bytes kept for answering.
        tokens: Mean tokens a question: read anew, read from a cache, written.
        prepared_tokens: Tokens read to get a corpus ready.
        spared: Whether `preparation` leaves out work that an earlier run had done, so that it is too little.
    """

    name: str
    run_id: str
    unfit: str
    score: float | None
    error: float | None
    preparation: float
    seconds: float | None
    slow: float | None
    memory: float | None
    kept: float
    tokens: tuple[float, float, float]
    prepared_tokens: float
    spared: bool = False


@dataclass(frozen=True, slots=True)
class Contest:
    """Runs between which one may choose: one section, dataset, size and metric.

    Attributes:
        section: Its section's title.
        dataset: The dataset as its grid names it.
        size: The size.
        model: The model under test.
        metric: What decides.
        unit: What is independent of its like: a draw of documents, or a question where the documents are all there are.
        units: Of these, that all fit candidates answered.
        questions: Questions in them.
        candidates: All runs, unfit ones included.
        pairs: By position in `candidates`, the smaller first: how two fit ones differ.
        label: The metric's heading; empty where nothing but its name is known.
    """

    section: str
    dataset: str
    size: str
    model: str
    metric: str
    unit: Unit
    units: int
    questions: int
    candidates: tuple[Candidate, ...]
    pairs: Mapping[tuple[int, int], PairedDifference]
    label: str = ""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a person asks for.

    Attributes:
        questions: Questions that one corpus will get.
        max_seconds: Longest wait for an answer that nine of ten questions may take; None for any.
        max_memory: Most bytes; None for any.
        price_per_hour: Of the machine.
        price_input: Of a million tokens read anew.
        price_cached: Of a million tokens read from a cache.
        price_output: Of a million tokens written.
        margin: The smallest difference of the metric that matters.
    """

    questions: int = 200
    max_seconds: float | None = None
    max_memory: float | None = None
    price_per_hour: float = 0.0
    price_input: float = 0.0
    price_cached: float = 0.0
    price_output: float = 0.0
    margin: float = 0.02

    def __post_init__(self) -> None:
        prices = (self.price_per_hour, self.price_input, self.price_cached, self.price_output)
        limits = [limit for limit in (self.max_seconds, self.max_memory) if limit is not None]
        if self.questions < 1 or not all(math.isfinite(price) and price >= 0 for price in prices):
            raise ValueError("at least one question, and prices from zero up")
        if not all(0 < limit < math.inf for limit in limits) or not 0 < self.margin < 1:
            raise ValueError("limits above zero and finite, and a margin between 0 and 1")

    @property
    def priced(self) -> bool:
        """Whether costs are money; else they are seconds of the machine."""
        return any((self.price_per_hour, self.price_input, self.price_cached, self.price_output))


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
        units_needed: More draws, or questions, that would do (`more data`); None for more than `MOST_UNITS`.
        at_least: Whether that number is a lower bound, since nothing is known of the variation yet.
        detectable: The largest difference that could have been missed (`tie`, `more data`); None where undefined.
        out: Those that do not fit, with the reason: `unfit`, `seconds` or `memory`.
        costs: Total cost of each candidate, preparation included; None where it has no time.
        changes: What would change the verdict.
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


def decide(contest: Contest, terms: Terms) -> Verdict:
    """Apply the rules of `docs/explanation/decision.md`.

    Args:
        contest: What was measured.
        terms: What is asked for.
    """
    costs = tuple(_total(candidate, terms) for candidate in contest.candidates)
    out = tuple((place, why) for place, each in enumerate(contest.candidates) if (why := _why_out(each, terms)))
    fit = [place for place in range(len(costs)) if place not in dict(out)]
    ranked = sorted(fit, key=lambda place: (-_score(contest, place), costs[place] or 0.0, place))
    if not ranked:
        changes = _limits(contest, None, out)
        return Verdict("none", None, None, None, (), None, False, None, out, costs, changes)
    leader = ranked[0]
    states = {place: _state(contest, difference(contest, leader, place), terms.margin) for place in ranked[1:]}
    alike = [place for place, state in states.items() if state != "worse"]
    unknown = [place for place in alike if states[place] == "unknown"]
    kind: VerdictKind = "more data" if unknown else "tie" if alike else "best" if len(ranked) > 1 else "only"
    choice = min((leader, *alike), key=lambda place: (costs[place] or 0.0, place)) if kind == "tie" else leader
    rivals = alike or ranked[1:]
    needed, at_least = _more(contest, leader, unknown, terms.margin)
    found = [difference(contest, leader, place).detectable for place in alike]
    return Verdict(
        kind=kind,
        choice=choice,
        rival=next((place for place in (leader, *rivals) if place != choice), None),
        leader=leader,
        alike=(leader, *alike),
        units_needed=needed,
        at_least=at_least,
        detectable=max((value for value in found if value is not None), default=None),
        out=out,
        costs=costs,
        changes=(
            *_crossings(contest, choice, fit, terms),
            *_losses(contest, choice, fit, costs),
            *_limits(contest, leader, out),
        ),
    )


def difference(contest: Contest, first: int, second: int) -> PairedDifference:
    """How two fit candidates differ, the first minus the second.

    Raises:
        KeyError: One of them is not fit.
    """
    return contest.pairs[first, second] if first < second else contest.pairs[second, first].exchanged


def detectable_factors() -> list[float | None]:
    """Return the detectable effect of a standard error of one, by the number of draws from 0 to `MOST_UNITS`."""
    return [minimum_detectable_effect(1.0, count) for count in range(MOST_UNITS + 1)]


def line_of_cost(candidate: Candidate, terms: Terms) -> CostLine | None:
    """Return the cost of any number of questions: money where there are prices, else seconds; None without a time."""
    if candidate.seconds is None:
        return None
    if not terms.priced:
        return CostLine(candidate.name, candidate.preparation, candidate.seconds)
    an_hour = terms.price_per_hour / 3600
    prices = (terms.price_input, terms.price_cached, terms.price_output)
    tokens = sum(price * count for price, count in zip(prices, candidate.tokens, strict=True)) / 1e6
    fixed = candidate.preparation * an_hour + candidate.prepared_tokens * terms.price_input / 1e6
    return CostLine(candidate.name, fixed, candidate.seconds * an_hour + tokens)


def _total(candidate: Candidate, terms: Terms) -> float | None:
    line = line_of_cost(candidate, terms)
    return None if line is None else line.total(terms.questions)


def _why_out(candidate: Candidate, terms: Terms) -> str:
    if candidate.unfit:
        return "unfit"
    if terms.max_seconds is not None and (candidate.slow is None or candidate.slow > terms.max_seconds):
        return "seconds"
    if terms.max_memory is not None and (candidate.memory is None or candidate.memory > terms.max_memory):
        return "memory"
    return ""


def _score(contest: Contest, place: int) -> float:
    score = contest.candidates[place].score
    if score is None:  # unfit, and never asked
        raise ValueError(f"{contest.candidates[place].name} has no score")
    return score


def _state(contest: Contest, pair: PairedDifference, margin: float) -> Literal["worse", "alike", "unknown"]:
    """Whether the second is worse than the leader, as good as it, or nothing that can be said yet."""
    if pair.clusters < FEWEST_UNITS:
        return "unknown"
    if pair.low is not None and pair.high is not None:
        if pair.standard_error and -margin <= pair.low <= pair.high <= margin:
            return "alike"  # whatever the difference is, it is none that matters
        if pair.low > 0:
            return "worse"
    found = pair.detectable
    if found is None:
        return "alike" if pair.clusters >= _without_variation(contest, margin) else "unknown"
    return "alike" if found <= margin else "unknown"


def _without_variation(contest: Contest, margin: float) -> int:
    """Units without any difference that show two systems to be alike: as many as hold the questions that would do."""
    questions = contest.questions / contest.units if contest.unit == "draw" else 1.0
    return max(FEWEST_UNITS, math.ceil(trials_to_exclude(margin) / questions))


def _more(contest: Contest, leader: int, unknown: list[int], margin: float) -> tuple[int | None, bool]:
    """More units until every open comparison would be settled, and whether that is only a lower bound."""
    if not unknown:
        return None, False
    pairs = [difference(contest, leader, place) for place in unknown]
    most, at_least = 0, False
    for pair in pairs:
        needed = clusters_needed(max(abs(pair.difference), margin), pair.standard_error, pair.clusters)
        if needed is None:
            needed = FEWEST_UNITS if pair.clusters < 2 else _without_variation(contest, margin)
            at_least = True
        most = max(most, needed)
    return (None if most > MOST_UNITS else max(1, most - pairs[0].clusters)), at_least


def _crossings(contest: Contest, choice: int, fit: list[int], terms: Terms) -> list[TippingPoint]:
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
    found.sort(key=lambda change: (abs(math.log(change.at / terms.questions)), change.system, change.other))
    return found[:MOST_CHANGES]


def _losses(contest: Contest, choice: int, fit: list[int], costs: tuple[float | None, ...]) -> list[TippingPoint]:
    """Systems that cost less and score less, each cheaper than every one that loses less."""
    found: list[TippingPoint] = []
    cheapest = costs[choice] or 0.0
    below = [place for place in fit if place != choice]
    for place in sorted(below, key=lambda place: (-_score(contest, place), costs[place] or 0.0, place)):
        pair, cost = difference(contest, choice, place), costs[place] or 0.0
        if pair.difference >= 0 and cost < cheapest:
            ratio = (costs[choice] or 0.0) / cost if cost else None
            found.append(TippingPoint("loss", place, choice, pair.difference, pair.high, ratio))
            cheapest = cost
    return found[:MOST_CHANGES]


def _limits(contest: Contest, leader: int | None, out: tuple[tuple[int, str], ...]) -> tuple[TippingPoint, ...]:
    """Systems that a limit keeps out though they scored more than the leader, the best first."""
    floor = -math.inf if leader is None else _score(contest, leader)
    kept = [(place, why) for place, why in out if why in ("seconds", "memory") and _score(contest, place) > floor]
    kept.sort(key=lambda each: (-_score(contest, each[0]), each[0]))
    changes = []
    for place, why in kept[:MOST_CHANGES]:
        candidate = contest.candidates[place]
        at = candidate.slow if why == "seconds" else candidate.memory
        if at is not None:
            gain = None if leader is None else round(_score(contest, place) - floor, 7)
            other = place if leader is None else leader
            changes.append(TippingPoint("seconds" if why == "seconds" else "memory", place, other, at, ratio=gain))
    return tuple(changes)
