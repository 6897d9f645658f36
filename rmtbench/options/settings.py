"""Options of commands other than `rmtbench run`, ``--set NAME=VALUE`` among them, checked by their declarations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from rmtbench.errors import UserError, nearest
from rmtbench.options.declare import Option, options_of

if TYPE_CHECKING:
    from pydantic import ValidationError

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
    from pydantic import ConfigDict, ValidationError, create_model

    from rmtbench.options.check import _field

    options = options_of(family)
    values = {**given, **dict(_named(text, options) for text in settings)}
    fields: dict[str, Any] = {name: _field(option) for name, option in options.items()}
    model = create_model("Settings", __config__=ConfigDict(extra="forbid", protected_namespaces=()), **fields)
    try:
        checked = model(**values)
    except ValidationError as error:
        raise _in_words(error, options) from error
    return family(**{name: getattr(checked, name) for name in options})


def _named(text: str, options: Mapping[str, Option]) -> tuple[str, str]:
    """A setting's field and value."""
    name, equals, value = text.partition("=")
    known = {option.key.replace("_", "-"): field for field, option in options.items() if option.rare}
    field = known.get(name.strip().replace("_", "-"))
    if not equals or field is None:
        remedy = nearest(name.strip(), known) if equals else "write --set NAME=VALUE"
        raise UserError(f"no setting '{text}'", where="--set", remedy=remedy)
    return field, value.strip()


def _in_words(error: ValidationError, options: Mapping[str, Option]) -> UserError:
    """What pydantic found, for someone who does not know it."""
    first = error.errors(include_url=False)[0]
    option = options[str(first["loc"][0])]
    what = first["msg"].replace("Input should", "must").replace("greater than or equal to", "at least")
    remedy = nearest(str(first["input"]), option.choices) if option.choices else f"{option.flag}: {option.help}"
    return UserError(f"{what} (given: {first['input']!r})", where=option.flag, remedy=remedy)
