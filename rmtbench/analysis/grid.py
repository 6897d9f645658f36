"""Where a run stands in a table: dataset, size and row; and which run is shown where two would stand in one cell."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rmtbench.analysis.run_figures import RunFigures
from rmtbench.core import RunSpec, token_budget
from rmtbench.corpora.base import SIZES

SYSTEMS = (
    "closed-book", "oracle", "full-context", "cag", "rag-sparse", "rag-dense", "rag-hybrid", "rmt-memory",
    "rmt-query-first", "rmt-text",
)  # fmt: skip
"""Order of rows: floor, ceiling, then the contestants; systems of other packages follow by name."""

CACHED, UNCACHED = "cag", "full-context"
"""The two systems that table 3 compares."""

_DEFAULT_CHUNKS = (
    RunSpec.__dataclass_fields__["chunk_tokens"].default,
    RunSpec.__dataclass_fields__["chunk_overlap"].default,
)

_WINDOWS = ("embed_windows", "on")
"""The usual setting of systems with an embedder; runs without it were made with `off`, or before there were windows."""

LONGEST_VALUE = 60
"""Characters of a setting's value that a table shows whole."""


@dataclass(frozen=True, slots=True)
class Row:
    """One system in one setting. Runs that differ in any field stand in different rows."""

    system: str
    top_k: int | None
    embedder: str | None
    chunk_tokens: int
    chunk_overlap: int
    settings: tuple[tuple[str, str], ...]

    @property
    def order(self) -> tuple[Any, ...]:
        """Sort key: known systems first, top-k as numbers, plain settings before special ones."""
        rank = SYSTEMS.index(self.system) if self.system in SYSTEMS else len(SYSTEMS)
        chunks = (self.chunk_tokens, self.chunk_overlap)
        special = (chunks != _DEFAULT_CHUNKS, len(self._unusual))
        return (rank, self.system, self.embedder or "", *special, self.settings, chunks, self.top_k or 0)

    @property
    def label(self) -> str:
        """The system and every setting that is not the usual one, except top-k, which has a column of its own.

        `embed_windows=on` is usual, so `Grid.label` names the rows without it where both are in one table.
        """
        parts = [self.system]
        if (self.chunk_tokens, self.chunk_overlap) != _DEFAULT_CHUNKS:
            overlap = f"+{self.chunk_overlap}" if self.chunk_overlap else ""
            parts.append(f"chunks of {self.chunk_tokens}{overlap}")
        parts.extend(f"{name}={_short(value)}" for name, value in self._unusual)
        return ", ".join(parts)

    @property
    def _unusual(self) -> tuple[tuple[str, str], ...]:
        return tuple(setting for setting in self.settings if setting != _WINDOWS)


def _short(value: str) -> str:
    """A value for a table; of a long text its beginning and a hash that tells it from others."""
    if len(value) <= LONGEST_VALUE and "\n" not in value:
        return value
    digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{' '.join(value.split())[:24]}… ({digest})"


@dataclass(frozen=True, slots=True)
class Grid:
    """The runs of one section on one source of one dataset, each in its place.

    Attributes:
        name: The dataset, and the source's name where the section has several sources for it.
        dataset: The dataset.
        sizes: All sizes met, small to large.
        rows: All rows met, in their order; a row without a run at some size is shown as missing there.
        shown: The run in each place.
        replaced: Runs that had the same place, each with the run that is shown instead.
    """

    name: str
    dataset: str
    sizes: tuple[str, ...]
    rows: tuple[Row, ...]
    shown: Mapping[tuple[str, Row], RunFigures]
    replaced: tuple[tuple[RunFigures, RunFigures], ...]

    def label(self, row: Row) -> str:
        """The row's name in this grid: embedder and windows are named where the same system appears with several."""
        alike = [other for other in self.rows if other.system == row.system]
        parts = [row.label]
        if row.embedder and len({other.embedder for other in alike}) > 1:
            parts.append(row.embedder)
        if _WINDOWS not in row.settings and any(_WINDOWS in other.settings for other in alike):
            parts.append("embed_windows=off")
        return ", ".join(parts)

    def full_label(self, row: Row) -> str:
        """The row's name with its top-k, where that has no column of its own."""
        return self.label(row) + ("" if row.top_k is None else f" top-{row.top_k}")

    def at(self, size: str) -> list[tuple[Row, RunFigures | None]]:
        """All rows at one size; None where nothing was run."""
        return [(row, self.shown.get((size, row))) for row in self.rows]

    def all(self) -> list[tuple[Row, RunFigures, bool]]:
        """Every run with its row, by size and row, and whether another run is shown in its place."""
        runs = [(run, False) for run in self.shown.values()] + [(run, True) for run, _ in self.replaced]
        runs.sort(key=lambda run: (size_order(run[0].spec.size), row_of(run[0].spec).order, run[0].run_id))
        return [(row_of(run.spec), run, replaced) for run, replaced in runs]


