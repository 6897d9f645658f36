"""The campaign's table: by kind of fault, how many trials and faults there were, and what was wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

COLUMNS = ("kind", "trials", "faults", "lost", "doubled", "changed", "tracebacks", "codes", "strays", "bad")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows by kind, and as text."""

    rows: Sequence[Mapping[str, Any]]
    text: str


def table(title: str, trials: Sequence[Mapping[str, Any]]) -> Table:
    """Add up trials.

    Args:
        title: Above the table.
        trials: As `Trial` has its fields.
    """
    kinds = list(dict.fromkeys(str(trial["kind"]) for trial in trials))
    rows = [_row(kind, [trial for trial in trials if trial["kind"] == kind]) for kind in kinds]
    cells = [COLUMNS, *(tuple(str(row[name]) for name in COLUMNS) for row in rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(COLUMNS))]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    return Table(rows, "\n".join([title, *lines]))


def _row(kind: str, trials: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    lists = ("lost", "doubled", "changed", "codes", "strays")
    sums = {name: sum(len(trial[name]) for trial in trials) for name in lists}
    bad = sum(any(trial[name] for name in (*lists, "tracebacks")) for trial in trials)
    faults = sum(int(trial["faults"]) for trial in trials)
    tracebacks = sum(int(trial["tracebacks"]) for trial in trials)
    return {"kind": kind, "trials": len(trials), "faults": faults, **sums, "tracebacks": tracebacks, "bad": bad}
