"""From a results folder to its runs in figures, one run's answers in memory at a time.

Large folders are read by several processes, and what they find is kept beside the runs as columns.
"""

from __future__ import annotations

import gc
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from rmtbench.analysis.run_figures import RunFigures, figures_of, make_run_figures
from rmtbench.errors import UserError
from rmtbench.journal.column_cache import journal_key, load_columns, remove_outdated, save_columns
from rmtbench.journal.columns import Columns, RunColumns, columns_of
from rmtbench.journal.find import find_runs
from rmtbench.journal.layout import RunFolder
from rmtbench.journal.packed import packed_of
from rmtbench.journal.record import Asked, RunRecord, read_head, read_run, read_spec, read_summarized
from rmtbench.processes import mapped

LARGE_BYTES = 32 * 2**20
"""Of the answers of all runs together: beyond, columns are kept, and the page's answers are files beside it."""
TOGETHER = 8
"""Runs that a process reads at a time, of one corpus, so that it reads their questions once."""

Made_co = TypeVar("Made_co", covariant=True)
Made = TypeVar("Made")


class Texts(Protocol[Made_co]):
    """What else is made of each run where its answers are read; it is sent to other processes."""

    def kept(self, run: RunColumns, key: str) -> Made_co | None:
        """Return what was made earlier of a run whose journal has this key; None where it must be made again."""

    def make(self, run: RunRecord, columns: Columns, key: str) -> Made_co:
        """Make it of a run that was read; an empty key says that the run goes on, so that no later run has this one."""


@dataclass(frozen=True, slots=True)
class ReadRun(Generic[Made]):
    """One run of a large folder, and what else was made of it."""

    figures: RunFigures
    made: Made | None


def read_figures(
    results: Path, seen: Callable[[RunRecord], None] | None = None, *, processes: int = 1
) -> list[RunFigures]:
    """Read all runs of a folder.

    Args:
        results: The folder that holds the runs, or one run's folder.
        seen: Called with every run before its answers are let go; None where no text of a run is needed.
        processes: As for `read_large`.

    Raises:
        UserError: There are no runs, or one is damaged or of another version.
    """
    paths = runs_of(results)
    if seen is None and is_large(paths):
        large: Iterator[ReadRun[None]] = read_large(results, paths, None, processes=processes)
        return [run.figures for run in large]
    runs = []
    known: dict[bytes, Asked] = {}
    with _no_search_for_cycles():
        for path in paths:
            run = read_run(path, known)
            if seen is not None:
                seen(run)
            runs.append(make_run_figures(run))
    return runs


def runs_of(results: Path) -> list[Path]:
    """Return the runs of a folder.

    Raises:
        UserError: There are none.
    """
    paths = find_runs(results)
    if not paths:
        raise UserError("no runs here", where=str(results), remedy="run something first: rmtbench run --help")
    return paths


def is_large(paths: Sequence[Path]) -> bool:
    """Whether the answers of several runs together are more than `LARGE_BYTES`."""
    total = 0
    for path in paths:
        total += _answer_bytes(path)
        if total > LARGE_BYTES:
            return len(paths) > 1
    return False


def read_large(
    results: Path, paths: Sequence[Path], texts: Texts[Made] | None, *, processes: int = 1
) -> Iterator[ReadRun[Made]]:
    """Read many runs, from their columns where these were kept.

    Args:
        results: The folder that holds the runs.
        paths: The runs.
        texts: What else is made of each; None for nothing.
        processes: At most so many read at once: see `rmtbench.processes.mapped`.

    Yields:
        Each run, in an order that depends on the runs alone.

    Raises:
        UserError: A run is damaged or of another version, or a process was killed.
    """
    tasks = _tasks(paths)
    with mapped(partial(_read_some, texts=texts), tasks, processes) as found:
        for runs in found:
            yield from runs
    remove_outdated(results, paths)


def _answer_bytes(path: Path) -> int:
    packed = packed_of(path)
    with suppress(OSError, KeyError, zipfile.BadZipFile):  # reading it says what is wrong
        if packed is None:
            return RunFolder(path).answers.stat().st_size
        with zipfile.ZipFile(packed) as whole:
            return whole.getinfo(RunFolder(path).answers.name).file_size
    return 0


def _tasks(paths: Sequence[Path]) -> list[list[Path]]:
    """Runs that were probably asked the same, a few at a time."""
    alike: dict[tuple[str, ...], list[Path]] = {}
    for path in paths:
        spec = read_spec(RunFolder(path))[1]
        alike.setdefault((spec.dataset, spec.size, spec.data, str(spec.draws), str(spec.seed)), []).append(path)
    return [group[at : at + TOGETHER] for group in alike.values() for at in range(0, len(group), TOGETHER)]


def _read_some(paths: Sequence[Path], texts: Texts[Made] | None) -> list[ReadRun[Made]]:
    known: dict[bytes, Asked] = {}
    with _no_search_for_cycles():
        return [_read_one(path, texts, known) for path in paths]


def _read_one(path: Path, texts: Texts[Made] | None, known: dict[bytes, Asked]) -> ReadRun[Made]:
    folder = RunFolder(path)
    summarized = read_summarized(folder)  # first, as `read_run` does
    key = journal_key(folder)
    columns = load_columns(path, key)
    if columns is not None:
        run = RunColumns(read_head(folder, summarized), columns)
        made = None if texts is None else texts.kept(run, key)
        if texts is None or made is not None:
            return ReadRun(figures_of(run), made)
    record = read_run(path, known)
    run = columns_of(record)
    if journal_key(folder) != key:
        key = ""  # a run that goes on
    elif columns is None:
        save_columns(path, key, run.columns)
    return ReadRun(figures_of(run), None if texts is None else texts.make(record, run.columns, key))


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
