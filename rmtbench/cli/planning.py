"""What `--dry-run` prints: every run, and what all of them will take, before anything is asked or paid."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from rmtbench.cli.folders import check_results
from rmtbench.cli.progress import note, telling_counter
from rmtbench.errors import MissingError, UserError
from rmtbench.plural import many

if TYPE_CHECKING:
    from rmtbench.corpora.base import Dataset, TokenCounter
    from rmtbench.options.request import Request
    from rmtbench.runs.estimate import DrawKey, Drawn, Estimate, Planned


@dataclass(frozen=True, slots=True)
class Need:
    """What a request needs and this machine has not, with the place in a file that the request came from."""

    where: str
    request: Request
    error: MissingError


class Planning:
    """A dry run: prints one line a run on stdout, and keeps what all will take.

    A line has the run's id, what it asks, and how long it takes: by which finished run, or ``time not known``. What is
    missing on this machine is told and refuses nothing.
    """

    def __init__(self, results: Path, *, fresh: bool) -> None:
        from rmtbench.runs.estimate import finished_runs

        check_results(results)
        self.told: list[tuple[Request, Estimate]] = []
        self.needs: list[Need] = []
        self._results, self._fresh = results, fresh
        self._known, unreadable = finished_runs(results)
        for error in unreadable:
            note(f"a finished run tells no time: {error}")
        self._counter = cache(_counter_or_error)
        self._scorer, self._embedder = cache(_scorer_error), cache(_embedder_error)
        self._drawn: dict[DrawKey, Drawn] = {}
        self._opened: dict[tuple[object, ...], Dataset | UserError] = {}

    def add(self, request: Request, where: str = "") -> None:
        """Print a request's runs and keep what they will take.

        Args:
            request: What is asked.
            where: The place in a file that it came from.

        Raises:
            UserError: The request cannot be done, whatever is fetched or installed.
        """
        from rmtbench.runs.estimate import estimate
        from rmtbench.runs.session import open_session

        try:
            session = open_session(request, os.environ, self._open)
        except MissingError as missing:
            self.needs.append(Need(where, request, missing))
            found = self._counter(request.model, request.tokenizer, request.adapter)
            self._need(request, where, found if isinstance(found, UserError) else None, self._scorer(request.scorer))
            typer.echo(f"(run id not known)  {','.join(request.systems)}  {data_of(request)}  time not known")
            return
        count_tokens = self._counter(request.model, request.tokenizer, request.adapter)
        refused = count_tokens if isinstance(count_tokens, UserError) else None
        counter = str(count_tokens) if isinstance(count_tokens, UserError) else count_tokens
        made = estimate(session, self._results, self._known, counter, fresh=self._fresh, drawn=self._drawn)
        for run in made.planned:
            typer.echo(_line(run, request))
        for misfit in made.skipped:
            note(f"{misfit.spec.system} skipped: {misfit.error.what}")
        self.told.append((request, made))
        self._need(request, where, _judge_error(request))
        if made.finished == made.runs:  # what is finished needs no model any more
            return
        embedders = dict.fromkeys(run.spec.embedder for run in made.planned if not run.finished)
        self._need(request, where, refused, *map(self._embedder, embedders), self._scorer(request.scorer))

    def say(self, requests: int) -> None:
        """Print what all of it will take, and what is missing for it.

        Args:
            requests: How many were asked; those that were refused are not counted.
        """
        say_cost(self.told, self._results, requests, missing=len(self._undrawn()))
        _say_needs(self.needs)

    def _need(self, request: Request, where: str, *errors: UserError | None) -> None:
        """Keep what is missing for a request.

        Raises:
            UserError: The first that is wrong, and not only missing.
        """
        for error in errors:
            if isinstance(error, MissingError):
                self.needs.append(Need(where, request, error))
            elif error is not None:
                raise error

    def _undrawn(self) -> list[Need]:
        """Requests whose data is not here, so that not even their runs' ids are known."""
        counted = [request for request, _ in self.told]
        return [need for need in self.needs if need.request not in counted]

    def _open(self, request: Request, environ: Mapping[str, str]) -> Dataset:
        """Open the data of a request; what many requests share is read once."""
        from rmtbench.runs.session import open_data

        key = (request.dataset, request.data_dir, request.generated)
        if key not in self._opened:
            try:
                self._opened[key] = open_data(request, environ)
            except UserError as error:
                self._opened[key] = error
        found = self._opened[key]
        if isinstance(found, UserError):
            raise found
        return found


def _line(run: Planned, request: Request) -> str:
    from rmtbench.journal.layout import run_id

    setting = run.spec.system if run.spec.top_k is None else f"{run.spec.system} top-{run.spec.top_k}"
    if run.finished:
        time = "finished"
    elif run.forecast is not None:
        time = f"about {duration(run.forecast.seconds)}, an estimate by {run.forecast.by}"
    else:
        time = "time not known"
    made = " (miniature)" if run.spec.data.startswith("miniature:") else ""
    return f"{run_id(run.spec)}  {setting}  {data_of(request)}{made}  {time}"


def _counter_or_error(model: str, tokenizer: str | None, adapter: str | None) -> TokenCounter | UserError:
    """`find_counter`, its error kept: the same model is not looked for again by every request."""
    from rmtbench.runs.needs import find_counter, rough_count

    try:
        found = find_counter(model, tokenizer, adapter)
        return found if found is rough_count else telling_counter(found)
    except UserError as error:
        return error


def _scorer_error(name: str) -> UserError | None:
    """What is wrong with a scorer's model; None where it is here."""
    from rmtbench.scoring.check import check_scorer

    try:
        check_scorer(name)
    except UserError as error:
        return error
    return None


def _embedder_error(name: str | None) -> UserError | None:
    """What is wrong with an embedder; None where it is here, behind a server, or not needed."""
    from rmtbench.models.endpoint.address import is_endpoint
    from rmtbench.runs.needs import check_embedder

    if name is None or is_endpoint(name):
        return None
    try:
        check_embedder(name)
    except UserError as error:
        return error
    return None


def _judge_error(request: Request) -> UserError | None:
    """What is wrong with a judge; None where there is none, or it can be asked. Nothing is contacted or loaded."""
    from rmtbench.models.endpoint.address import MissingKeyError
    from rmtbench.scoring.judge_model import find_judge

    try:
        judge = find_judge(request, os.environ)
        _ = judge and judge.name  # finds a local judge's files
    except MissingKeyError as error:
        return MissingError(error.what, where=f"--judge ({error.where})", remedy=error.remedy)
    except UserError as error:
        return error
    return None


def _say_needs(needs: Sequence[Need]) -> None:
    """What is missing for a plan, each once with the requests that need it."""
    alike: dict[tuple[str, str], list[Need]] = {}
    for need in needs:
        alike.setdefault((str(need.error), need.error.remedy), []).append(need)
    for (what, remedy), some in alike.items():
        named = "; ".join(f"{each.request.dataset} {each.request.size}, {each.request.model_name}" for each in some)
        places = ", ".join(dict.fromkeys(each.where for each in some if each.where))
        note(f"needed first: {what}")
        note(f"  {remedy}")
        note(f"  for {f'{places}: ' if places else ''}{named}")


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


def data_of(request: Request) -> str:
    """A request's data, model and numbers in a few words."""
    questions = "all questions" if request.questions is None else f"at most {many(request.questions, 'question')} each"
    return f"{request.dataset} {request.size}  {request.model_name}  {many(request.draws, 'draw')}  {questions}"
