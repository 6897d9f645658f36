"""Systems of runs that were begun before a run's files said what tables must know of its system.

These runs had only systems of this package, or other packages' systems, which had no place or look of their own.
"""

from __future__ import annotations

from rmtbench.core import SystemTraits
from rmtbench.journal.record import RunHead

_EARLIER = (
    SystemTraits("closed-book", order=10, family="reference", colour="grey", marker="x"),
    SystemTraits("oracle", needs={"gold", "evidence"}, order=20, family="reference", marker="*"),
    SystemTraits(
        "full-context", needs={"whole-corpus"}, order=30, family="whole corpus", colour="blue", marker="s", twin="cag"
    ),
    SystemTraits(
        "cag",
        needs={"whole-corpus", "prefix-cache"},
        order=40,
        family="whole corpus",
        colour="vermilion",
        marker="o",
        twin="full-context",
    ),
    SystemTraits("rag-sparse", needs={"chunks", "words"}, order=50, family="retrieval", colour="green", marker="^"),
    SystemTraits("rag-dense", needs={"chunks", "embedder"}, order=60, family="retrieval", colour="purple", marker="v"),
    SystemTraits(
        "rag-hybrid",
        needs={"chunks", "words", "embedder"},
        order=70,
        family="retrieval",
        colour="orange",
        marker="D",
    ),
    SystemTraits("rmt-memory", needs={"memory"}, order=80, family="recurrent memory", colour="sky", marker="P"),
    SystemTraits(
        "rmt-query-first", needs={"query-first-memory"}, order=90, family="recurrent memory", colour="sky", marker="X"
    ),
    SystemTraits(
        "rmt-text", needs={"notes", "many-calls"}, order=100, family="recurrent memory", colour="yellow", marker="h"
    ),
)

EARLIER = {system.name: system for system in _EARLIER}
"""By name, as they were when files began to say it. New systems are not added here: their runs say it themselves."""


def system_of(run: RunHead) -> SystemTraits:
    """Return what tables must know of a run's system: as its files say, else as it was before files said it."""
    return run.system or traits_of(run.spec.system)


def traits_of(name: str) -> SystemTraits:
    """Return what tables must know of a system of which no file says anything."""
    return EARLIER.get(name) or SystemTraits(name)
