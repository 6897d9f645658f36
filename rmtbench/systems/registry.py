"""All systems by name: those that this package's modules declare, and those that other packages name.

A module declares one `SystemKind`, or a family of them as a tuple, under the name ``KIND``; another package names each
of its own in the entry-point group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import EntryPoint

from rmtbench import systems
from rmtbench.errors import UserError, nearest
from rmtbench.options import flag
from rmtbench.plugins import declared, entry_points_of, load_declared
from rmtbench.systems.base import SystemKind

ENTRY_POINTS = "rmtbench.systems"
"""Entry-point group in which other packages name a `SystemKind`, such as ``mine = "mypackage.mine:KIND"``."""


@cache
def our_systems() -> Mapping[str, SystemKind]:
    """Return the systems of this package by name, in the order of their rows in tables."""
    kinds = declared(systems, "KIND", SystemKind)
    return {kind.name: kind for kind in sorted(kinds, key=lambda kind: kind.place)}


def system_names() -> list[str]:
    """Return the names of all systems, ours first, without importing another package."""
    return [*our_systems(), *sorted(point.name for point in _points() if not _is_taken(point))]


def is_plugin(name: str) -> bool:
    """Whether a system comes from another package."""
    return name not in our_systems()


def working_systems() -> tuple[dict[str, SystemKind], dict[str, UserError]]:
    """Load all systems. One broken package stops no other.

    Returns:
        The systems by name, ours first, and the errors of those that cannot be used. If another package has taken the
        name of one of ours, its error is there, too, and ours stays.
    """
    found: dict[str, SystemKind] = {}
    broken: dict[str, UserError] = {}
    for name in system_names():
        try:
            found[name] = find_system(name)
        except UserError as error:
            broken[name] = error
    for point in filter(_is_taken, _points()):
        what = f"system '{point.name}' is built in, so this one is not used"
        broken[point.name] = UserError(what, where=point.value, remedy="give it another name")
    return found, broken


def find_system(name: str) -> SystemKind:
    """Return the system of that name.

    Raises:
        UserError: There is none, or another package's cannot be imported or is something else.
    """
    if name in our_systems():
        return our_systems()[name]
    for point in _points():
        if point.name == name:
            return _load(point)
    names = system_names()
    family = [each for each in names if each.startswith(f"{name}-")]  # "rag" is not a typing error for "cag"
    remedy = nearest(family[0] if family else name, names)
    raise UserError(f"no system '{name}'", where=flag.systems, remedy=remedy)


def _points() -> Sequence[EntryPoint]:
    return entry_points_of(ENTRY_POINTS)


def _is_taken(point: EntryPoint) -> bool:
    return point.name in our_systems()


def _load(point: EntryPoint) -> SystemKind:
    """Load another package's system.

    Raises:
        UserError: It cannot be imported, is no `SystemKind`, or has a name or label of ours.
    """
    found = load_declared(point, SystemKind, "system")
    if taken := next((each for each in (found.name, found.label) if each in our_systems()), None):
        what = f"system '{point.name}' calls itself '{taken}', and a built-in system has that name"
        raise UserError(what, where=point.value, remedy="give its SystemKind another name")
    return found
