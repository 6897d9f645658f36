"""All metrics by name: those that this package's modules declare, and those that other packages name.

A module declares one `MetricKind`, or several as a tuple, under the name ``METRIC``; another package names one in the
entry-point group.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint

from rmtbench import scoring
from rmtbench.errors import UserError, nearest
from rmtbench.plugins import declared, entry_points_of, load_declared
from rmtbench.scoring.base import MetricKind

ENTRY_POINTS = "rmtbench.metrics"
"""Entry-point group in which other packages name a `MetricKind`, such as ``mine = "mypackage.mine:METRIC"``."""


@cache
def our_metrics() -> Mapping[str, MetricKind]:
    """The metrics of this package by name, in the order of their columns."""
    return {kind.name: kind for kind in sorted(declared(scoring, "METRIC", MetricKind), key=_place)}


def is_plugin(name: str) -> bool:
    """Whether a metric comes from another package."""
    return name not in our_metrics()


def metric_names() -> tuple[str, ...]:
    """All metrics that can be made without a judge, ours first: what is made where nobody says which."""
    ours = [name for name, kind in our_metrics().items() if kind.judged is None]
    others = _made_plugins().items()
    return (*ours, *sorted(name for name, found in others if found.judged is None))


def judged_names() -> tuple[str, ...]:
    """All metrics that a judge makes, ours first: what is made besides where the user names one."""
    kinds = [*our_metrics().items(), *sorted(_made_plugins().items())]
    return tuple(name for name, kind in kinds if kind.judged is not None)


def broken_metrics() -> dict[str, UserError]:
    """Metrics of other packages that are not used, each with the reason."""
    return {name: found for name, found in _plugins().items() if isinstance(found, UserError)}


def find_metric(name: str) -> MetricKind:
    """The metric of that name.

    Raises:
        UserError: There is none, or another package's cannot be made.
    """
    ours, others = our_metrics(), _plugins()
    found = ours.get(name) or others.get(name)
    if found is None:
        raise UserError(f"no metric '{name}'", where="--metrics", remedy=nearest(name, (*ours, *others)))
    if isinstance(found, UserError):
        raise found
    return found


def _plugins() -> dict[str, MetricKind | UserError]:
    """Other packages' metrics, or why there is none; a name of ours stays ours."""
    ours = our_metrics()
    found: dict[str, MetricKind | UserError] = {}
    for point in entry_points_of(ENTRY_POINTS):
        if point.name in ours:
            what = f"metric '{point.name}' is built in, so this one is not used"
            found[point.name] = UserError(what, where=point.value, remedy="give it another name")
        else:
            found[point.name] = _load(point)
    return found


def _made_plugins() -> dict[str, MetricKind]:
    return {name: found for name, found in _plugins().items() if isinstance(found, MetricKind)}


def _load(point: EntryPoint) -> MetricKind | UserError:
    try:
        kind = load_declared(point, MetricKind, "metric")
    except UserError as error:
        return error
    if kind.name != point.name:
        told = f"metric '{point.name}' calls itself '{kind.name}'"
        return UserError(told, where=point.value, remedy="give the entry point the name of its record")
    taken = {value.name for ours in our_metrics().values() for value in ours.values}
    if theirs := [value.name for value in kind.values if value.name in taken]:
        told = f"metric '{point.name}' makes '{theirs[0]}', which rmtbench makes"
        return UserError(told, where=point.value, remedy="rename that value")
    return kind


def _place(kind: MetricKind) -> tuple[int, str]:
    """Where a metric's first column stands; behind all others where it has none."""
    return (min((value.order for value in kind.values if value.order is not None), default=10**6), kind.name)