def cache_comparison(grid: Grid) -> list[tuple[str, Row, RunFigures | None, RunFigures | None]]:
    """What table 3 sets side by side.

    Args:
        grid: The runs.

    Returns:
        Size, row, its run, and the run without cache that it is held against, at every size for every variant of the
        two systems. One of the two that was never run has a row too, without a run; without both there is nothing.
    """
    rows = [row for row in grid.rows if row.system in (CACHED, UNCACHED)]
    if not rows:
        return []
    met = {row.system for row in rows}
    rows += [replace(rows[0], system=name, settings=()) for name in (CACHED, UNCACHED) if name not in met]
    rows.sort(key=lambda row: row.order)
    base_row = next(row for row in rows if row.system == UNCACHED)
    return [
        (size, row, grid.shown.get((size, row)), grid.shown.get((size, base_row)))
        for size in grid.sizes
        for row in rows
    ]


def make_grids(runs: Iterable[RunFigures]) -> tuple[Grid, ...]:
    """Put a section's runs into their places.

    Where two runs have the same place (they differ in draws or questions), the complete one is shown before the
    incomplete, then the one with more draws, more questions, the later start.

    Args:
        runs: The runs of one section.

    Returns:
        One grid for each source of each dataset, by name.
    """
    sources: dict[tuple[str, str], list[RunFigures]] = {}
    for run in runs:
        sources.setdefault((run.dataset, run.spec.data), []).append(run)
    datasets = [dataset for dataset, _ in sources]
    return tuple(
        _grid(dataset if datasets.count(dataset) == 1 else f"{dataset} ({data})", members)
        for (dataset, data), members in sorted(sources.items())
    )


def row_of(spec: RunSpec) -> Row:
    """The row that a run belongs to."""
    return Row(spec.system, spec.top_k, spec.embedder, spec.chunk_tokens, spec.chunk_overlap, spec.settings)


def size_order(size: str) -> tuple[int, int, str]:
    """Sort key of sizes: the usual ones small to large, then those in tokens by their number, then others by name."""
    if size in SIZES:
        return SIZES.index(size), 0, size
    budget = token_budget(size)
    return (len(SIZES), budget, size) if budget is not None else (len(SIZES) + 1, 0, size)


def _grid(name: str, runs: list[RunFigures]) -> Grid:
    places: dict[tuple[str, Row], list[RunFigures]] = {}
    for run in runs:
        places.setdefault((run.spec.size, row_of(run.spec)), []).append(run)
    ranked = {place: sorted(members, key=_rank, reverse=True) for place, members in places.items()}
    return Grid(
        name=name,
        dataset=runs[0].dataset,
        sizes=tuple(sorted({size for size, _ in places}, key=size_order)),
        rows=tuple(sorted({row for _, row in places}, key=lambda row: row.order)),
        shown={place: members[0] for place, members in ranked.items()},
        replaced=tuple((other, members[0]) for members in ranked.values() for other in members[1:]),
    )


def _rank(run: RunFigures) -> tuple[bool, int, int, str, str]:
    started = str(run.provenance.get("started") or "")
    return (run.complete, run.summary.draws, run.summary.expected, started, run.run_id)
