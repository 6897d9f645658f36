"""How an option declares itself: as one field of a frozen dataclass, with its texts and limits in the metadata.

Families are standard dataclasses: they add nothing to the start of `rmtbench --help`, and type checkers know their
fields. `check.py` makes a pydantic model from the same declarations, and imports pydantic only when it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import cache
from inspect import get_annotations
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from rmtbench.errors import UserError

REQUIRED: Any = MISSING
"""The default of an option that has none: the user, a profile or the data decides."""

Heeded = Literal[
    "", "retrieves", "counts words", "embeds", "keeps a cache", "keeps a memory", "reads with a memory", "writes notes"
]
"""What a system that uses the option does; empty for an option that every system uses."""

Place = Literal["", "a server", "a served model", "a served embedder", "a local model", "this machine"]
"""Where model or embedder must be for the option to have an effect; empty for anywhere."""

_OPTION, _STATED = "option", "stated"


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """The declaration of one option.

    Attributes:
        help: One line for `--help` and the docs.
        rare: Whether it has no flag of its own, and is given as ``--set NAME=VALUE``.
        name: Its public name in YAML files, and in flags with dashes. Empty for the field's own name.
        was: An earlier public name, which still works.
        at_least: Minimum, of each item if there are several.
        above: Value that it must exceed.
        at_most: Maximum.
        not_blank: Whether an empty text is refused.
        check: Returns the value to use, or raises `ValueError`, which says what is wrong and, after "; ", what to do.
        read: Returns the value for the text of a flag, if the type does not say how. Raises `ValueError` like `check`.
        repeated: Whether each item has a flag of its own. Other lists are written with commas.
        metavar: Placeholder of the value in `--help`; empty for the type.
        on_off: Whether ``on`` and ``off`` are values of it. YAML reads them as truth values.
        multiplies: Whether a list in a YAML file means one request for each item.
        needs: Field that must be given too, or the option has no effect.
        heeded: Which systems use it.
        place: Where model or embedder must be.
        not_served: Why a server cannot do it, if only a local model can.
        column: Whether it is a field of `RunSpec`. Options of a run's `RunOptions` are part of the hash too.
        labelled: Whether a run's spec holds a label, a hash or a word in place of its value.
        stored: Its name in a run's files, if that is not the field's.
        shown: What to show as its default, if not the value.
        field, type, default, family: Filled in by `options_of` from the declaration.
    """

    help: str
    rare: bool = False
    name: str = ""
    was: str = ""
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    not_blank: bool = False
    check: Callable[[Any], Any] | None = None
    read: Callable[[str], Any] | None = None
    repeated: bool = False
    metavar: str = ""
    on_off: bool = False
    multiplies: bool = False
    needs: str = ""
    heeded: Heeded = ""
    place: Place = ""
    not_served: str = ""
    column: bool = False
    labelled: bool = False
    stored: str = ""
    shown: str | None = None
    field: str = ""
    type: Any = None
    default: Any = None
    family: str = ""

    @property
    def key(self) -> str:
        """Its name in YAML files and as a parameter of the command."""
        return self.name or self.field

    @property
    def flag(self) -> str:
        """The flag as a user writes it: ``--top-k``, or ``--set deadline``."""
        name = self.key.replace("_", "-")
        return f"--set {name}" if self.rare else f"--{name}"

    @property
    def plain_type(self) -> Any:  # noqa: ANN401 - a type, or a Literal
        """Its type without None."""
        return without_none(self.type)

    @property
    def item_type(self) -> Any:  # noqa: ANN401
        """The type of its items if it takes several, else None."""
        return get_args(self.plain_type)[0] if get_origin(self.plain_type) is tuple else None

    @property
    def default_text(self) -> str:
        """Its default as text; empty if it has none."""
        if self.shown is not None:
            return self.shown
        if self.default is REQUIRED or self.default is None or self.default is False:
            return ""
        if self.default is True:
            return "on"
        if isinstance(self.default, tuple):
            return ",".join(map(str, self.default))
        return f"{self.default:g}" if isinstance(self.default, float) else str(self.default)

    @property
    def choices(self) -> tuple[str, ...]:
        """Its values, if they are a fixed list."""
        return get_args(self.plain_type) if get_origin(self.plain_type) is Literal else ()


def refuse_given(given: object, names: Iterable[str], why: str, remedy: str) -> None:
    """Refuse options without an effect, unless they have their defaults; `why` is such as ``without --base-too``.

    Raises:
        UserError: The first that was given.
    """
    options = options_of(type(given))
    for option in (options[name] for name in names):
        if getattr(given, option.field) != option.default:
            raise UserError(f"means nothing {why}", where=option.flag, remedy=remedy)


def refusal(error: ValueError, where: str) -> UserError:
    """Return the error for a value that `Option.check` or `Option.read` refused.

    Args:
        error: Says what is wrong and, after "; ", what to do.
        where: The option.
    """
    what, _, remedy = str(error).partition("; ")
    return UserError(what, where=where, remedy=remedy)


def without_none(kind: Any) -> Any:  # noqa: ANN401
    """Return a type without None, if it is a type or None."""
    kept = [part for part in get_args(kind) if part is not NoneType]
    return kept[0] if len(kept) == 1 and NoneType in get_args(kind) else kind


def option(default: Any, text: str, **more: Any) -> Any:  # noqa: ANN401 - the field may have any type
    """Declare an option.

    Args:
        default: Its value if none is given; `REQUIRED` if it has none.
        text: `Option.help`.
        more: Other fields of `Option`.
    """
    return field(default=default, metadata={_OPTION: Option(help=text, **more)})


def stated(default: Any = None, *, stored: str = "") -> Any:  # noqa: ANN401
    """Declare a fact about a run that planning derives from options, such as a label in place of a path.

    Args:
        default: Its value in a run that has none.
        stored: Its name in the run's files, if that is not the field's.
    """
    return field(default=default, metadata={_STATED: stored})


def options_of(family: type) -> Mapping[str, Option]:
    """Return the options that a family declares, by field. Its own come before those of its base classes."""
    return _declared(family)


@cache
def _declared(family: Any) -> Mapping[str, Option]:  # noqa: ANN401 - a dataclass
    hints = get_type_hints(family)
    declared = {each.name: each for each in fields(family) if _OPTION in each.metadata}
    own = [name for name in declared if name in get_annotations(family)]
    title = getattr(family, "TITLE", "")
    return {
        name: replace(
            declared[name].metadata[_OPTION], field=name, type=hints[name], default=declared[name].default, family=title
        )
        for name in dict.fromkeys([*own, *declared])
    }


def stored_names(family: type) -> Mapping[str, str]:
    """Return the fields of a run's options that its files hold, with their names there."""
    return {
        each.name: (each.metadata[_OPTION].stored if _OPTION in each.metadata else each.metadata[_STATED]) or each.name
        for each in fields(family)
        if _OPTION in each.metadata or _STATED in each.metadata
    }
