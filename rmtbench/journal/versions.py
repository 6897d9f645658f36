"""The schema version that stands in every file, checked before any other field is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rmtbench.errors import UserError

SCHEMA = 1
"""Version of every file under `results/`. Raise it when old files would be misread."""


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
        remedy = "upgrade rmtbench to read it, or choose another folder with --results"
    else:
        remedy = "move the run aside, or choose another folder with --results"
    raise UserError(
        f"written by another version of rmtbench (schema {found!r}, this version reads {SCHEMA})",
        where=where,
        remedy=remedy,
    )
