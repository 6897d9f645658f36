"""The console script. Imports typer and the signature of the command that is called, so that ``--help`` is instant."""

from __future__ import annotations

import os
import re
import signal
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, cast

import typer

import rmtbench
from rmtbench.cli.encoding import drop_output, use_known_characters
from rmtbench.cli.plain_text import guard_streams, one_line, plain
from rmtbench.cli.progress import resumable
from rmtbench.errors import UserError, check_home, of_system

# Typer carries click inside and gives a public name only to this child of its UsageError.
USAGE_ERROR = cast("Any", typer.BadParameter.__base__)

# By module of this room, in the order of the help: one function of its name, or a group of commands.
COMMANDS = ("run", "sweep", "merge", "score", "report", "compare", "decide", "systems", "doctor", "pack")
GROUPS = ("data", "cache", "bench", "train")
ARGUMENTS: dict[tuple[str, ...], tuple[str, str]] = {
    ("data", "check"): ("--dataset", "NAME"),
    **{(name,): ("--results", "RESULTS") for name in ("score", "report", "decide", "pack")},
}
"""By command, a flag of `rmtbench run` that messages name, and the argument that the command has in its place."""
PLAIN = None
"""Help as plain text: boxes would load rich, which takes as long as all the rest."""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rmtbench {rmtbench.__version__}")
        raise typer.Exit


def _options(
    _debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    _version_wanted: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options that stand before the command."""


def make_app(words: Sequence[str] = ()) -> typer.Typer:
    """The command line.

    Args:
        words: What was typed. If a command is called by its name, only its module is loaded; else all are, for the help
            and for telling what was meant.
    """
    app = typer.Typer(
        name="rmtbench",
        help="RAG, cache-augmented generation or a recurrent memory transformer: which one for these documents, "
        "this model and this machine?\n\n"
        "To begin: rmtbench run --dataset handbook (model: smollm2; offline)",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=PLAIN,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    )
    app.callback()(_options)
    known = (*COMMANDS, *GROUPS)
    for name in [word for word in words[:1] if word in known] or known:
        module = import_module(f"rmtbench.cli.{name}")
        if name in GROUPS:
            module.app.rich_markup_mode = PLAIN
            app.add_typer(module.app, name=name)
        else:
            app.command(name, cls=getattr(module, "COMMAND", None))(getattr(module, name))
    return app


def main() -> None:
    """Run the command line; exit with 0, 1 (answers failed), 2 (bad input), 130 (interrupted) or 141 (broken pipe)."""
    debug = "--debug" in sys.argv
    _prepare_process()
    try:
        # Users add --debug at the end of the command that failed.
        words = [_in_home(word) for word in sys.argv[1:] if word != "--debug"]
        _check_surroundings(words)
        code = make_app(words)(words, prog_name="rmtbench", standalone_mode=False)
        sys.stdout.flush()
    except UserError as error:
        code = _complain(error, debug=debug)
    except USAGE_ERROR as error:
        code = _misused(error, debug=debug)
    except (BrokenPipeError, SystemExit) as ended:
        if isinstance(ended, SystemExit) and not ended.code:  # a shell was given its completions
            sys.exit(0)
        # The reader, such as `head`, has had enough; typer tells it by SystemExit. The code is the shells' for it.
        drop_output()
        code = 141
    except OSError as error:
        code = _complain(of_system(error), debug=debug)
        drop_output()
    except KeyboardInterrupt:
        code = 130
    if code == 130:
        if "RMTBENCH_PART_OF_WORKERS" in os.environ:  # a terminal interrupts it, and so does the command
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        typer.echo(_interrupted(sys.argv[1:]), err=True)
    sys.exit(code or 0)


def _prepare_process() -> None:
    """Set up signals, streams and what libraries print."""
    signal.signal(signal.SIGTERM, _as_interrupt)
    use_known_characters()
    guard_streams()
    # The tokenizers library warns at every fork otherwise, and helps nothing here.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def _check_surroundings(words: Sequence[str]) -> None:
    """Check folders of the environment and the command's words; one of several processes ends with its driver.

    Raises:
        UserError: A folder is below an unknown home, or a word is empty.
    """
    for name, usual in (("RMTBENCH_DATA", ""), ("RMTBENCH_CACHE", os.environ.get("XDG_CACHE_HOME") or "~")):
        check_home(name, os.environ.get(name) or usual)
    _refuse_empty(words)
    if (driver := os.environ.pop("RMTBENCH_DRIVER", "")).isdecimal():
        from rmtbench.runs.workers import end_with_driver

        end_with_driver(int(driver))


def _refuse_empty(words: Sequence[str]) -> None:
    """Refuse an empty word: as the name of a folder it would mean the current one.

    Raises:
        UserError: There is one, such as of a shell variable that is not set.
    """
    for place, word in enumerate(words):
        flag = words[place - 1] if place else ""
        if word == "" or (word.startswith("--") and word.endswith("=") and word.count("=") == 1):
            where = word.rstrip("=") or (flag if flag.startswith("-") else f"word {place + 1}")
            raise UserError("is empty", where=where, remedy="give a value, or leave it out")


def _in_home(word: str) -> str:
    """Return a word with the home folder in place of ``~`` in ``--flag=~/folder``, where most shells leave it."""
    flag, _, value = word.partition("=~/")
    return f"{flag}={Path.home() / value}" if value and re.fullmatch(r"--[\w-]+", flag) else word


def _interrupted(words: Sequence[str]) -> str:
    """Return the line for an interrupted command, which says what is kept."""
    resumes = {
        "run": "every answer so far is kept",
        "sweep": "every answer so far is kept",
        "train": "the last step is kept",
    }
    command = next((word for word in words if not word.startswith("-")), "")
    kept = resumes.get(command)
    return resumable(f"interrupted: {kept}; the same command resumes", words) if kept else "interrupted"


def _misused(error: Any, *, debug: bool) -> int:  # noqa: ANN401 - typer's own class, imported by no public name
    """Tell of words that no command takes; return the exit code."""
    what = error.format_message().rstrip(".")
    what = re.sub("Input should be a valid integer, .*", "must be a whole number", what)
    what = re.sub("Input should be a valid number, .*", "must be a number", what).replace("Input should", "must")
    if what.startswith("Usage:"):  # without any words it is the help, and nothing is wrong with them
        typer.echo(what)
        return 2
    remedy = f"see {error.ctx.command_path if error.ctx else 'rmtbench'} --help"
    return _complain(UserError(what, remedy=remedy), debug=debug)


def _complain(error: UserError, *, debug: bool) -> int:
    """Say what is wrong and what to do, one line each; returns the exit code."""
    if debug:
        typer.echo(plain(traceback.format_exc()), err=True, nl=False)
    where = f"{error.where}: " if error.where else ""
    typer.echo(one_line(_as_typed(f"error: {where}{error.what}")), err=True)
    if error.remedy:
        typer.echo(one_line(f"  {_as_typed(resumable(error.remedy, sys.argv))}"), err=True)
    return 2


def _as_typed(text: str) -> str:
    """Return a message with the names of arguments where other commands have flags for the same."""
    words = [word for word in sys.argv[1:] if word != "--debug"]
    for command, (flag, argument) in ARGUMENTS.items():
        if tuple(words[: len(command)]) == command:
            text = re.sub(rf"{flag}(?![\w-])", argument, text.replace(f"with {flag}", f"as {flag}"))
    return text


def _as_interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
