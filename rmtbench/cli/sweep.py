"""`rmtbench sweep`: all runs of a file, one request after the other; what fails does not stop the rest."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rmtbench.cli.progress import note
from rmtbench.errors import UserError

if TYPE_CHECKING:
    from rmtbench.runs.sweep import Sweep, SweepRequest
    from rmtbench.spec import Request


def sweep(
    file: Annotated[Path, typer.Argument(help="YAML: name, profile, description, runs (see experiments/).")],
    results: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("results"),
    fresh: Annotated[bool, typer.Option("--fresh", help="Start anew instead of resuming.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Open the data, print every run, and stop.")] = False,
    data_dir: Annotated[
        Path | None, typer.Option(help="Official files: a folder or one file (in place of the file's data_dir).")
    ] = None,
) -> None:
    """Do all runs of a file. The same command again resumes; finished runs are left alone."""
    from rmtbench.runs.sweep import read_sweep

    asked = read_sweep(file, data_dir)
    _say_plan(asked)
    failures: list[tuple[SweepRequest, UserError]] = []
    codes = {0}
    for number, one in enumerate(asked.requests, start=1):
        try:
            if dry_run:
                _print_runs(one.request)
            else:
                note(f"[{number}/{len(asked.requests)}] {_in_a_line(one.request)}")
                codes.add(_run(one.request, results, fresh=fresh))
        except UserError as error:
            note(f"[{number}/{len(asked.requests)}] cannot be done: {error}")
            failures.append((one, error))
    if failures:
        _say_failures(failures, len(asked.requests))
        raise typer.Exit(2)
    if not dry_run:
        note(f"next: rmtbench report {results}")
    raise typer.Exit(max(codes))


def _run(request: Request, results: Path, *, fresh: bool) -> int:
    from rmtbench.cli.running import run_request

    return run_request(request, results, fresh=fresh, say_next=False)


def _print_runs(request: Request) -> None:
    """One line a run, on stdout: its id, and what it asks."""
    from rmtbench.journal.layout import run_id
    from rmtbench.runs.session import open_session

    for spec in open_session(request, os.environ).specs:
        setting = spec.system if spec.top_k is None else f"{spec.system} top-{spec.top_k}"
        typer.echo(f"{run_id(spec)}  {setting}  {_data(request)}")


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
    return f"{request.dataset} {request.size}  {request.model}  {request.draws} draws  {questions}"


def _say_failures(failures: Sequence[tuple[SweepRequest, UserError]], count: int) -> None:
    note(f"{len(failures)} of {count} requests cannot be done; once mended, the same command does what is left:")
    for one, error in failures:
        note(f"error: {one.where}, {one.request.dataset} {one.request.size}, {one.request.model}: {error}")
        note(f"  {error.remedy}")
