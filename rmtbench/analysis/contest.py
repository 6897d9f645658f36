"""Nouns of a decision: what may be chosen between, what a person asks for, and what each choice costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rmtbench.analysis.break_even import CostLine
from rmtbench.analysis.units import Unit

if TYPE_CHECKING:
    from rmtbench.analysis.stats.paired import PairedDifference


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
        low: Lower end of the score's 95 % interval; None where it is undefined.
        high: Upper end.
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
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Family:
    """The comparisons that share one chance of a mistake.

    Attributes:
        count: How many there are: the other candidates that may be chosen, or all pairs.
        adjusted: p, corrected for them, by the positions of the leader and of the other; none of one draw.
        all_pairs: Whether they are all pairs of runs, those with runs that cannot be chosen included.
    """

    count: int
    adjusted: Mapping[tuple[int, int], float | None]
    all_pairs: bool = False


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
        family: The comparisons that share one chance of a mistake.
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
    family: Family = Family(1, {})


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


def difference(contest: Contest, first: int, second: int) -> PairedDifference:
    """How two fit candidates differ, the first minus the second.

    Raises:
        KeyError: One of them is not fit.
    """
    return contest.pairs[first, second] if first < second else contest.pairs[second, first].exchanged


def score_of(contest: Contest, place: int) -> float:
    """Return the score of a fit candidate.

    Raises:
        ValueError: It has none, so that it is not fit.
    """
    score = contest.candidates[place].score
    if score is None:
        raise ValueError(f"{contest.candidates[place].name} has no score")
    return score


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


def total_cost(candidate: Candidate, terms: Terms) -> float | None:
    """Return the cost of the questions that are asked for, preparation included; None without a time."""
    line = line_of_cost(candidate, terms)
    return None if line is None else line.total(terms.questions)
