"""Read JSON from users' files, so that every defect is named by file, row and field."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, overload

from rmtbench.errors import UserError

T = TypeVar("T")

KINDS: Mapping[type, str] = {
    str: "a text", int: "a whole number", float: "a number", bool: "a truth value", list: "a list", dict: "an object",
    NoneType: "null",
}  # fmt: skip
"""What JSON's types are called in messages."""

_HALF = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F]"
)
"""What may be half of a character that takes two escapes; behind another backslash it is none."""


class MadeRows(Sequence[T]):
    """Rows, each made when it is asked for: all of them together may be gigabytes.

    Args:
        count: How many there are.
        make: Makes the row of a number, from 0.
    """

    def __init__(self, count: int, make: Callable[[int], T]) -> None:
        self._count, self._make = count, make

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, number: int) -> T: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[T]: ...
    def __getitem__(self, number: int | slice) -> T | Sequence[T]:
        places = range(self._count)[number]
        return [self._make(place) for place in places] if isinstance(places, range) else self._make(places)


def load_json(path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    """Decode one JSON file.

    Raises:
        UserError: The file is missing, empty, not UTF-8 or not JSON (with line and column).
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=str(path), remedy="check the path") from error
    if not data.strip():
        raise UserError("the file is empty", where=str(path), remedy="download it again")
    return decode(data, str(path))


class _RepeatedError(ValueError):
    """A key stands twice in an object."""


def decode(data: bytes, where: str, line: int = 1, *, once: bool = False) -> Any:  # noqa: ANN401 - whatever it holds
    """Decode one JSON text.

    Args:
        data: The text.
        where: Its file, for the message.
        line: The line of the file that it begins in.
        once: Whether a key may stand only once in an object.

    Raises:
        UserError: It is not UTF-8 or not JSON, holds half a character, or is nested or has numbers beyond all measure.
    """
    try:
        decoded = json.loads(data, object_pairs_hook=_once if once else None)
    except json.JSONDecodeError as error:
        raise UserError(
            f"not JSON: {error.msg}",
            where=f"{where}, line {line + error.lineno - 1}, column {error.colno}",
            remedy="mend the file or download it again",
        ) from error
    except UnicodeDecodeError as error:
        number = line + error.object[: error.start].count(b"\n")
        raise UserError("not UTF-8 text", where=f"{where}, line {number}", remedy="save it as UTF-8") from error
    except _RepeatedError as error:
        raise UserError(f"key '{error}' stands twice", where=f"{where}, line {line}", remedy="keep one") from error
    except (RecursionError, ValueError) as error:  # of a number, that it has thousands of digits
        what = "nested too deeply" if isinstance(error, RecursionError) else "a number is too long"
        raise UserError(what, where=f"{where}, line {line}", remedy="mend the file") from error
    if _HALF.search(data):  # encoding all of it again would cost a large file seconds
        _refuse_halves(decoded, data, where, line)
    return decoded


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        raise _RepeatedError(next(name for place, name in enumerate(names) if name in names[:place]))
    return made


def _refuse_halves(decoded: object, data: bytes, where: str, line: int) -> None:
    """Refuse half of a character: Python decodes it, and no tokenizer takes it."""
    try:
        json.dumps(decoded, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = rf"\u{ord(error.object[error.start]):04x}"
        before = data[: max(0, data.lower().find(half.encode()))]
        number = line + before.count(b"\n")
        raise UserError(
            f"half a character ({half})",
            where=f"{where}, line {number}",
            remedy="write the whole character, or both of its halves",
        ) from error


def field(row: object, name: str, kind: type[T], where: str) -> T:
    """One field of a row, of the type it must have.

    Args:
        row: The decoded row.
        name: The field.
        kind: Its type.
        where: File and row, for the message.

    Raises:
        UserError: The row is not an object, or the field is missing or of another type.
    """
    if not isinstance(row, Mapping):
        raise UserError("not an object", where=where, remedy="see docs/reference/data.md for the format")
    if name not in row:
        raise UserError(f"field '{name}' is missing", where=where, remedy="see docs/reference/data.md for the format")
    value = row[name]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise UserError(
            f"field '{name}' must be {KINDS[kind]}, not {KINDS.get(type(value), type(value).__name__)}",
            where=where,
            remedy="see docs/reference/data.md for the format",
        )
    return value


def text_field(row: object, name: str, where: str) -> str:
    """A text field that is not blank.

    Raises:
        UserError: It is missing, not a text, or blank.
    """
    value = field(row, name, str, where)
    if not value.strip():
        raise UserError(f"field '{name}' is blank", where=where, remedy="fill it in or remove the row")
    return value


def listed(value: object, kind: type[T], where: str) -> Sequence[T]:
    """A list whose items all have one type.

    Raises:
        UserError: It is not a list, or an item has another type.
    """
    if not isinstance(value, list) or not all(isinstance(item, kind) for item in value):
        what = f"must be a list of {KINDS[kind].partition(' ')[2]}s"
        raise UserError(what, where=where, remedy="see docs/reference/data.md for the format")
    return value


def check_ids(ids: Iterable[str], where: str) -> None:
    """Refuse questions of one id: answers are kept by it, so that all but one would be lost.

    Args:
        ids: Of all questions.
        where: Their file, for the message.

    Raises:
        UserError: An id stands twice.
    """
    seen: set[str] = set()
    for identity in ids:
        if identity in seen:
            raise UserError(f"question id '{identity}' stands twice", where=where, remedy="make the ids unique")
        seen.add(identity)
