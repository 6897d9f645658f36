"""`rmtbench run`: ask systems the questions of a dataset, keep every answer, score them."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from rmtbench.cli.flags import RunCommand, takes_options
from rmtbench.errors import UserError
from rmtbench.options.engine import check_engine

COMMAND = RunCommand
PANEL = "Run"


@takes_options
def run(
    given: Mapping[str, Any],
    rare: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="NAME=VALUE for a rare option, such as think-tokens or system-prompt (text or @FILE); repeatable. "
            "All are in docs/reference/options.md.",
            rich_help_panel=PANEL,
        ),
    ] = None,
    profile: Annotated[
        str, typer.Option(help="Defaults: mini (any machine) or paper (GPU and hub).", rich_help_panel=PANEL)
    ] = "mini",
    results: Annotated[Path, typer.Option(help="Folder of all runs.", rich_help_panel=PANEL)] = Path("results"),
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start again instead of resuming.", rich_help_panel=PANEL)
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Open the data, print runs, calls, tokens, price and time, and stop.",
            rich_help_panel=PANEL,
        ),
    ] = False,
) -> None:
    """Run systems over a dataset. The same command again resumes; finished runs are left alone."""
    from rmtbench.cli.planning import Planning
    from rmtbench.cli.running import run_request
    from rmtbench.cli.workers import work
    from rmtbench.spec import make_request, rare_settings

    request = make_request(profile, {**given, **rare_settings(rare or ())}, os.environ)
    check_engine(request)
    if dry_run:
        planning = Planning(results, fresh=fresh)
        planning.add(request)
        planning.say(1)
        raise typer.Exit(0)
    if request.engine == "ray":
        from rmtbench.cli.ray import do_on_ray

        [code] = do_on_ray([request], request, results, fresh=fresh)
        if isinstance(code, UserError):
            raise code
        raise typer.Exit(code)
    if request.workers is not None and request.workers > 1:
        raise typer.Exit(work(sys.argv[1:], [request], request.workers, results, fresh=fresh))
    raise typer.Exit(run_request(request, results, fresh=fresh))
