"""What `--dry-run` prints: every run, and what all of them will take, before anything is asked or paid."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from rmtbench.cli.progress import note
from rmtbench.errors import UserError

if TYPE_CHECKING:
    from rmtbench.corpora.base import TokenCounter
    from rmtbench.options.request import Request
    from rmtbench.runs.estimate import Estimate


class Planning:
    """A dry run: prints one line a run on stdout, its id and what it asks, and keeps what all will take."""

    def __init__(self, results: Path, *, fresh: bool) -> None:
        from rmtbench.runs.estimate import finished_runs

        self.told: list[tuple[Request, Estimate]] = []
        self._results, self._fresh = results, fresh
        self._known = finished_runs(results)
        self._counter = cache(_counter_or_error)

    def add(self, request: Request) -> None:
        """Print a request's runs and keep what they will take.

        Raises:
            UserError: The request cannot be done.
        """
        from rmtbench.journal.layout import run_id
        from rmtbench.runs.estimate import estimate
        from rmtbench.runs.session import open_session

        session = open_session(request, os.environ)
        for spec in session.specs:
            setting = spec.system if spec.top_k is None else f"{spec.system} top-{spec.top_k}"
            typer.echo(f"{run_id(spec)}  {setting}  {data_of(request)}")
        count_tokens = self._counter(request.model, request.tokenizer, request.adapter)
        refused = count_tokens if isinstance(count_tokens, UserError) else None
        counter = str(count_tokens) if isinstance(count_tokens, UserError) else count_tokens
        made = estimate(session, self._results, self._known, counter, fresh=self._fresh)
        self.told.append((request, made))
        if refused is not None and made.finished < made.runs:  # what is finished needs no model any more
            raise refused


def _counter_or_error(model: str, tokenizer: str | None, adapter: str | None) -> TokenCounter | str | UserError:
    """`find_counter`, its error kept: the same model is not looked for again by every request."""
    from rmtbench.runs.estimate import find_counter

    try:
        return find_counter(model, tokenizer, adapter)
    except UserError as error:
        return error


def say_cost(told: Sequence[tuple[Request, Estimate]], results: Path, requests: int) -> None:
    """What all of it will take, in a few lines; what cannot be known is said to be unknown."""
    from rmtbench.runs.estimate import CHARACTERS_A_TOKEN

    if not told:
        note("nothing is planned: every request is refused")
        return
    made = [each for _, each in told]
    refused = requests - len(told)
    without = f"; {refused} of {requests} requests are refused, and their runs not counted" if refused else ""
    runs, left = sum(each.runs for each in made), sum(map(_left, made))
    note(f"in all {runs} runs, {runs - left} of them finished already{without}")
    uncounted = [each for each in made if each.why and _left(each)]
    for why in dict.fromkeys(each.why for each in uncounted):
        note(f"questions and tokens cannot be counted: {why}")
    unknown = sum(map(_left, uncounted))
    rest = f"; unknown for {unknown} runs" if unknown else ""
    nothing_known = 0 < left == unknown
    questions, tokens = sum(each.questions or 0 for each in made), sum(each.tokens or 0 for each in made)
    counts = f"{questions:,} questions; about {tokens:,} tokens to read{rest}"
    if any(each.rough for each in made):
        counts += f" (about {CHARACTERS_A_TOKEN} characters each, for no tokenizer is named or known)"
    note("questions and tokens to read: unknown" if nothing_known else counts)
    for line in (*_served(told, left), *_judged(told)):
        note(line)
    note(f"time: {_time(made, results)}")
    limits = dict.fromkeys(request.cache_limit for request, _ in told if request.kv_cache is not None)
    caches = "".join(f", and key-value caches of at most {limit}" for limit in limits)
    answers = f"about {max(0.1, sum(each.bytes for each in made) / 1e6):,.1f} MB of answers"
    note(f"disk: {'unknown' if nothing_known else answers}{caches}{'' if nothing_known else rest}")


def _served(told: Sequence[tuple[Request, Estimate]], left: int) -> list[str]:
    """Calls, longest answers and price of what servers are asked; nothing where none is."""
    from rmtbench.report.numbers import money
    from rmtbench.runs.bill import Bill

    asked = [(request, each) for request, each in told if each.bill is not None]
    if not left or not asked:
        return []
    bill = sum((each.bill for _, each in asked if each.bill is not None), Bill())
    embedded = f", {bill.embedded:,} embedded" if bill.embedded else ""
    lines = [f"calls: about {bill.calls:,}; {bill.sent:,} tokens sent, at most {bill.written:,} written{embedded}"]
    prices = []
    for currency in sorted({each.costs.currency for _, each in asked if each.costs is not None}):
        costs = [each.costs for _, each in asked if each.costs is not None and each.costs.currency == currency]
        most, least = sum(cost.most for cost in costs), sum(cost.if_cached for cost in costs)
        cached = f" ({money(least, currency)} if the server's cache holds the corpora)" if least < 0.99 * most else ""
        prices.append(f"at most about {money(most, currency)}{cached}")
    unpriced = dict.fromkeys(_unpriced(request) for request, each in asked if each.costs is None)
    prices += [f"unknown for {', '.join(unpriced)}: no price is known (--prices)"] if unpriced else []
    return [*lines, f"price: {'; '.join(prices)}"]


def _judged(told: Sequence[tuple[Request, Estimate]]) -> list[str]:
    """Return how many answers each judge is asked about at most; its cost depends on the answers."""
    judges = dict.fromkeys(request.judge for request, each in told if request.judge is not None and _left(each))
    asked = {judge: sum(each.questions or 0 for request, each in told if request.judge == judge) for judge in judges}
    return [
        f"judge {judge}: at most {questions:,} answers, each in one call or two; not in the price"
        for judge, questions in asked.items()
    ]


def _unpriced(request: Request) -> str:
    from rmtbench.models.endpoint.address import is_endpoint

    return " and ".join(name for name in (request.model, request.embedder) if is_endpoint(name))


def _left(made: Estimate) -> int:
    return made.runs - made.finished


def _time(made: Sequence[Estimate], results: Path) -> str:
    """How long it takes, and why that is unknown of some runs."""
    timed = sum(each.timed for each in made)
    known = f"about {duration(sum(each.seconds for each in made))} for {timed} runs, as finished ones here took"
    parts = [known] if timed else []
    for counted, reason in (
        (True, f"no finished run of theirs from this machine in {results}"),
        (False, "their tokens cannot be counted"),
    ):
        some = [each for each in made if bool(each.why) is not counted]
        count = sum(_left(each) - each.timed for each in some)
        names = ", ".join(dict.fromkeys(name for each in some for name in each.unknown))
        parts += [f"unknown for {count} runs ({names}): {reason}"] if count else []
    least = sum(each.limits_seconds for each in made)
    parts += [f"at least {duration(least)} by the limits a minute"] if least else []
    return "; ".join(parts) or "nothing is left to do"


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def data_of(request: Request) -> str:
    """A request's data, model and numbers in a few words."""
    questions = "all questions" if request.questions is None else f"at most {request.questions} questions each"
    return f"{request.dataset} {request.size}  {request.model_name}  {request.draws} draws  {questions}"
