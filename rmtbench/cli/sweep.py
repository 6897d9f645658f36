"""`rmtbench sweep`: all runs of a file, one request after the other; what fails does not stop the rest."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rmtbench.cli.flags import takes
from rmtbench.cli.folders import check_results
from rmtbench.cli.plain_text import plain
from rmtbench.cli.plan_costs import duration
from rmtbench.cli.planning import Planning, data_of
from rmtbench.cli.progress import note, resumable, say_next
from rmtbench.errors import UserError, of_system
from rmtbench.options.engine import Engine, check_engine, is_shared
from rmtbench.options.sweeping import Sweeping
from rmtbench.plural import many

if TYPE_CHECKING:
    from rmtbench.options.request import Request
    from rmtbench.runs.sweep import Sweep, SweepRequest


@takes(Sweeping)
def sweep(
    asked: Sweeping,
    file: Annotated[Path, typer.Argument(help="YAML: name, profile, description, runs (see experiments/).")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="cpus=N, gpus=N: what each worker of --engine ray has; repeatable."),
    ] = None,
) -> None:
    """Do all runs of a file. The same command again resumes; finished runs are left alone."""
    from rmtbench.options.settings import read_settings
    from rmtbench.runs.sweep import read_sweep

    engine = read_settings(Engine, {"engine": asked.engine, "workers": asked.workers}, settings or ())
    check_engine(engine)
    made = read_sweep(file, asked.data_dir, asked.profile, asked.rmt, asked.shard)
    check_results(asked.results)
    if is_shared(engine):
        from rmtbench.cli.workers import check_work, work

        requests = [one.request for one in made.requests]
        check_work(requests, fresh=asked.fresh)
        if not asked.dry_run:
            raise typer.Exit(work(sys.argv[1:], requests, engine.workers or 1, asked.results))
    for old, new in made.renamed.items():
        note(f"{old} is now {new}; the earlier name goes with the next release")
    _say_plan(made)
    if asked.dry_run:
        raise typer.Exit(_plan(made, asked))
    raise typer.Exit(_do_on_ray(made, asked, engine) if engine.engine == "ray" else _do(made, asked))


def _plan(made: Sweep, asked: Sweeping) -> int:
    """Print every run and the whole cost; returns the exit code."""
    planning = Planning(asked.results, fresh=asked.fresh)

    def add(one: SweepRequest) -> int:
        if asked.engine == "ray":
            from rmtbench.cli.ray import check_on_ray

            check_on_ray(one.request)
        planning.add(one.request, one.where)
        return 0

    tried = _each(made, add)
    planning.say(len(made.requests))
    if tried.failures:
        _say_failures(tried.failures, len(made.requests))
    return tried.code


def _do(made: Sweep, asked: Sweeping) -> int:
    """Do one request after the other; returns the exit code."""
    from rmtbench.cli.running import run_request

    told: set[str] = set()
    count, began = len(made.requests), time.monotonic()
    number = 0

    def do(one: SweepRequest) -> int:
        nonlocal number
        number += 1
        note(f"[{number}/{count}] {_in_a_line(one)}")
        try:
            if not _has_draws(one.request):
                return 0
            return run_request(one.request, asked.results, fresh=asked.fresh, alone=False, told=told)
        finally:
            _say_progress(f"[{number}/{count}]", number, count, time.monotonic() - began)

    return _say_end(_each(made, do), asked, count)


def _do_on_ray(made: Sweep, asked: Sweeping, engine: Engine) -> int:
    """Let the workers of a Ray cluster do all requests; returns the exit code."""
    from rmtbench.cli.ray import do_on_ray

    def begin(number: int, count: int, request: Request) -> bool:
        note(f"[{number}/{count}] {_in_a_line(made.requests[number - 1])}")
        return _has_draws(request)

    requests = [one.request for one in made.requests]
    ends = do_on_ray(requests, engine, asked.results, fresh=asked.fresh, begin=begin)
    failures = [(one, end) for one, end in zip(made.requests, ends, strict=True) if isinstance(end, UserError)]
    codes = {2 if isinstance(end, UserError) else end for end in ends}
    return _say_end(_Tried(max(codes), failures), asked, len(requests))


def _say_end(tried: _Tried, asked: Sweeping, count: int) -> int:
    """Print what could not be done, or what the user can do next; returns the exit code."""
    if tried.failures:
        _say_failures(tried.failures, count)
    else:
        say_next(asked.results, asked.shard)
    return tried.code


@dataclass(frozen=True, slots=True)
class _Tried:
    """How requests ended: the highest exit code, and what could not be done."""

    code: int
    failures: Sequence[tuple[SweepRequest, UserError]]


def _each(made: Sweep, do: Callable[[SweepRequest], int]) -> _Tried:
    """Do something with every request. What fails stops no other."""
    from rmtbench.runs.sweep import in_words_of_the_file

    failures: list[tuple[SweepRequest, UserError]] = []
    codes = {0}
    for number, one in enumerate(made.requests, start=1):
        place = f"[{number}/{len(made.requests)}] {one.place}"
        try:
            codes.add(do(one))
        except (UserError, OSError) as error:
            told = error if isinstance(error, UserError) else of_system(error)
            note(f"{place} cannot be done: {in_words_of_the_file(told, '')}")
            failures.append((one, told))
            codes.add(2)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other requests can still be done
            note(f"{place} failed:")
            typer.echo(plain(traceback.format_exc()), err=True)
            remedy = "see the traceback above; the same command does the rest"
            failures.append((one, UserError(f"failed ({type(error).__name__}: {error})", remedy=remedy)))
            codes.add(1)
    return _Tried(max(codes), failures)


def _has_draws(request: Request) -> bool:
    """Whether this part has any draw of a request; prints it if not."""
    if not request.draw_numbers:
        note(f"skipped: part {request.shard} has none of its {many(request.draws, 'draw')}")
    return bool(request.draw_numbers)


def _say_progress(place: str, done: int, count: int, seconds: float) -> None:
    left = f", about {duration(seconds / done * (count - done))} left if the others are alike" if done < count else ""
    note(f"{place} ended; {duration(seconds)} so far{left}")


def _say_plan(asked: Sweep) -> None:
    about = f": {asked.description}" if asked.description else ""
    note(f"{asked.name}{about}")
    note(many(len(asked.requests), "request"))
    for one in asked.requests:
        note(f"  {_in_a_line(one)}")


def _in_a_line(one: SweepRequest) -> str:
    return f"{one.place}  {','.join(one.request.systems)}  {data_of(one.request)}"


def _say_failures(failures: Sequence[tuple[SweepRequest, UserError]], count: int) -> None:
    from rmtbench.runs.sweep import in_words_of_the_file

    told = f"{len(failures)} of {many(count, 'request')} cannot be done"
    note(resumable(f"{told}; once mended, the same command does what is left:", sys.argv))
    alike: dict[tuple[str, str, str], list[Request]] = {}
    for one, error in failures:
        said = in_words_of_the_file(error, "")
        alike.setdefault((one.where, str(said), said.remedy), []).append(one.request)
    for (where, what, remedy), requests in alike.items():
        named = "; ".join(f"{each.dataset} {each.size}, {each.model_name}" for each in requests)
        note(f"error: {where}, {named}: {what}")
        note(f"  {resumable(remedy, sys.argv)}")
