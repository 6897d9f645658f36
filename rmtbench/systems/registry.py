"""Names of systems to what builds them: ours by import string, other packages' by the entry-point group."""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points

from rmtbench.errors import UserError, nearest
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
            except (ImportError, AttributeError) as error:
                raise UserError(
                    f"system '{name}' cannot be imported ({error})", where=point.value, remedy="mend that package"
                ) from error
            except (TypeError, ValueError) as error:  # a kind as an earlier version had it, or an unknown need
                raise UserError(
                    f"system '{name}' cannot be built ({error})",
                    where=point.value,
                    remedy="state what it needs as docs/plugins.md says: SystemKind(name, summary, make, needs={...})",
                ) from error
            if not isinstance(found, SystemKind):
                raise UserError(f"system '{name}' is not a SystemKind", where=point.value, remedy="mend that package")
            return found
    names = system_names()
    family = [each for each in names if each.startswith(f"{name}-")]  # "rag" is no typing error of "cag"
    remedy = nearest(family[0] if family else name, names)
    raise UserError(f"no system '{name}'", where="--system", remedy=remedy)
