"""What a judge said of a run's answers beside exact match and F1, how many judgements failed, and what they cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from rmtbench.errors import UserError
from rmtbench.journal.checks import damaged
from rmtbench.journal.columns import ABSENT, ANSWERED, EMPTY, FAILED, GIVEN, NOT_APPLICABLE, RunColumns, Scores
from rmtbench.options import flag

JUDGED = "judged"
"""The value that a judge gives every answer: 1 for correct, 0 for incorrect, none where the judgement failed."""
BESIDE = {"em": 1.0, "f1": 0.5}
"""Values that a judge is compared with, and from which value on they take an answer for right."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often a judge and another metric say the same, over the answers that the judge was asked about.

    Attributes:
        both: Answers that both take for right.
        judge: Right by the judge alone.
        metric: Right by the metric alone.
        neither: Right by neither.
    """

    both: int
    judge: int
    metric: int
    neither: int

    @property
    def answers(self) -> int:
        """All answers."""
        return self.both + self.judge + self.metric + self.neither

    @property
    def rate(self) -> float | None:
        """Share of the answers of which the two say the same; None without any."""
        return (self.both + self.neither) / self.answers if self.answers else None

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa: agreement beyond chance, 1 at most; None where one of the two says the same of all answers.

        Chance then explains all of the agreement, so kappa says nothing.
        """
        if not self.answers:
            return None
        by_judge, by_metric = self.both + self.judge, self.both + self.metric
        if by_judge in (0, self.answers) or by_metric in (0, self.answers):
            return None
        chance = by_judge * by_metric + (self.answers - by_judge) * (self.answers - by_metric)
        expected = chance / self.answers**2
        return ((self.both + self.neither) / self.answers - expected) / (1 - expected)


@dataclass(frozen=True, slots=True)
class JudgeAccount:
    """Who judged a run, and what that cost, as the run's summary states it: see docs/reference/judge.md.

    Attributes:
        name: The judge.
        identity: A hash of what decides its verdicts.
        prompt: Version and hash of the prompt.
        served: Names under which its server answered.
        reasons: How often judgements failed, by reason.
        calls: Calls, second ones included.
        asked_again: Answers that needed two.
        prompt_tokens: Tokens read; None where a server does not say.
        output_tokens: Tokens written; None likewise.
        seconds: Of all calls.
        cost: By the price; None without one.
        price: Model, source and date of the price, and its currency; None without one.
    """

    name: str
    identity: str
    prompt: str
    served: tuple[str, ...]
    reasons: Mapping[str, int]
    calls: int
    asked_again: int
    prompt_tokens: int | None
    output_tokens: int | None
    seconds: float
    cost: float | None
    price: tuple[str, str] | None

    @classmethod
    def read(cls, row: Mapping[str, Any], where: str) -> Self:
        """Return an account from its JSON values.

        Raises:
            UserError: One is missing or of the wrong type.
        """
        try:
            price = row["price"]
            told = None if price is None else f"price of {price['model']}: {price['source']}, {price['date']}"
            return cls(
                name=str(row["name"]),
                identity=str(row["identity"])[:16],
                prompt=f"{row['prompt_version']} {str(row['prompt_sha256'])[:8]}",
                served=tuple(map(str, row["served"])),
                reasons={str(reason): int(count) for reason, count in row["reasons"].items()},
                calls=int(row["calls"]),
                asked_again=int(row["asked_again"]),
                prompt_tokens=None if row["prompt_tokens"] is None else int(row["prompt_tokens"]),
                output_tokens=None if row["output_tokens"] is None else int(row["output_tokens"]),
                seconds=float(row["seconds"]),
                cost=None if row["cost"] is None else float(row["cost"]),
                price=None if told is None else (told, str(price["currency"])),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            remedy = f"delete that file and give `rmtbench score` with the same {flag.judge}: verdicts are kept"
            raise UserError(damaged(where, error).what, where=where, remedy=remedy) from error


@dataclass(frozen=True, slots=True)
class JudgedRun:
    """A run's judgements.

    Attributes:
        account: Who judged, and what that cost.
        correct: Answers judged correct.
        incorrect: Answers judged incorrect, failed and empty ones included.
        not_judged: Answers whose judgement failed.
        agreement: With each of `BESIDE` that was scored.
    """

    account: JudgeAccount
    correct: int
    incorrect: int
    not_judged: int
    agreement: Mapping[str, Agreement]

    @property
    def mean(self) -> float | None:
        """Share of correct answers among those with a verdict; None without any."""
        judged = self.correct + self.incorrect
        return self.correct / judged if judged else None

    @property
    def bounds(self) -> tuple[float, float]:
        """The share over all answers if those not judged were all incorrect, and if they were all correct."""
        answers = self.correct + self.incorrect + self.not_judged
        return self.correct / answers, (self.correct + self.not_judged) / answers


def judged_run(run: RunColumns) -> JudgedRun | None:
    """Return the judgements of a run; None of one that was not judged.

    Args:
        run: The run, scored or not.

    Raises:
        UserError: Its summary is damaged.
    """
    account, judged = run.head.accounts.get(JUDGED), run.columns.scores.get(JUDGED)
    if account is None or judged is None:
        return None
    values = [
        None if kind == NOT_APPLICABLE else value
        for value, kind in zip(judged.values, judged.kinds, strict=True)
        if kind != ABSENT
    ]
    asked = [
        at
        for at, state in enumerate(run.columns.states)
        # About failed and empty answers no judge is asked, and all metrics agree.
        if state & (ANSWERED | FAILED | EMPTY) == ANSWERED and judged.kinds[at] != ABSENT
    ]
    return JudgedRun(
        account=JudgeAccount.read(account, str(run.head.folder.summary)),
        correct=values.count(1.0),
        incorrect=values.count(0.0),
        not_judged=values.count(None),
        agreement={
            metric: _agreement(asked, judged, scores, least)
            for metric, least in BESIDE.items()
            if (scores := run.columns.scores.get(metric)) and all(scores.kinds[at] != ABSENT for at in asked)
        },
    )


def _agreement(asked: Iterable[int], judged: Scores, scores: Scores, least: float) -> Agreement:
    pairs = [(judged.values[at] == 1.0, scores.values[at] >= least) for at in asked if judged.kinds[at] == GIVEN]
    return Agreement(*(pairs.count(pair) for pair in ((True, True), (True, False), (False, True), (False, False))))
