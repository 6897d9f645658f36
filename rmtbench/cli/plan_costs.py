"""What `--dry-run` says that all runs of a plan will take, before anything is asked or paid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rmtbench.cli.progress import note
from rmtbench.plural import many

if TYPE_CHECKING:
    from rmtbench.options.request import Request
    from rmtbench.runs.estimate import Estimate


def say_cost(told: Sequence[tuple[Request, Estimate]], results: Path, requests: int, missing: int = 0) -> None:
    """What all of it will take, in a few lines; what cannot be known is said to be unknown.

    Args:
        told: The requests that were planned.
        results: Folder of all runs.
        requests: How many were asked.
        missing: How many of them have no data here.
    """
    from rmtbench.runs.needs import CHARACTERS_A_TOKEN

    refused = requests - len(told) - missing
    if not told:
        note(
            "nothing can be counted: the data is not here"
            if missing
            else "nothing is planned: every request is refused"
        )
        return
    made = [each for _, each in told]
    asked = many(requests, "request")
    without = f"; {refused} of {asked} refused, and their runs not counted" if refused else ""
    without += f"; {missing} of {asked} without data here, and their runs not counted" if missing else ""
    runs, left = sum(each.runs for each in made), sum(map(_left, made))
    note(f"in all {many(runs, 'run')}, {runs - left} of them finished already{without}")
    uncounted = [each for each in made if each.why and _left(each)]
    for why in dict.fromkeys(each.why for each in uncounted):
        note(f"questions and tokens cannot be counted: {why}")
    unknown = sum(map(_left, uncounted))
    rest = f"; unknown for {many(unknown, 'run')}" if unknown else ""
    nothing_known = 0 < left == unknown
    questions, tokens = sum(each.questions or 0 for each in made), sum(each.tokens or 0 for each in made)
    counts = f"{many(questions, 'question')}; about {many(tokens, 'token')} to read{rest}"
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
        f"judge {judge}: at most {many(questions, 'answer')}, each in one call or two; not in the price"
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
    known = f"about {duration(sum(each.seconds for each in made))} for {many(timed, 'run')}, as finished ones here took"
    parts = [known] if timed else []
    for counted, reason in (
        (True, f"no finished run of theirs from this machine in {results}"),
        (False, "their tokens cannot be counted"),
    ):
        some = [each for each in made if bool(each.why) is not counted]
        count = sum(_left(each) - each.timed for each in some)
        names = ", ".join(dict.fromkeys(name for each in some for name in each.unknown))
        parts += [f"unknown for {many(count, 'run')} ({names}): {reason}"] if count else []
    least = sum(each.limits_seconds for each in made)
    parts += [f"at least {duration(least)} by the limits a minute"] if least else []
    return "; ".join(parts) or "nothing is left to do"


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
