"""Reads tables of published figures from the data files of this folder: the only place that knows their format.

A file holds tables by name; a table holds its `source`, `columns`, `rows` and perhaps a `note`.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any


def read_facts(paper: str) -> dict[str, str]:
    """Return what a file says of its paper as a whole: `paper`, and whatever else is a text.

    Args:
        paper: The file's name without its ending.
    """
    return {name: value for name, value in _load(paper).items() if isinstance(value, str)}


def read_rows(paper: str, table: str) -> list[dict[str, Any]]:
    """Return a table's rows by column, each with the table's `source`.

    Args:
        paper: The file's name without its ending.
        table: The table's name.

    Raises:
        ValueError: The table names no source, or a row has not one value a column.
    """
    found = _load(paper)["tables"][table]
    if not found["source"]:
        raise ValueError(f"{paper}.json: {table} names no source")
    return [{**dict(zip(found["columns"], row, strict=True)), "source": found["source"]} for row in found["rows"]]


@cache
def _load(paper: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((files(__package__) / f"{paper}.json").read_text(encoding="utf-8"))
    return content
