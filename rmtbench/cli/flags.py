"""Flags of commands, made from the declared options; and earlier names of flags, which still work."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer
from typer.core import TyperCommand

from rmtbench.errors import UserError, check_home, nearest
from rmtbench.options.declare import REQUIRED, Option, options_of, refusal
from rmtbench.options.request import all_options

Command = Callable[..., None]


def takes_options(command: Command) -> Command:
    """Give a command a flag for each option of a run that is not rare.

    Args:
        command: Its first parameter gets the values by field. None means not given.
    """
    common = {option.key: option for option in all_options().values() if not option.rare}

    def collect(words: dict[str, Any]) -> Mapping[str, Any]:
        return {option.field: _value(option, words[key]) for key, option in common.items()}

    keyword = inspect.Parameter.KEYWORD_ONLY
    flags = [inspect.Parameter(k, keyword, default=None, annotation=_annotation(o)) for k, o in common.items()]
    return _with_flags(command, flags, collect)


def takes(family: type) -> Callable[[Command], Command]:
    """Give a command a flag for each option of a family that is not rare.

    Args:
        family: A dataclass of options. The command's first parameter gets an instance of it.
    """
    declared = {option.key: option for option in options_of(family).values() if not option.rare}

    def collect(words: dict[str, Any]) -> Any:  # noqa: ANN401 - one of the family
        return family(**{option.field: _read(option, words[key]) for key, option in declared.items()})

    return lambda command: _with_flags(command, [_typed(option) for option in declared.values()], collect)


def _with_flags(command: Command, flags: list[inspect.Parameter], collect: Callable[[dict[str, Any]], Any]) -> Command:
    """Return a command with these flags and its own. `collect` makes the first parameter from the flags' values."""
    names = [flag.name for flag in flags]

    @wraps(command)
    def with_flags(**words: Any) -> None:  # noqa: ANN401 - values of any flag
        command(collect({name: words.pop(name) for name in names}), **words)

    _, *own = inspect.signature(command, eval_str=True).parameters.values()
    flags = [*flags, *(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own)]
    with_flags.__signature__ = inspect.Signature(flags)  # type: ignore[attr-defined]
    with_flags.__annotations__ = {flag.name: flag.annotation for flag in flags}
    return with_flags


def _typed(option: Option) -> inspect.Parameter:
    """Return a flag whose type and limits the command line checks. `_read` checks what is given as text."""
    as_text = option.read is not None or bool(option.choices) or (option.item_type is not None and not option.repeated)
    default: Any = (option.default_text or None) if as_text else option.default
    kind: Any = str if as_text else option.plain_type
    if option.repeated:
        kind, default = list[option.item_type], option.default or None  # type: ignore[name-defined]
    if option.default is REQUIRED:
        default = inspect.Parameter.empty
    limited = kind in (int, float)
    told = typer.Option(
        f"{option.flag}/--no-{option.flag[2:]}" if kind is bool and default is not False else option.flag,
        help=option.help,
        min=option.at_least if limited else None,
        max=option.at_most if limited else None,
        show_default=option.default is not False,
        metavar=option.metavar or "|".join(option.choices) or None,
    )
    kind = kind | None if default is None else kind
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(option.key, keyword, default=default, annotation=Annotated[kind, told])


def _read(option: Option, word: Any) -> Any:  # noqa: ANN401 - a field's value
    """Return a field's value for that of its flag.

    Raises:
        UserError: The value is not one of the named ones, no finite number, or not in the option's form.
    """
    if isinstance(word, float):
        if not math.isfinite(word):
            raise UserError(f"must be a number (given: {word})", where=option.flag, remedy=option.help)
        if option.above is not None and word <= option.above:
            told = f"must be greater than {option.above:g} (given: {word:g})"
            raise UserError(told, where=option.flag, remedy=option.help)
    if option.repeated:
        return tuple(word or ())
    if word is None:
        return None
    if option.read is not None:
        try:
            value = option.read(word)
        except ValueError as error:
            raise refusal(error, option.flag) from error
        if option.at_least is not None and min(value if isinstance(value, tuple) else [value]) < option.at_least:
            what = f"must be at least {option.at_least:g} (given: {word})"
            raise UserError(what, where=option.flag, remedy=option.help)
        return value
    check_home(option.flag, word)
    if option.choices and word not in option.choices:
        remedy = nearest(word, option.choices)
        raise UserError(f"no {option.flag[2:]} '{word}'", where=option.flag, remedy=remedy)
    return tuple(word.split(",")) if option.item_type is not None else word


def _annotation(option: Option) -> Any:  # noqa: ANN401 - a typing form
    """Return a flag's type and its line in the help. Choices and limits are checked later, with all other values."""
    usual, several = option.default_text, option.item_type is not None
    told = typer.Option(
        option.flag,
        help=f"{option.help[:-1]} (default: {usual})." if usual else option.help,
        rich_help_panel=option.family,
        show_default=False,
        metavar="<str>" if several else "|".join(option.choices) or None,
    )
    if option.type is bool:
        return Annotated[bool | None, told]
    kind = option.plain_type if option.plain_type in (int, float, Path) else str
    return Annotated[list[str] | None if several else kind | None, told]


def _value(option: Option, word: Any) -> Any:  # noqa: ANN401
    """Return a field's value for that of its flag. Commas separate several, and so does the flag given again."""
    if option.item_type is None:
        return word or None if option.type is bool else word
    if not word:
        return None
    given = [[item.strip() for item in one.split(",") if item.strip() or option.item_type is not str] for one in word]
    return tuple(chain.from_iterable(given)) if all(given) else ()


def earlier_flags(options: Iterable[Option]) -> dict[str, str]:
    """Return the earlier flags of options, with those of today."""
    return {f"--{option.was.replace('_', '-')}": option.flag for option in options if option.was}


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
