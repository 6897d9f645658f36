"""Append-only JSON lines that survive a kill: a torn last line is dropped, anything else damaged is an error."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from io import BufferedWriter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from rmtbench.errors import UserError, disk_errors
from rmtbench.files import write_atomically
from rmtbench.journal.checks import SCHEMA, check_version
from rmtbench.options import flag


def dumps(row: Mapping[str, Any]) -> str:
    """One row as compact JSON with the schema version first, characters outside ASCII kept as they are."""
    return json.dumps({"schema": SCHEMA, **row}, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def encode(row: Mapping[str, Any]) -> bytes:
    """`dumps` as one line of UTF-8; half a surrogate pair, which a model can write, is stored as ``?``."""
    return (dumps(row) + "\n").encode("utf-8", "replace")


def read_numbered(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of a JSON-lines file with the place of each, without a torn last line.

    Args:
        path: The file; a missing one has no rows.

    Yields:
        File and line for messages, and the decoded object, its schema version checked.

    Raises:
        UserError: A line that is not the last one is not JSON, or a row has another schema version.
    """
    if not path.exists():
        return
    with path.open("rb") as stream:
        yield from number_rows(stream, path)


def number_rows(lines: Iterable[bytes], path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """`read_numbered` of lines that were read already.

    Args:
        lines: They end with their line feeds; one without is torn, and the end.
        path: The file they are of, for messages.

    Raises:
        UserError: As `read_numbered`.
    """
    name = str(path)
    for number, line in enumerate(lines, start=1):
        if not line.endswith(b"\n"):
            return  # torn by a kill while it was written: that row is made again
        where = f"{name}, line {number}"
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError:
            row = _read_slowly(line, where)
        if not isinstance(row, dict):
            raise UserError("damaged: not an object", where=where, remedy=f"remove that line, or use {flag.fresh}")
        check_version(row, where)
        yield where, row


def _read_slowly(line: bytes, where: str) -> object:
    """What orjson refuses: the standard library takes half a surrogate pair, and words the errors."""
    try:
        return json.loads(line.decode(), parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"damaged: not JSON ({error})", where=where, remedy=f"remove that line, or start anew with {flag.fresh}"
        ) from error


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is no finite number")
    return number


class LineWriter:
    """Appends rows to a file, each flushed to the operating system before `append` returns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream: BufferedWriter | None = None

    def __enter__(self) -> Self:
        refuse_link(self._path)
        with disk_errors(self._path, flag.results):
            drop_torn_line(self._path)
            self._stream = self._path.open("ab")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            # What a full disk refused stays in the buffer; closing the descriptor first keeps it from trying again.
            self._stream.raw.close()
            self._stream = None

    def append(self, row: Mapping[str, Any]) -> None:
        """Write one row.

        Args:
            row: JSON values by field; the schema version is added.

        Raises:
            UserError: The disk is full.
            RuntimeError: The writer is not open.
        """
        if self._stream is None:
            raise RuntimeError("append outside the with block")
        with disk_errors(self._path, flag.results):
            self._stream.write(encode(row))
            self._stream.flush()


def refuse_link(path: Path) -> None:
    """Refuse to write where a symbolic link stands: folders from elsewhere could lead to any other place.

    Args:
        path: A file or folder below the folder that the user named.

    Raises:
        UserError: It is a link, and not one to a device such as /dev/null, which has nothing to lose.
    """
    if path.is_symlink() and not path.is_char_device():
        raise UserError(
            "is a symbolic link, and nothing is written through links",
            where=str(path),
            remedy="remove the link, or put what it names in its place",
        )


def drop_torn_line(path: Path) -> None:
    """Cut the file back to its last complete line, so that the next row starts on a line of its own."""
    if not path.is_file():
        return
    with path.open("r+b") as stream:
        end = stream.seek(0, os.SEEK_END)
        keep = end
        while keep > 0:
            start = max(0, keep - 65536)
            stream.seek(start)
            cut = stream.read(keep - start).rfind(b"\n")
            if cut >= 0:
                keep = start + cut + 1
                break
            keep = start
        if keep != end:
            stream.truncate(keep)


def write_whole(path: Path, data: bytes, *, option: str = flag.results) -> None:
    """Write a file whole or not at all, and say what the user can do where that fails.

    Args:
        path: The file to make or replace.
        data: Its whole content.
        option: What chooses another place, for the message.

    Raises:
        UserError: The disk is full or the folder cannot be written.
        OSError: Anything else that the system refuses, by the name of the file that was to be.
    """
    with disk_errors(path, option):
        write_atomically(path, data)
