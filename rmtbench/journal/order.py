"""The order of a run's rows: by draw, as one process writes them, even if several processes answered."""

from __future__ import annotations

from itertools import pairwise

from rmtbench.errors import UserError
from rmtbench.journal.layout import RunFolder
from rmtbench.journal.lines import drop_torn_line, number_rows, refuse_link, write_whole
from rmtbench.options import flag

BY_DRAW = ("corpora", "gold", "prepared", "answers", "usage")
"""Files of a run whose rows name their draw, as attributes of `RunFolder`."""


def order_by_draw(folder: RunFolder) -> None:
    """Put the rows of a run in the order of their draws; rows of one draw keep theirs, and no byte of a row changes.

    Only a run's writer may do it. Each file is replaced whole or not at all, and a run with only some of them in order
    is as complete as before.

    Args:
        folder: The run.

    Raises:
        UserError: A row is damaged, or the disk is full.
    """
    for name in BY_DRAW:
        path = getattr(folder, name)
        if not path.exists():
            continue
        refuse_link(path)
        drop_torn_line(path)
        with path.open("rb") as stream:
            lines = list(stream)
        draws = []
        for where, row in number_rows(lines, path):
            if not isinstance(row.get("draw"), int):
                raise UserError("damaged: no draw", where=where, remedy=f"start that run anew with {flag.fresh}")
            draws.append(row["draw"])
        if any(one > other for one, other in pairwise(draws)):
            ordered = sorted(range(len(lines)), key=draws.__getitem__)
            write_whole(path, b"".join(lines[place] for place in ordered))
