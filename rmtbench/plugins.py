"""What is found by name without a list of it: declarations in our own modules, and in other packages' entry points."""

from __future__ import annotations

import pkgutil
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import Distribution, EntryPoint, distributions, entry_points
from types import ModuleType
from typing import TypeVar

from rmtbench.errors import PLUGIN_FAULTS, UserError, first_line

Kind = TypeVar("Kind")

UNREADABLE = (OSError, ValueError, TypeError)
"""What reading a damaged list of entry points raises."""


def declared(package: ModuleType, export: str, kind: type[Kind]) -> list[Kind]:
    """Return what the modules of a package declare.

    Args:
        package: Each of its modules is imported.
        export: The name under which a module declares one, or a family of them as a tuple.
        kind: What a declaration is an instance of.
    """
    modules = (import_module(f"{package.__name__}.{each.name}") for each in pkgutil.iter_modules(package.__path__))
    found = (getattr(module, export, ()) for module in modules)
    return [one for some in found for one in (some if isinstance(some, tuple) else (some,)) if isinstance(one, kind)]


def entry_points_of(group: str) -> tuple[EntryPoint, ...]:
    """Return what other packages name under a group; see `unreadable_packages` for those that are left out."""
    try:
        return tuple(entry_points(group=group))
    except UNREADABLE:  # one package's list takes all others with it
        named = (point for package in distributions() for point in _points(package) if point.group == group)
        return tuple(dict.fromkeys(named))


def unreadable_packages() -> dict[str, UserError]:
    """Return the packages whose list of entry points cannot be read, each with the reason."""
    found: dict[str, UserError] = {}
    for package in distributions():
        try:
            list(package.entry_points)
        except UNREADABLE as error:
            what = f"its entry_points.txt cannot be read ({first_line(error)})"
            found[package.name] = UserError(what, where=package.name, remedy="install it again")
    return found


def _points(package: Distribution) -> Sequence[EntryPoint]:
    try:
        return tuple(package.entry_points)
    except UNREADABLE:
        return ()


def load_declared(point: EntryPoint, kind: type[Kind], noun: str) -> Kind:
    """Return what another package declares.

    Args:
        point: Names the declaration.
        kind: What it must be an instance of.
        noun: What it is to a user, such as ``metric``.

    Raises:
        UserError: It cannot be imported, or is something else.
    """
    declare = "declare it as docs/guides/plugin.md says"
    try:
        found = point.load()
    except PLUGIN_FAULTS as error:  # another package's code can raise anything
        # These two are of an earlier version's declaration, or of a need that does not exist.
        remedy = declare if isinstance(error, TypeError | ValueError) else "mend that package, or uninstall it"
        what = f"{noun} '{point.name}' cannot be imported ({first_line(error)})"
        raise UserError(what, where=point.value, remedy=remedy) from error
    if not isinstance(found, kind):
        raise UserError(f"{noun} '{point.name}' is not a {kind.__name__}", where=point.value, remedy=declare)
    return found
