"""What `--dry-run` prints: every run with its time, and what is missing for it on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

from rmtbench.cli.folders import check_results
from rmtbench.cli.plan_costs import duration, say_cost
from rmtbench.cli.progress import note, telling_counter
from rmtbench.errors import MissingError, UserError
from rmtbench.plural import many

if TYPE_CHECKING:
    from rmtbench.corpora.base import Dataset, TokenCounter
    from rmtbench.options.request import Request
    from rmtbench.runs.estimate import DrawKey, Drawn, Estimate, Planned

Asked = TypeVar("Asked")


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
        from rmtbench.runs.forecast import finished_runs
        from rmtbench.runs.needs import find_limit
        from rmtbench.scoring.check import check_scorer

        check_results(results)
        self.told: list[tuple[Request, Estimate]] = []
        self.needs: list[Need] = []
        self._results, self._fresh = results, fresh
        self._known, unreadable = finished_runs(results)
        for error in unreadable:
            note(f"a finished run tells no time: {error}")
        self._counter, self._limit = cache(_counter_or_error), cache(find_limit)
        self._scorer, self._embedder = cache(_error_of(check_scorer)), cache(_error_of(_check_embedder))
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
        counter = str(_said(count_tokens, where)) if isinstance(count_tokens, UserError) else count_tokens
        limit = None if refused else self._limit(request.model, request.adapter)
        made = estimate(session, self._results, self._known, counter, limit=limit, fresh=self._fresh, drawn=self._drawn)
        for run in made.planned:
            typer.echo(_line(run, request))
        for misfit in made.skipped:
            note(f"{misfit.spec.system} skipped: {misfit.error.what}")
        self.told.append((request, made))
        self._need(request, where, _error_of(_check_judge)(request))
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


def _error_of(check: Callable[[Asked], object]) -> Callable[[Asked], UserError | None]:
    """Return a check that returns its error, or None where nothing is wrong."""

    def error_of(asked: Asked) -> UserError | None:
        try:
            check(asked)
        except UserError as error:
            return error
        return None

    return error_of


def _check_embedder(name: str | None) -> None:
    """Refuse an embedder that is needed and not here; one behind a server need not be."""
    from rmtbench.models.endpoint.address import is_endpoint
    from rmtbench.runs.needs import check_embedder

    if name is not None and not is_endpoint(name):
        check_embedder(name)


def _check_judge(request: Request) -> None:
    """Refuse a judge that cannot be asked. Nothing is contacted or loaded."""
    from rmtbench.models.endpoint.address import MissingKeyError
    from rmtbench.scoring.judge_model import find_judge

    try:
        judge = find_judge(request, os.environ)
        _ = judge and judge.name  # finds a local judge's files
    except MissingKeyError as error:
        raise MissingError(error.what, where=f"--judge ({error.where})", remedy=error.remedy) from error


def _said(error: UserError, where: str) -> UserError:
    """An error in the words of where its request stands: a file has keys, a command flags."""
    from rmtbench.runs.sweep import in_words_of_the_file

    return in_words_of_the_file(error, "") if where else error


def _say_needs(needs: Sequence[Need]) -> None:
    """What is missing for a plan, each once with the requests that need it."""
    alike: dict[tuple[str, str], list[Need]] = {}
    for need in needs:
        said = _said(need.error, need.where)
        alike.setdefault((str(said), said.remedy), []).append(need)
    for (what, remedy), some in alike.items():
        named = "; ".join(f"{each.request.dataset} {each.request.size}, {each.request.model_name}" for each in some)
        places = ", ".join(dict.fromkeys(each.where for each in some if each.where))
        note(f"needed first: {what}")
        note(f"  {remedy}")
        note(f"  for {f'{places}: ' if places else ''}{named}")


def data_of(request: Request) -> str:
    """A request's data, model and numbers in a few words."""
    questions = "all questions" if request.questions is None else f"at most {many(request.questions, 'question')} each"
    return f"{request.dataset} {request.size}  {request.model_name}  {many(request.draws, 'draw')}  {questions}"
