"""Questions of a user's own as a table, as spreadsheets write it. Turns it into the rows of ``questions.jsonl``."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

from rmtbench.errors import UserError, nearest

COLUMNS = ("question", "answer", "answers", "id", "kind", "document", "about")
SEPARATES = re.compile(r"\s*sep=([,;\t|])\s*?\n")
SEPARATOR = "|"
"""Between the accepted answers of column ``answers``; ``answer`` is one answer, whatever it holds."""


def table_rows(text: str, where: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a table whose first line names the columns; a comma, semicolon or tab sets them apart.

    Args:
        text: The file.
        where: Its name, for messages.

    Yields:
        The line in which a row ends, and its fields; rows without any text are left out.

    Raises:
        UserError: A column is missing, unknown or named twice, or a row has a field that belongs to no named column.
    """
    said = SEPARATES.match(text)  # a spreadsheet may say it in a line of its own
    head = text.lstrip().partition("\n")[0]
    delimiter = said[1] if said else max(",;\t", key=head.count)
    # Written by hand, a text between quotes often follows a separator and a blank.
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        if said:
            next(reader)
        names = [name.strip().lower() for name in next(reader, [])]
        _check_names(names, where)
        for cells in reader:
            if any(cell.strip() for cell in cells):
                place = f"{where}, line {reader.line_num}"
                while len(cells) > len(names) and not cells[-1].strip():
                    cells.pop()
                if len(cells) > len(names):
                    raise UserError(
                        f"{len(cells)} fields in {len(names)} columns",
                        where=place,
                        remedy='put texts that hold the separator between double quotes: "..."',
                    )
                named = dict(zip(names, (cell.strip() for cell in cells), strict=False))
                if any(cell.strip() for name, cell in zip(names, cells, strict=False) if not name):
                    raise UserError("a field in a column without a name", where=place, remedy="name it or empty it")
                yield reader.line_num, _row(named)
    except csv.Error as error:
        raise UserError(
            f"not CSV: {error}", where=f"{where}, line {reader.line_num}", remedy="mend the file"
        ) from error


def _check_names(names: list[str], where: str) -> None:
    if "question" not in names or not {"answer", "answers"} & set(names):
        missing = "answer" if "question" in names else "question"
        raise UserError(
            f"no column '{missing}' in the first line (it has: {', '.join(names) or 'nothing'})",
            where=where,
            remedy="name the columns there: question, answer; and if you like id, kind, document, about",
        )
    for place, name in enumerate(names):
        if not name:
            continue  # spreadsheets write empty columns at the end
        if name in names[:place]:
            raise UserError(f"column '{name}' stands twice", where=where, remedy="leave one of both out")
        if name not in COLUMNS:
            left = [known for known in COLUMNS if known not in names]
            raise UserError(f"no column '{name}' is known", where=where, remedy=nearest(name, left))


def _row(cells: dict[str, str]) -> dict[str, Any]:
    """A row as a line of ``questions.jsonl`` has it; empty cells are left out."""
    row: dict[str, Any] = {name: cells[name] for name in ("question", "id", "kind") if cells.get(name)}
    answers = [part.strip() for part in cells.get("answers", "").split(SEPARATOR)]
    row["answers"] = [answer for answer in (cells.get("answer", ""), *answers) if answer]
    if cells.get("document"):
        row["evidence"] = [cells["document"]]
    if cells.get("about"):
        row["about"] = [cells["about"]]
    return row
