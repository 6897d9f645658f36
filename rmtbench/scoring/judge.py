"""Correctness as a language model judges it, from question, references and answer: see docs/reference/judge.md.

It is made only where a judge is named. Failed judgements have no value and are counted; verdicts are kept on disk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rmtbench.core import MetricValue
from rmtbench.errors import AnswerError, UserError
from rmtbench.files import cache_folder
from rmtbench.models.endpoint.prices import Price
from rmtbench.options import flag
from rmtbench.scoring.base import Item, Metric, MetricKind, Progress
from rmtbench.scoring.judge_cache import Case, Verdict, VerdictCache
from rmtbench.scoring.judge_model import Judge, JudgeReply
from rmtbench.scoring.judge_prompt import VERSION, prompt_hash, verdict_of

NAME = "judged"
NO_VERDICT = "two replies were no verdict"
MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class NotJudged:
    """A judgement that failed: why, and what it cost all the same."""

    reason: str
    replies: tuple[JudgeReply, ...] = ()


Outcome = Verdict | NotJudged


class Judged:
    """The `Metric`; asks about every distinct answer once, whatever the number of systems.

    Args:
        judge: Gives the verdicts.
        folder: Where verdicts are kept.
    """

    def __init__(self, judge: Judge, folder: Path) -> None:
        self._judge, self._folder = judge, folder
        self._outcomes: dict[Case, Outcome] = {}

    @property
    def scorers(self) -> Mapping[str, str]:
        """The judge's name and hash, and the prompt's version and hash."""
        judge = f"{self._judge.name} {self._judge.identity[:16]}"
        return {NAME: f"{judge}, prompt {VERSION} {prompt_hash()[:8]}"}

    def score(self, items: Sequence[Item], progress: Progress) -> list[dict[str, float | None]]:
        """Judge each item: 1 if the answer is correct, else 0; None where the judgement failed.

        A failed or empty answer is incorrect, and no judge is asked. Every other answer is judged, even one that is
        equal to a reference.

        Raises:
            UserError: The judge cannot be contacted or loaded, or verdicts cannot be kept.
        """
        cache = VerdictCache(self._folder, self._judge.identity)
        cases = list(dict.fromkeys(made for item in items if (made := case_of(item)) is not None))
        self._outcomes = {**cache.read(cases)}
        missing = [each for each in cases if each not in self._outcomes]
        progress(NAME, len(self._outcomes), len(cases))

        def keep(one: Case, outcome: Outcome) -> None:
            self._outcomes[one] = outcome
            if isinstance(outcome, Verdict):
                cache.write(one, outcome)
            progress(NAME, len(self._outcomes), len(cases))

        if missing:
            self._judge.check()
            self._ask_about(missing, keep)
        return [{NAME: self._value(item)} for item in items]

    def account(self, items: Sequence[Item]) -> dict[str, Any]:
        """Return who judged a run's items, how many, and what that costs; verdicts found on disk cost what they did.

        Args:
            items: All items of one run, which were scored before.
        """
        cases = [case_of(item) for item in items]
        outcomes = [self._outcomes[each] for each in cases if each is not None]
        distinct = [self._outcomes[each] for each in dict.fromkeys(cases) if each is not None]
        failed = [each.reason for each in outcomes if isinstance(each, NotJudged)]
        return {
            "name": self._judge.name,
            "identity": self._judge.identity,
            "prompt_version": VERSION,
            "prompt_sha256": prompt_hash(),
            **self._judge.facts,
            "served": sorted({each.served for each in distinct if isinstance(each, Verdict) and each.served}),
            "answers": len(items),
            "without_call": cases.count(None),
            "judged": len(outcomes) - len(failed),
            "not_judged": len(failed),
            "reasons": dict(sorted(Counter(failed).items())),
            **_spent(distinct, self._judge.price),
        }

    def _value(self, item: Item) -> float | None:
        found = case_of(item)
        if found is None:
            return 0.0
        outcome = self._outcomes[found]
        return float(outcome.correct) if isinstance(outcome, Verdict) else None

    def _ask_about(self, cases: Sequence[Case], keep: Callable[[Case, Outcome], None]) -> None:
        """Judge each case, several at once where the judge allows it; `keep` is given outcomes as they come."""
        ask = _until_hopeless(self._judge)
        if self._judge.at_once == 1:  # a model on this machine stays in this thread
            for each in cases:
                keep(each, ask(each))
            return
        with ThreadPoolExecutor(self._judge.at_once) as pool:
            waiting = {pool.submit(ask, each): each for each in cases}
            try:
                for future in as_completed(waiting):
                    keep(waiting[future], future.result())
            except BaseException:  # an interruption too: nothing more is paid for
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def case_of(item: Item) -> Case | None:
    """Return what there is to judge of an item; None for a failed or empty answer."""
    return Case(item.question, item.gold.references, item.text) if item.text.strip() else None


def judge_once(judge: Judge, what: Case) -> Outcome:
    """Ask for a verdict, and once more where the first reply is none.

    Args:
        judge: The judge.
        what: The case.

    Returns:
        The verdict with what both calls cost, or why there is none.

    Raises:
        UserError: There will be no verdict on any other case either.
    """
    replies: list[JudgeReply] = []
    for again in (False, True):
        try:
            reply = judge.ask(what, again=again)
        except AnswerError as error:
            return NotJudged(str(error), tuple(replies))
        replies.append(reply)
        correct = verdict_of(reply.text)
        if correct is not None:
            return replace(_sum(replies), correct=correct)
    return NotJudged(NO_VERDICT, tuple(replies))


def _until_hopeless(judge: Judge) -> Callable[[Case], Outcome]:
    """`judge_once`, whose first error that stops all the others is the reason of each of them too."""
    stopped: list[str] = []

    def ask(what: Case) -> Outcome:
        if stopped:
            return NotJudged(stopped[0])
        try:
            return judge_once(judge, what)
        except UserError as error:
            stopped.append(str(error))
            return NotJudged(stopped[0])

    return ask


def _sum(replies: Sequence[JudgeReply]) -> Verdict:
    counts = ("prompt_tokens", "cached_tokens", "output_tokens")
    return Verdict(
        correct=False,
        calls=len(replies),
        **{name: _total([getattr(each, name) for each in replies]) for name in counts},
        seconds=sum(each.seconds for each in replies),
        served=next((each.served for each in replies), None),
    )


def _total(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _spent(outcomes: Sequence[Outcome], price: Price | None) -> dict[str, Any]:
    """Calls, tokens, seconds and price of some outcomes, failed ones included; None where a server does not say."""
    made = [each if isinstance(each, Verdict) else _sum(each.replies) for each in outcomes]
    prompt, output = (_total([getattr(each, name) for each in made]) for name in ("prompt_tokens", "output_tokens"))
    cost = None
    if price is not None and prompt is not None and output is not None:
        cached = sum(each.cached_tokens or 0 for each in made)
        read = (prompt - cached) * price.input + cached * price.cached_input
        cost = (read + output * price.output) / MILLION
    return {
        "calls": sum(each.calls for each in made),
        "asked_again": sum(each.calls > 1 for each in made),
        "prompt_tokens": prompt,
        "output_tokens": output,
        "seconds": round(sum(each.seconds for each in made), 4),
        "cost": cost,
        "price": None if price is None else price.row(),
    }


def judged_metric(judge: Judge) -> Metric:
    """The metric with its verdicts kept in the user's cache folder."""
    return Judged(judge, cache_folder() / "judge")


def _unnamed(_scorer_model: str) -> Metric:
    raise UserError(
        "no model is named that judges",
        where=f"--metrics {NAME}",
        remedy=f"name one, such as {flag.judge} openai:gpt-4o-mini",
    )


METRIC = MetricKind(
    NAME,
    (MetricValue(NAME, "judged correct", order=25, missing="were not judged because the judge failed"),),
    _unnamed,
    judged=judged_metric,
)
