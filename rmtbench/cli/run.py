"""`rmtbench run`: ask systems the questions of a dataset, keep every answer, score them."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer

from rmtbench.cli.flags import RenamingCommand, earlier_flags, takes_options
from rmtbench.errors import UserError
from rmtbench.options.engine import check_engine, is_shared
from rmtbench.options.request import all_options

PANEL = "Run"
START = """Nothing is named to run. Three ways to begin:

  rmtbench run --dataset handbook
      The documents in the package, read by smollm2 with its reading adapter; offline.
  rmtbench run --dataset path/to/folder
      Your own documents and questions: see docs/reference/data.md.
  rmtbench run --dataset hotpotqa --data-dir hotpot_dev_distractor_v1.json
      Real data from its official file (also squad and triviaqa).

--dry-run behind any of them prints the runs and their cost, and starts none. All options: rmtbench run --help"""


class RunCommand(RenamingCommand):
    """`rmtbench run`: its help in panels, one for each family of options."""

    RENAMED: ClassVar[Mapping[str, str]] = earlier_flags(all_options().values())

    def __init__(self, *args: Any, **settings: Any) -> None:  # noqa: ANN401 - click's own
        super().__init__(*args, **{**settings, "rich_markup_mode": "rich"})

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401
        """Without any word say how to begin, and exit with 2 as `rmtbench` alone does."""
        if not args and not ctx.resilient_parsing:
            typer.echo(START)
            ctx.exit(2)
        return super().parse_args(ctx, args)


COMMAND = RunCommand


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
    from rmtbench.cli.workers import check_work, work
    from rmtbench.spec import make_request, rare_options

    request = make_request(profile, {**given, **rare_options(rare or ())}, os.environ)
    check_engine(request)
    if is_shared(request):
        check_work([request], fresh=fresh)
    elif request.engine == "ray":
        from rmtbench.cli.ray import check_on_ray, do_on_ray

        check_on_ray(request)
    if dry_run:
        planning = Planning(results, fresh=fresh)
        planning.add(request)
        planning.say(1)
        raise typer.Exit(0)
    if request.engine == "ray":
        [code] = do_on_ray([request], request, results, fresh=fresh)
        if isinstance(code, UserError):
            raise code
        raise typer.Exit(code)
    if is_shared(request):
        raise typer.Exit(work(sys.argv[1:], [request], request.workers or 1, results))
    raise typer.Exit(run_request(request, results, fresh=fresh))
