"""Which data sets there are: every module of this package, and every entry point, that exports a `DatasetKind`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import rmtbench.corpora
from rmtbench.corpora.base import DatasetKind
from rmtbench.errors import UserError
from rmtbench.plugins import declared, entry_points_of, load_declared

ENTRY_POINTS = "rmtbench.datasets"
"""Entry-point group in which other packages name a `DatasetKind`, such as ``mine = "mypackage.mine:DATASET"``."""


def known_datasets() -> Mapping[str, DatasetKind]:
    """All data sets that can be used, by name and in their order; a name of ours is never another package's."""
    return _all()[0]


def broken_datasets() -> Mapping[str, UserError]:
    """Data sets of other packages that cannot be used, by the names of their entry points, each with the reason."""
    return _all()[1]


def is_plugin(name: str) -> bool:
    """Whether a data set comes from another package."""
    return name in known_datasets() and name not in _ours()


@cache
def _all() -> tuple[Mapping[str, DatasetKind], Mapping[str, UserError]]:
    found = dict(_ours())
    broken: dict[str, UserError] = {}
    for point in entry_points_of(ENTRY_POINTS):
        try:
            kind = load_declared(point, DatasetKind, "data set")
        except UserError as error:
            broken[point.name] = error
            continue
        if kind.name in found:
            owner = "built in" if kind.name in _ours() else "another package's"
            what = f"data set '{kind.name}' is {owner}, so this one is not used"
            broken[point.name] = UserError(what, where=point.value, remedy="give it another name")
        else:
            found[kind.name] = kind
    return dict(sorted(found.items(), key=lambda item: (item[1].order, item[0]))), broken


@cache
def _ours() -> Mapping[str, DatasetKind]:
    return {kind.name: kind for kind in declared(rmtbench.corpora, "DATASET", DatasetKind)}
