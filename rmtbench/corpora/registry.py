"""Which data sets there are: every module of this package, and every entry point, that exports a `DatasetKind`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import entry_points

import rmtbench.corpora
from rmtbench.corpora.base import DatasetKind
from rmtbench.errors import UserError

ENTRY_POINTS = "rmtbench.datasets"
"""Entry-point group in which other packages name a `DatasetKind`, such as ``mine = "mypackage.mine:DATASET"``."""

EXPORT = "DATASET"


@cache
def known_datasets() -> Mapping[str, DatasetKind]:
    """All data sets by name, in their order; a name of ours is never another package's.

    Raises:
        UserError: Another package's data set cannot be imported or is something else.
    """
    found: dict[str, DatasetKind] = {}
    for kind in (*_ours(), *_installed()):
        found.setdefault(kind.name, kind)
    return dict(sorted(found.items(), key=lambda item: (item[1].order, item[0])))


def _ours() -> Iterator[DatasetKind]:
    for module in pkgutil.iter_modules(rmtbench.corpora.__path__):
        kind = getattr(importlib.import_module(f"rmtbench.corpora.{module.name}"), EXPORT, None)
        if isinstance(kind, DatasetKind):
            yield kind


def _installed() -> Iterator[DatasetKind]:
    for point in entry_points(group=ENTRY_POINTS):
        try:
            found = point.load()
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            what = f"data set '{point.name}' cannot be imported ({error})"
            raise UserError(what, where=point.value, remedy="mend that package") from error
        if not isinstance(found, DatasetKind):
            raise UserError(f"data set '{point.name}' is no DatasetKind", where=point.value, remedy="mend that package")
        yield found
