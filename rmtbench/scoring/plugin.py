"""Other packages' metrics: what they raise costs their own scores, and no answer and no other metric's score."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

from rmtbench.errors import PLUGIN_FAULTS, UserError, first_line
from rmtbench.journal.lines import encode
from rmtbench.plural import many
from rmtbench.scoring.base import Accounting, Item, Metric, MetricKind, Progress


@dataclass(frozen=True, slots=True)
class Scored:
    """One answer's values by a metric, and why it has none; empty where it has."""

    values: dict[str, float | None]
    error: str = ""


def make_plugin(kind: MetricKind, make: Callable[[], Metric]) -> Metric:
    """Make another package's metric.

    Args:
        kind: The metric.
        make: Makes it, with a judge or without.

    Raises:
        UserError: It cannot be made, or does not say what makes its values.
    """
    try:
        metric = make()
        dict(metric.scorers)
    except UserError:
        raise
    except PLUGIN_FAULTS as error:
        told = f"metric '{kind.name}' cannot be made ({first_line(error)})"
        raise UserError(told, remedy="mend its package, or name others with --metrics") from error
    return metric


def no_scores(kind: MetricKind, why: str) -> Scored:
    """An answer without any value by a metric."""
    return Scored({value.name: None for value in kind.values}, why)


def score_plugin(kind: MetricKind, metric: Metric, items: Sequence[Item], progress: Progress) -> list[Scored]:
    """Score by another package's metric. If it raises, each answer is scored by itself, and fails by itself."""
    try:
        return _checked(kind, metric.score(items, progress), len(items))
    except PLUGIN_FAULTS:
        return [_alone(kind, metric, item) for item in items]


def _alone(kind: MetricKind, metric: Metric, item: Item) -> Scored:
    try:
        [scored] = _checked(kind, metric.score([item], lambda _stage, _done, _total: None), 1)
    except PLUGIN_FAULTS as error:
        why = error.what if isinstance(error, UserError) else first_line(error)
        return no_scores(kind, why)
    return scored


def account_plugin(metric: Accounting, items: Sequence[Item]) -> dict[str, Any]:
    """What another package's metric says it took.

    Raises:
        UserError: It raised something, or gave something else than JSON values by name.
    """
    try:
        account = metric.account(items)
        encode(account)  # what JSON cannot hold raises an error
    except PLUGIN_FAULTS as error:
        raise UserError(error.what if isinstance(error, UserError) else first_line(error)) from error
    return account


def _checked(kind: MetricKind, rows: object, expected: int) -> list[Scored]:
    """A metric's rows, with the values that its kind declares.

    Raises:
        UserError: They are not as many as the answers, or hold something else than declared numbers.
    """
    if not isinstance(rows, Sequence) or len(rows) != expected:
        count = len(rows) if isinstance(rows, Sequence) else type(rows).__name__
        raise UserError(f"it gave {count} rows for {many(expected, 'answer')}")
    names = [value.name for value in kind.values]
    return [Scored(_values(row, names)) for row in rows]


def _values(row: object, names: Sequence[str]) -> dict[str, float | None]:
    if not isinstance(row, dict):
        raise UserError(f"it gave {type(row).__name__} in place of values by name")
    stray = next((name for name in row if name not in names), None)
    if stray is not None:
        raise UserError(f"it gave the value {stray!r}, which it does not declare")
    for name, value in row.items():
        if value is not None and not (isinstance(value, Real) and math.isfinite(value)):
            raise UserError(f"its value '{name}' is {value!r}, and no finite number")
    return {name: None if row.get(name) is None else float(row[name]) for name in names}
