"""What is checked of every file before its fields are used: the schema version that stands in it, and their types."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rmtbench.errors import UserError
from rmtbench.options import flag

SCHEMA = 1
"""Version of every file under `results/`. Raise it when old files would be misread."""

NUMBER = (int, float)  # made once: `int | float` would be made anew for every value of every row
NUMBERS = frozenset((int, float, bool))  # truth values are whole numbers


def check_version(row: Mapping[str, Any], where: str) -> None:
    """Refuse a row or file written by another version.

    Args:
        row: The decoded JSON object.
        where: File and line, for the message.

    Raises:
        UserError: The schema version is missing or is not the one that this program writes.
    """
    found = row.get("schema")
    if found == SCHEMA:
        return
    if isinstance(found, int) and found > SCHEMA:
        remedy = f"upgrade rmtbench to read it, or choose another folder with {flag.results}"
    else:
        remedy = f"move the run aside, or choose another folder with {flag.results}"
    raise UserError(
        f"written by another version of rmtbench (schema {found!r}, this version reads {SCHEMA})",
        where=where,
        remedy=remedy,
    )


def damaged(where: str, error: Exception | str) -> UserError:
    """The error for a row that is JSON of the right version and still makes no sense.

    Args:
        where: File and line.
        error: What reading it raised, or the reason in words.
    """
    if isinstance(error, KeyError):
        reason = f"field {error} is missing"
    elif isinstance(error, Exception):
        reason = f"{type(error).__name__}: {error}"
    else:
        reason = error
    return UserError(f"damaged row ({reason})", where=where, remedy=f"start that run anew with {flag.fresh}")


def check_texts(name: str, values: Iterable[object]) -> None:
    """Raise a TypeError unless all values of a field are texts."""
    if not all(isinstance(value, str) for value in values):
        raise TypeError(f"field {name!r} holds something else than texts")


def text_of(row: Mapping[str, Any], name: str) -> str:
    """Return a field that holds a text.

    Raises:
        KeyError: There is none.
        TypeError: It holds something else.
    """
    value = row[name]
    if not isinstance(value, str):
        raise TypeError(f"field {name!r} is {type(value).__name__}, not a text")
    return value


def number_of(row: Mapping[str, Any], name: str) -> int:
    """Return a field that holds a whole number.

    Raises:
        KeyError: There is none.
        TypeError: It holds something else.
    """
    value = row[name]
    if not isinstance(value, int):
        raise TypeError(f"field {name!r} is {type(value).__name__}, not a whole number")
    return value


def check_numbers(values: dict[str, Any], may_be_unknown: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Return numbers by name; raise a TypeError if one is none, but for null where it may be unknown."""
    if NUMBERS.issuperset(map(type, values.values())):
        return values
    for name, value in values.items():
        if not isinstance(value, NUMBER) and not (value is None and name in may_be_unknown):
            raise TypeError(f"field {name!r} is {type(value).__name__}, not a number")
    return values


def read_json(path: Path) -> dict[str, Any]:
    """Read one versioned JSON object.

    Raises:
        UserError: The file is missing, is not a JSON object, or has another schema version.
    """
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError("missing", where=str(path), remedy=f"start that run anew with {flag.fresh}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"damaged: not JSON ({error})", where=str(path), remedy=f"start that run anew with {flag.fresh}"
        ) from error
    if not isinstance(value, dict):
        raise UserError("damaged: not an object", where=str(path), remedy=f"start that run anew with {flag.fresh}")
    check_version(value, str(path))
    return value


def value_at(tree: Mapping[str, Any], *path: str) -> object:
    """The value under names within names of a JSON object; None where there is none."""
    value: object = tree
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
