"""`rmtbench sweep`: all runs of a file, one request after the other; what fails does not stop the rest."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rmtbench.cli.progress import note
from rmtbench.errors import UserError, resumable

if TYPE_CHECKING:
    from rmtbench.corpora.base import TokenCounter
    from rmtbench.runs.estimate import Estimate
    from rmtbench.runs.sweep import Sweep, SweepRequest
    from rmtbench.spec import Request


def sweep(
    file: Annotated[Path, typer.Argument(help="YAML: name, profile, description, runs (see experiments/).")],
    results: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("results"),
    fresh: Annotated[bool, typer.Option("--fresh", help="Start anew instead of resuming.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Open the data, print every run and the whole cost, and stop.")
    ] = False,
    data_dir: Annotated[
        Path | None, typer.Option(help="Official files: a folder or one file (in place of the file's data_dir).")
    ] = None,
    profile: Annotated[str | None, typer.Option(help="mini or paper (in place of the file's profile).")] = None,
    rmt: Annotated[
        Path | None, typer.Option(help="Folder of a trained memory, for rmt-... (in place of the file's rmt).")
    ] = None,
) -> None:
    """Do all runs of a file. The same command again resumes; finished runs are left alone."""
    from rmtbench.runs.sweep import read_sweep

    asked = read_sweep(file, data_dir, profile, rmt)
    _say_plan(asked)
    planning = _Planning(results, fresh=fresh) if dry_run else None
    failures: list[tuple[SweepRequest, UserError]] = []
    codes = {0}
    began = time.monotonic()
    for number, one in enumerate(asked.requests, start=1):
        place = f"[{number}/{len(asked.requests)}]"
        if not dry_run:
            note(f"{place} {_in_a_line(one.request)}")
        try:
            if planning is not None:
                planning.add(one.request)
            else:
                codes.add(_run(one.request, results, fresh=fresh))
        except UserError as error:
            note(f"{place} cannot be done: {error}")
            failures.append((one, error))
            codes.add(2)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other requests can still be done
            note(f"{place} failed:\n{traceback.format_exc()}")
            failures.append((one, _unexpected(error)))
            codes.add(1)
        if not dry_run:
            _say_progress(place, number, len(asked.requests), time.monotonic() - began)
    if planning is not None:
        _say_cost(planning.told, results, len(asked.requests))
    if failures:
        _say_failures(failures, len(asked.requests))
    elif not dry_run:
        note(f"next: rmtbench report {results}")
    raise typer.Exit(max(codes))


def _run(request: Request, results: Path, *, fresh: bool) -> int:
    from rmtbench.cli.running import run_request

    return run_request(request, results, fresh=fresh, say_next=False)


class _Planning:
    """A dry run: prints one line a run on stdout, its id and what it asks, and keeps what all will take."""

    def __init__(self, results: Path, *, fresh: bool) -> None:
        from rmtbench.runs.estimate import finished_runs

        self.told: list[tuple[Request, Estimate]] = []
        self._results, self._fresh = results, fresh
        self._known = finished_runs(results)
        self._counter = cache(_counter_or_error)

    def add(self, request: Request) -> None:
        from rmtbench.journal.layout import run_id
        from rmtbench.runs.estimate import estimate
        from rmtbench.runs.session import open_session

        session = open_session(request, os.environ)
        for spec in session.specs:
            setting = spec.system if spec.top_k is None else f"{spec.system} top-{spec.top_k}"
            typer.echo(f"{run_id(spec)}  {setting}  {_data(request)}")
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


def _say_cost(told: Sequence[tuple[Request, Estimate]], results: Path, requests: int) -> None:
    """What all of it will take, in a few lines; what cannot be known is said to be unknown."""
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
    note("questions and tokens to read: unknown" if nothing_known else counts)
    note(f"time: {_time(made, results)}")
    limits = dict.fromkeys(request.cache_limit for request, _ in told if request.kv_cache is not None)
    caches = "".join(f", and key-value caches of at most {limit}" for limit in limits)
    answers = f"about {max(0.1, sum(each.bytes for each in made) / 1e6):,.1f} MB of answers"
    note(f"disk: {'unknown' if nothing_known else answers}{caches}{'' if nothing_known else rest}")


def _left(made: Estimate) -> int:
    return made.runs - made.finished


def _time(made: Sequence[Estimate], results: Path) -> str:
    """How long it takes, and why that is unknown of some runs."""
    timed = sum(each.timed for each in made)
    known = f"about {_duration(sum(each.seconds for each in made))} for {timed} runs, as finished ones here took"
    parts = [known] if timed else []
    for counted, reason in (
        (True, f"no finished run of theirs from this machine in {results}"),
        (False, "their tokens cannot be counted"),
    ):
        some = [each for each in made if bool(each.why) is not counted]
        count = sum(_left(each) - each.timed for each in some)
        names = ", ".join(dict.fromkeys(name for each in some for name in each.unknown))
        parts += [f"unknown for {count} runs ({names}): {reason}"] if count else []
    return "; ".join(parts) or "nothing is left to do"


def _say_progress(place: str, done: int, count: int, seconds: float) -> None:
    left = f", about {_duration(seconds / done * (count - done))} left if the others are alike" if done < count else ""
    note(f"{place} ended; {_duration(seconds)} so far{left}")


def _duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _unexpected(error: Exception) -> UserError:
    return UserError(
        f"failed ({type(error).__name__}: {error})",
        remedy="its traceback stands above; the same command does what is left",
    )


def _say_plan(asked: Sweep) -> None:
    about = f": {asked.description}" if asked.description else ""
    note(f"{asked.name}{about}")
    note(f"{len(asked.requests)} requests")
    for number, one in enumerate(asked.requests, start=1):
        note(f"{number:4}  {_in_a_line(one.request)}")


def _in_a_line(request: Request) -> str:
    return f"{','.join(request.systems)}  {_data(request)}"


def _data(request: Request) -> str:
    questions = "all questions" if request.questions is None else f"at most {request.questions} questions each"
    return f"{request.dataset} {request.size}  {request.model_name}  {request.draws} draws  {questions}"


def _say_failures(failures: Sequence[tuple[SweepRequest, UserError]], count: int) -> None:
    told = f"{len(failures)} of {count} requests cannot be done; once mended, the same command does what is left:"
    note(resumable(told, sys.argv))
    alike: dict[tuple[str, str, str], list[Request]] = {}
    for one, error in failures:
        alike.setdefault((one.where, str(error), error.remedy), []).append(one.request)
    for (where, what, remedy), requests in alike.items():
        named = "; ".join(f"{each.dataset} {each.size}, {each.model_name}" for each in requests)
        note(f"error: {where}, {named}: {what}")
        note(f"  {resumable(remedy, sys.argv)}")
