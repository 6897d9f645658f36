"""``--set NAME=VALUE`` of commands other than `rmtbench run`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from rmtbench.errors import UserError, nearest
from rmtbench.options.check import checked_part
from rmtbench.options.declare import Option, options_of

Family = TypeVar("Family")


def read_settings(family: type[Family], given: Mapping[str, Any], settings: Sequence[str] = ()) -> Family:
    """Make a family's options of flags and ``NAME=VALUE`` texts.

    Args:
        family: A frozen dataclass of declared options.
        given: Values of flags, by field.
        settings: As behind ``--set``; the last one of a name counts.

    Raises:
        UserError: A name that the family has not, or a value that is none of its option's.
    """
    options = options_of(family)
    return checked_part(family, {**given, **dict(_named(text, options) for text in settings)})


def _named(text: str, options: Mapping[str, Option]) -> tuple[str, str]:
    """A setting's field and value."""
    name, equals, value = text.partition("=")
    known = {option.key.replace("_", "-"): field for field, option in options.items() if option.rare}
    field = known.get(name.strip().replace("_", "-"))
    if not equals or field is None:
        remedy = nearest(name.strip(), known) if equals else "write --set NAME=VALUE"
        raise UserError(f"no setting '{text}'", where="--set", remedy=remedy)
    return field, value.strip()
