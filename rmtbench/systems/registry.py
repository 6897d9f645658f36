"""Names of systems to what builds them: ours by import string, other packages' by the entry-point group."""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points

from rmtbench.errors import UserError, first_line, nearest
from rmtbench.systems.base import SystemKind

ENTRY_POINTS = "rmtbench.systems"
"""Entry-point group in which other packages name a `SystemKind`, such as ``mine = "mypackage.mine:MINE"``."""

_OURS = {
    "closed-book": "rmtbench.systems.in_prompt:CLOSED_BOOK",
    "oracle": "rmtbench.systems.in_prompt:ORACLE",
    "full-context": "rmtbench.systems.in_prompt:FULL_CONTEXT",
    "cag": "rmtbench.systems.cag:CAG",
    "rag-sparse": "rmtbench.systems.rag:RAG_SPARSE",
    "rag-dense": "rmtbench.systems.rag:RAG_DENSE",
    "rag-hybrid": "rmtbench.systems.rag:RAG_HYBRID",
    "rmt-memory": "rmtbench.systems.rmt:RMT_MEMORY",
    "rmt-query-first": "rmtbench.systems.rmt:RMT_QUERY_FIRST",
    "rmt-text": "rmtbench.systems.rmt_text:RMT_TEXT",
}


def system_names() -> list[str]:
    """All known systems, ours first, without importing any."""
    return [*_OURS, *sorted(point.name for point in entry_points(group=ENTRY_POINTS) if point.name not in _OURS)]


def is_plugin(name: str) -> bool:
    """Whether a system comes from another package."""
    return name not in _OURS


def working_systems() -> tuple[dict[str, SystemKind], dict[str, UserError]]:
    """Load all systems. One broken package stops no other.

    Returns:
        The systems by name, ours first, and the errors of those that cannot be used. A built-in's name that another
        package has taken is among the errors, too; the built-in stays.
    """
    found: dict[str, SystemKind] = {}
    broken: dict[str, UserError] = {}
    for name in system_names():
        try:
            found[name] = find_system(name)
        except UserError as error:
            broken[name] = error
    for point in entry_points(group=ENTRY_POINTS):
        if point.name in _OURS:
            what = f"system '{point.name}' is built in, so this one is not used"
            broken[point.name] = UserError(what, where=point.value, remedy="give it another name")
    return found, broken


def find_system(name: str) -> SystemKind:
    """The system of that name.

    Raises:
        UserError: There is none, or another package's cannot be imported or is something else.
    """
    if name in _OURS:
        module, _, attribute = _OURS[name].partition(":")
        kind: SystemKind = getattr(importlib.import_module(module), attribute)
        return kind
    for point in entry_points(group=ENTRY_POINTS):
        if point.name == name:
            try:
                found = point.load()
            except (TypeError, ValueError) as error:  # a kind as an earlier version had it, or an unknown need
                raise UserError(
                    f"system '{name}' cannot be built ({error})",
                    where=point.value,
                    remedy="state what it needs as docs/guides/plugin.md says: "
                    "SystemKind(name, summary, make, needs={...})",
                ) from error
            except Exception as error:  # whatever a package does when it is imported
                what = error if isinstance(error, ImportError | AttributeError) else first_line(error)
                raise UserError(
                    f"system '{name}' cannot be imported ({what})", where=point.value, remedy="mend that package"
                ) from error
            if not isinstance(found, SystemKind):
                raise UserError(f"system '{name}' is not a SystemKind", where=point.value, remedy="mend that package")
            if found.name in _OURS:
                what = f"system '{name}' calls itself '{found.name}', and a built-in system has that name"
                raise UserError(what, where=point.value, remedy="give its SystemKind another name")
            return found
    names = system_names()
    family = [each for each in names if each.startswith(f"{name}-")]  # "rag" is no typing error of "cag"
    remedy = nearest(family[0] if family else name, names)
    raise UserError(f"no system '{name}'", where="--system", remedy=remedy)
