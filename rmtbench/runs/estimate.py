"""What a plan will take before it begins: questions, tokens to read, time by what finished runs took, and disk.

Computed from each request's first draw. A system that does not declare what it reads counts only with its questions.
No weights are loaded or converted for it.
"""

from __future__ import annotations

import math
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rmtbench.core import RunSpec
from rmtbench.corpora.base import TokenCounter
from rmtbench.runs.bill import Bill, Costs, request_bill, request_costs, seconds_by_limits
from rmtbench.runs.finished import unfinished
from rmtbench.runs.fit import Misfit, refusal_of, too_long, with_evidence
from rmtbench.runs.forecast import Forecast, Measured, forecast, reading_of
from rmtbench.runs.needs import rough_count
from rmtbench.runs.session import Session, make_one_draw
from rmtbench.systems.registry import find_system

ANSWER_BYTES = 1_500
"""On disk, of a question with its gold, its answer and its scores."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A run of a request, whether it is finished, and how long it takes if that is known."""

    spec: RunSpec
    finished: bool = False
    forecast: Forecast | None = None


@dataclass(frozen=True, slots=True)
class Drawn:
    """A first draw, as far as a plan asks: tokens of each document, its questions, and whether any has evidence.

    `corpus` is its id, and `dataset` the name of its data.
    """

    corpus: str
    dataset: str
    documents: Sequence[int]
    questions: int
    evidence: bool


DrawKey = tuple[object, ...]
"""What a first draw depends on."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the runs of one request will take, or its shard of them.

    Attributes:
        planned: The runs, in order.
        questions: Of all draws and unfinished runs together; None where the corpus cannot be drawn here.
        tokens: To read, of all draws and unfinished runs together; None as for questions.
        bytes: That the answers will take on disk.
        why: Why there is no count of questions and tokens; empty where there is.
        rough: Whether tokens are counted by their characters.
        bill: What servers are asked for; None where none is, or where it cannot be counted.
        costs: What that costs; None without a price.
        limits_seconds: What it takes at least by the limits a minute that the request sets.
        skipped: Runs that are not done, with the reason.
    """

    planned: Sequence[Planned]
    questions: int | None = None
    tokens: int | None = None
    bytes: int = 0
    why: str = ""
    rough: bool = False
    bill: Bill | None = None
    costs: Costs | None = None
    limits_seconds: float = 0.0
    skipped: Sequence[Misfit] = field(default_factory=tuple)

    @property
    def runs(self) -> int:
        """How many there are."""
        return len(self.planned)

    @property
    def finished(self) -> int:
        """How many of them are on disk; they count for nothing else."""
        return sum(run.finished for run in self.planned)

    @property
    def seconds(self) -> float:
        """Of the runs that a finished run predicts; loading and scoring are not in it."""
        return math.fsum(run.forecast.seconds for run in self.planned if run.forecast is not None)

    @property
    def timed(self) -> int:
        """How many runs these are."""
        return sum(run.forecast is not None for run in self.planned)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Systems of the other unfinished runs."""
        left = [run.spec.system for run in self.planned if not run.finished and run.forecast is None]
        return tuple(dict.fromkeys(left))


def estimate(
    session: Session,
    results: Path,
    known: Sequence[Measured],
    count_tokens: TokenCounter | str,
    *,
    limit: int | None = None,
    fresh: bool = False,
    drawn: MutableMapping[DrawKey, Drawn] | None = None,
) -> Estimate:
    """What the runs of an opened request will take.

    Args:
        session: The request, its data and its specs.
        results: Folder of all runs.
        known: Finished runs of any model that are to be compared with: see `finished_runs`.
        count_tokens: By the request's tokenizer, or why there is none: see `find_counter`.
        limit: Most tokens that the model takes; None if it sets no limit.
        fresh: Whether finished runs are done again.
        drawn: First draws of other requests, to which this one's is added; None for none.

    Raises:
        UserError: The data is too small for the size or without questions, an oracle has nothing to read, no run fits
            the model's context, or a run of this request is damaged.
    """
    request, draws = session.request, len(session.request.draw_numbers)
    specs = unfinished(session.specs, results, fresh=fresh, draws=request.draw_numbers)
    if isinstance(count_tokens, str):
        return Estimate([Planned(spec, spec not in specs) for spec in session.specs], why=count_tokens)
    draw = _first_draw(session, count_tokens, {} if drawn is None else drawn)
    skipped: list[Misfit] = []
    if specs and not draw.evidence:
        others = (make_one_draw(session, number, count_tokens) for number in request.draw_numbers)
        specs, skipped = with_evidence(specs, others, request.systems)
    corpus = sum(draw.documents)
    specs, long = _fitting(specs, draw, limit)
    skipped += long
    readings = {spec: reading_of(spec, find_system(spec.system), corpus, draw.questions, draws) for spec in specs}
    left_out = [misfit.spec for misfit in skipped]
    questions = draws * draw.questions * len(specs)
    bill = request_bill(session, specs, draw.documents, draw.questions, count_tokens)
    return Estimate(
        planned=[
            Planned(spec, spec not in readings, forecast(spec, readings[spec], known) if spec in readings else None)
            for spec in session.specs
            if spec not in left_out
        ],
        questions=questions,
        tokens=sum(reading.by_model for reading in readings.values()),
        bytes=ANSWER_BYTES * questions,
        rough=count_tokens is rough_count,
        bill=bill,
        costs=request_costs(session, bill),
        limits_seconds=seconds_by_limits(session, bill),
        skipped=skipped,
    )


def _fitting(specs: Sequence[RunSpec], draw: Drawn, limit: int | None) -> tuple[list[RunSpec], list[Misfit]]:
    """Return the runs that fit the model's context, and those whose documents are already too long.

    Raises:
        UserError: None fits.
    """
    tokens = sum(draw.documents)
    long = [
        too_long(spec, draw.corpus, draw.dataset, tokens, spec.max_answer_tokens, limit, "at least ")
        for spec in specs
        if "whole-corpus" in find_system(spec.system).needs
        and limit is not None
        and tokens + spec.max_answer_tokens > limit
    ]
    left_out = [misfit.spec for misfit in long]
    if specs and len(long) == len(specs):
        raise refusal_of(long)
    return [spec for spec in specs if spec not in left_out], long


def _first_draw(session: Session, count_tokens: TokenCounter, drawn: MutableMapping[DrawKey, Drawn]) -> Drawn:
    """The first draw of a request, made once for all requests that share it."""
    asked = session.request
    key = (session.dataset.source, session.dataset.name, asked.size, asked.seed, asked.questions, asked.model,
           asked.tokenizer, asked.adapter)  # fmt: skip
    if key not in drawn:
        made = make_one_draw(session, 0, count_tokens)
        documents = count_tokens([f"{document.title}\n{document.text}" for document in made.corpus.documents])
        corpus, evidence = made.corpus, any(gold.evidence for gold in made.gold)
        drawn[key] = Drawn(corpus.id, corpus.dataset, documents, len(corpus.questions), evidence)
    return drawn[key]
