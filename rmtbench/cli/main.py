"""The console script. Imports typer and the commands' signatures alone, so that ``--help`` is instant."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from types import FrameType
from typing import Annotated

import typer

import rmtbench
from rmtbench.cli import bench, data, doctor, report, run, score, systems
from rmtbench.errors import UserError

app = typer.Typer(
    name="rmtbench",
    help="RAG, cache-augmented generation or a recurrent memory transformer: which one for these documents, "
    "this model and this machine?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("score")(score.score)
app.command("report")(report.report)
app.command("systems")(systems.systems)
app.command("doctor")(doctor.doctor)
app.add_typer(data.app, name="data")
app.add_typer(bench.app, name="bench")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rmtbench {rmtbench.__version__}")
        raise typer.Exit


@app.callback()
def options(
    _debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    _version_wanted: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options that stand before the command."""


def main() -> None:
    """Run the command line; the process's exit code is 0, 1 (answers failed), 2 (bad input) or 130 (interrupted)."""
    debug = "--debug" in sys.argv
    signal.signal(signal.SIGTERM, _as_interrupt)
    # The tokenizers library warns at every fork otherwise, and helps nothing here.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        app(standalone_mode=True)
    except UserError as error:
        if debug:
            traceback.print_exc()
        where = f"{error.where}: " if error.where else ""
        typer.echo(f"error: {where}{error.what}", err=True)
        if error.remedy:
            typer.echo(f"  {error.remedy}", err=True)
        sys.exit(2)
    except BrokenPipeError:
        # The reader, such as `head`, has had enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _as_interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
