"""Checks given values by the declarations; imports pydantic, and only when there are values to check."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from rmtbench.errors import UserError, check_home
from rmtbench.options.declare import REQUIRED, Option, options_of
from rmtbench.options.request import Request, all_options

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

LONGEST = 120
"""Characters of a value that a message repeats."""

Part = TypeVar("Part")


def checked(values: Mapping[str, Any]) -> Request:
    """Make a request of values by field.

    Raises:
        UserError: An unknown field, or a value that is none of its option's: which option, and what would be right.
    """
    model = _validated(_model(), values, all_options())
    for name in model.model_fields_set:
        check_home(option_name(name), getattr(model, name))
    taken = {name: getattr(model, name) for name in type(model).model_fields}
    return Request(**taken, given=frozenset(model.model_fields_set))


def checked_part(part: type[Part], values: Mapping[str, Any]) -> Part:
    """Make an object of one or some families of options, for a command that has no other.

    Args:
        part: A dataclass of declared options.
        values: By field.

    Raises:
        UserError: As `checked`.
    """
    options = options_of(part)
    model = _validated(_model_of(options), values, options)
    return part(**{name: getattr(model, name) for name in options})


def _validated(model: type[BaseModel], values: Mapping[str, Any], options: Mapping[str, Option]) -> BaseModel:
    from pydantic import ValidationError

    try:
        return model(**values)
    except ValidationError as error:
        raise _in_words(error, options) from error
    except UnicodeError as error:
        raise _not_text(values, options) from error


def option_name(field: str, options: Mapping[str, Option] | None = None) -> str:
    """Return a field as a person writes it, such as ``--top-k`` or ``--set deadline``.

    Args:
        field: Its name.
        options: The options that it is one of; None for those of `rmtbench run`.
    """
    option = (all_options() if options is None else options).get(field)
    return option.flag if option is not None else f"--{field.replace('_', '-')}"


def as_keys(text: str, flags: Collection[str] = ()) -> str:
    """Return a message with options by their keys in YAML files, where it names them by their flags.

    Args:
        text: Such as ``leave --top-k out``.
        flags: Fields whose flags stay.
    """
    keys = {option.flag: option.key for field, option in all_options().items() if field not in flags}
    longest_first = sorted(keys, key=len, reverse=True)
    return re.sub(rf"(?:{'|'.join(longest_first)})(?![\w-])", lambda found: keys[found[0]], text)


@cache
def _model() -> type[BaseModel]:
    return _model_of(all_options(), generated=(bool, False))


def _model_of(options: Mapping[str, Option], **more: Any) -> type[BaseModel]:  # noqa: ANN401 - fields of pydantic's
    """The declarations as a pydantic model."""
    from pydantic import ConfigDict, create_model

    config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
    fields: dict[str, Any] = {name: _field(option) for name, option in options.items()}
    return create_model("Given", __config__=config, **more, **fields)


def _field(option: Option) -> tuple[Any, Any]:
    """An option's type with its limits, and its default."""
    from pydantic import AfterValidator, BeforeValidator, Field

    limits = Field(
        ge=option.at_least,
        gt=option.above,
        le=option.at_most,
        min_length=1 if option.not_blank else None,
        allow_inf_nan=False if option.plain_type is float else None,  # no file of a run can hold another number
    )
    limited = any(limit is not None for limit in (option.at_least, option.above, option.at_most)) or option.not_blank
    if option.item_type is not None:
        item: Any = Annotated[option.item_type, limits] if limited else option.item_type
        kind: Any = Annotated[tuple[item, ...], Field(min_length=1)]
    else:
        kind = Annotated[option.plain_type, limits] if limited else option.plain_type
        if option.plain_type is not option.type:
            kind = kind | None
    if option.check is not None:
        kind = Annotated[kind, AfterValidator(option.check)]
    if option.on_off:
        words: dict[Any, str | None] = {True: "on", False: "off"} if option.choices else {True: "on", False: None}
        words |= {"off": words[False]}
        kind = Annotated[kind, BeforeValidator(lambda given: _word(given, words))]
    return kind, ... if option.default is REQUIRED else option.default


def _word(given: object, words: Mapping[Any, str | None]) -> object:
    """YAML reads `on` and `off` as truth values."""
    return words[given] if isinstance(given, bool | str) and given in words else given


def _in_words(error: ValidationError, options: Mapping[str, Option]) -> UserError:
    """What pydantic found, for someone who does not know it."""
    first = error.errors(include_url=False)[0]
    field = str(first["loc"][0]) if first["loc"] else ""
    name = option_name(field, options)
    kind, message = first["type"], first["msg"]
    if kind == "too_short":
        message = "names nothing"
    elif kind == "int_parsing":
        message = "must be a whole number"
    elif kind == "path_type":
        message = "must be a path"
    message = (
        message.removeprefix("Value error, ")
        .replace("Input should", "must")
        .replace("greater than or equal to", "at least")
    )
    what, _, remedy = message.partition("; ")
    return UserError(
        f"{what} (given: {_shortened(repr(first['input']))})",
        where=name,
        remedy=remedy or _takes(options.get(field), name),
    )


def _not_text(values: Mapping[str, Any], options: Mapping[str, Option]) -> UserError:
    """Name the first value with bytes that are no text, as the shell passes them on."""
    name = next((name for name, value in values.items() if _is_no_text(str(value))), "")
    return UserError("holds bytes that are not UTF-8 text", where=option_name(name, options), remedy="give it in UTF-8")


def _is_no_text(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _takes(option: Option | None, name: str) -> str:
    """Say what an option takes: a rare one is not in the help of a command."""
    if option is not None and option.rare:
        return f"{name}: {option.help}"
    return f"see rmtbench run --help for what {name} takes"


def _shortened(text: str) -> str:
    """A message's part that a user can still read."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 4]}...{text[-1]}"
