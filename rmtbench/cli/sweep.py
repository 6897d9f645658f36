"""`rmtbench sweep`: all runs of a file, one request after the other; what fails does not stop the rest."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rmtbench.cli.folders import check_results
from rmtbench.cli.planning import Planning, data_of, duration
from rmtbench.cli.progress import next_merge, next_report, note
from rmtbench.errors import UserError, resumable

if TYPE_CHECKING:
    from rmtbench.options.request import Request
    from rmtbench.runs.sweep import Sweep, SweepRequest


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
    workers: Annotated[int, typer.Option(min=1, help="Processes on this machine that share the draws.")] = 1,
    shard: Annotated[
        str | None,
        typer.Option(help="Do part N of M of every run's draws only, as N/M; rmtbench merge joins the parts."),
    ] = None,
) -> None:
    """Do all runs of a file. The same command again resumes; finished runs are left alone."""
    if workers > 1 and not dry_run:
        from rmtbench.cli.workers import work

        raise typer.Exit(work(sys.argv[1:], workers, results, "minilm", fresh=fresh))
    from rmtbench.runs.sweep import read_sweep

    asked = read_sweep(file, data_dir, profile, rmt, shard)
    check_results(results)
    for old, new in asked.renamed.items():
        note(f"{old} is now {new}; the earlier name goes with the next release")
    _say_plan(asked)
    planning = Planning(results, fresh=fresh) if dry_run else None
    failures: list[tuple[SweepRequest, UserError]] = []
    codes = {0}
    told: set[str] = set()
    began = time.monotonic()
    for number, one in enumerate(asked.requests, start=1):
        place = f"[{number}/{len(asked.requests)}]"
        if not dry_run:
            note(f"{place} {_in_a_line(one.request)}")
        try:
            if planning is not None:
                planning.add(one.request, one.where)
            else:
                codes.add(_run(one.request, results, told, fresh=fresh))
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
        planning.say(len(asked.requests))
    if failures:
        _say_failures(failures, len(asked.requests))
    elif not dry_run:
        note(next_report(results) if shard is None else next_merge(shard))
    raise typer.Exit(max(codes))


def _run(request: Request, results: Path, told: set[str], *, fresh: bool) -> int:
    from rmtbench.cli.running import run_request

    if not request.draw_numbers:
        note(f"skipped: part {request.shard} has none of its {request.draws} draws")
        return 0
    return run_request(request, results, fresh=fresh, say_next=False, told=told)


def _say_progress(place: str, done: int, count: int, seconds: float) -> None:
    left = f", about {duration(seconds / done * (count - done))} left if the others are alike" if done < count else ""
    note(f"{place} ended; {duration(seconds)} so far{left}")


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
    return f"{','.join(request.systems)}  {data_of(request)}"


def _say_failures(failures: Sequence[tuple[SweepRequest, UserError]], count: int) -> None:
    from rmtbench.runs.sweep import in_words_of_the_file

    told = f"{len(failures)} of {count} requests cannot be done; once mended, the same command does what is left:"
    note(resumable(told, sys.argv))
    alike: dict[tuple[str, str, str], list[Request]] = {}
    for one, error in failures:
        said = in_words_of_the_file(error, "")
        alike.setdefault((one.where, str(said).removeprefix(", "), said.remedy), []).append(one.request)
    for (where, what, remedy), requests in alike.items():
        named = "; ".join(f"{each.dataset} {each.size}, {each.model_name}" for each in requests)
        note(f"error: {where}, {named}: {what}")
        note(f"  {resumable(remedy, sys.argv)}")
