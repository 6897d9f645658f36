"""From a results folder to its runs in figures, one run's answers in memory at a time."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rmtbench.analysis.run_figures import RunFigures, make_run_figures
from rmtbench.errors import UserError
from rmtbench.journal.record import Asked, RunRecord, find_runs, read_run


def read_figures(results: Path, seen: Callable[[RunRecord], None] | None = None) -> list[RunFigures]:
    """Read all runs of a folder.

    Args:
        results: The folder that holds the runs, or one run's folder.
        seen: Called with every run before its answers are let go.

    Raises:
        UserError: There are no runs, or one is damaged or of another version.
    """
    paths = find_runs(results)
    if not paths:
        raise UserError("no runs here", where=str(results), remedy="run something first: rmtbench run --help")
    runs = []
    known: dict[bytes, Asked] = {}
    with _no_search_for_cycles():
        for path in paths:
            run = read_run(path, known)
            if seen is not None:
                seen(run)
            runs.append(make_run_figures(run))
    return runs


@contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """Rows of a journal make no cycles, and the search for them takes a seventh of the time of reading."""
    searched = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searched:
            gc.enable()
