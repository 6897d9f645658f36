"""What is found by name without a list of it: declarations in our own modules, and in other packages' entry points."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import TypeVar

from rmtbench.errors import PLUGIN_FAULTS, UserError, first_line

Kind = TypeVar("Kind")


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
