"""Flags of commands: those of `rmtbench run` made from the declared options, and earlier names that still work."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer
from typer.core import TyperCommand

from rmtbench.options.declare import Option
from rmtbench.options.request import all_options, renamed

GIVEN = "given"
"""The parameter of a command that takes the values of all options."""


def takes_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one flag for each option that is not rare.

    Args:
        command: Takes as its first parameter, `given`, the values by field; None means not given.
    """
    common = {option.key: option for option in all_options().values() if not option.rare}

    @wraps(command)
    def with_flags(**words: Any) -> None:  # noqa: ANN401 - values of any flag
        given = {option.field: _value(option, words.pop(key)) for key, option in common.items()}
        command(given, **words)

    own = inspect.signature(command, eval_str=True).parameters
    keyword = inspect.Parameter.KEYWORD_ONLY
    flags = [inspect.Parameter(k, keyword, default=None, annotation=_annotation(o)) for k, o in common.items()]
    flags += [each.replace(kind=keyword) for name, each in own.items() if name != GIVEN]
    with_flags.__signature__ = inspect.Signature(flags)  # type: ignore[attr-defined]
    with_flags.__annotations__ = {flag.name: flag.annotation for flag in flags}
    return with_flags


def _annotation(option: Option) -> Any:  # noqa: ANN401 - a typing form
    """A flag's type and its line in the help. Choices and limits are checked later, with all other values."""
    usual = option.default_text
    told = typer.Option(
        option.flag,
        help=f"{option.help[:-1]} (default: {usual})." if usual else option.help,
        rich_help_panel=option.family,
        show_default=False,
        metavar="|".join(option.choices) or None,
    )
    if option.type is bool:
        return Annotated[bool | None, told]
    kind = option.plain_type if option.plain_type in (int, float, Path) else str
    return Annotated[kind | None, told]


def _value(option: Option, word: Any) -> Any:  # noqa: ANN401
    """A flag's value as a field's: several are given with commas."""
    if word is None or option.item_type is None:
        return word or None if option.type is bool else word
    items = [item.strip() for item in word.split(",")]
    return tuple(filter(None, items) if option.item_type is str else items)


class RenamingCommand(TyperCommand):
    """A command whose earlier flags still work, and say how they are called now."""

    RENAMED: ClassVar[Mapping[str, str]] = {}

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - click's, which typer has inside
        """Replace earlier flags before anything is parsed."""
        words = []
        for place, word in enumerate(args):
            flag, given, value = word.partition("=")
            if word == "--":
                words += args[place:]
                break
            if flag in self.RENAMED:
                typer.echo(f"{flag} is now {self.RENAMED[flag]}; the earlier name goes with the next release", err=True)
                word = f"{self.RENAMED[flag]}{given}{value}"  # noqa: PLW2901 - the same word by its new name
            words.append(word)
        parsed: list[str] = super().parse_args(ctx, words)
        return parsed


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

    RENAMED: ClassVar[Mapping[str, str]] = {
        f"--{old.replace('_', '-')}": f"--{new.replace('_', '-')}" for old, new in renamed().items()
    }

    def __init__(self, *args: Any, **settings: Any) -> None:  # noqa: ANN401 - click's own
        super().__init__(*args, **{**settings, "rich_markup_mode": "rich"})

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401
        """Without any word say how to begin, and exit with 2 as `rmtbench` alone does."""
        if not args and not ctx.resilient_parsing:
            typer.echo(START)
            ctx.exit(2)
        return super().parse_args(ctx, args)
