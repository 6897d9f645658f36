"""Group runs into sections that may share a table: they agree in model, data source, machine and mode.

In a section each run has its place by dataset, size and row. If two runs have one place, only one of them is shown.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from rmtbench.analysis.earlier_systems import traits_of
from rmtbench.analysis.recorded import Facts, flat, of_sessions, varied_facts
from rmtbench.analysis.run_figures import RunFigures
from rmtbench.core import RunSpec, SystemTraits, token_budget
from rmtbench.corpora.base import SIZES

IDENTITY = "model identity"
"""Names the hash over weights, adapter, configuration, tokenizer and chat format: see `rmtbench.models.identity`."""

_DEFAULT_CHUNKS = (
    RunSpec.__dataclass_fields__["chunk_tokens"].default,
    RunSpec.__dataclass_fields__["chunk_overlap"].default,
)

_WINDOWS = ("embed_windows", "on")
"""The usual setting of systems with an embedder. Runs without it had `off`, or are older than windows."""

LONGEST_VALUE = 60
"""Longest value of a setting that a table shows whole, in characters."""


@dataclass(frozen=True)
class Section:
    """Runs that may be compared.

    Attributes:
        title: What sets the section apart, in short.
        setting: What all its runs have in common; no two sections have the same.
        runs: Its runs, by name.
        native: Of a section with int8 weights, the runs of the one that differs in nothing but native weights.
    """

    title: str
    setting: Facts
    runs: tuple[RunFigures, ...]
    native: tuple[RunFigures, ...] = ()

    @cached_property
    def grids(self) -> tuple[Grid, ...]:
        """Its runs in their places, one grid for each source of each dataset."""
        native = {grid.source: grid.shown for grid in make_grids(self.native)}
        return tuple(replace(grid, native=native.get(grid.source, {})) for grid in make_grids(self.runs))

    @property
    def provenance(self) -> Facts:
        """What produced the section's tables: what its runs have in common, then everything else that is recorded."""
        return self.setting + varied_facts(self.runs)


def make_sections(runs: Iterable[RunFigures]) -> tuple[Section, ...]:
    """Set runs apart that must not be pooled.

    Args:
        runs: All runs.

    Returns:
        The sections, those with random weights last, each with at least one run.
    """
    groups: dict[Facts, list[RunFigures]] = {}
    for run in sorted(runs, key=lambda run: run.run_id):
        groups.setdefault(setting_of(run), []).append(run)
    _join_unrecorded(groups)
    ordered = sorted(groups.items(), key=lambda item: (item[1][0].random_weights, item[0]))
    settings = [dict(setting) for setting, _ in ordered]
    return tuple(
        Section(_title(dict(setting), settings), setting, tuple(members), _native(members[0], groups))
        for setting, members in ordered
    )


def _native(run: RunFigures, groups: Mapping[Facts, Sequence[RunFigures]]) -> tuple[RunFigures, ...]:
    """The runs that differ from those of a run's group in nothing but native weights; none if there is no such group.

    Args:
        run: Of the group. Only one with int8 weights has such others.
        groups: All groups, by their settings.
    """
    if run.spec.options.weights == "native":
        return ()
    spec = replace(run.spec, options=replace(run.spec.options, weights="native"))
    wanted = _without_identity(setting_of(replace(run, spec=spec)))
    found = [members for setting, members in groups.items() if _without_identity(setting) == wanted]
    return tuple(found[0]) if len(found) == 1 else ()


def _join_unrecorded(groups: dict[Facts, list[RunFigures]]) -> None:
    """Put runs that recorded no identity with those that agree in everything else, where these are of one model."""
    for setting in [each for each in groups if IDENTITY not in dict(each)]:
        known = [each for each in groups if each != setting and _without_identity(each) == setting]
        if len(known) == 1:
            members = groups.pop(setting) + groups[known[0]]
            groups[known[0]] = sorted(members, key=lambda run: run.run_id)


def _without_identity(setting: Facts) -> Facts:
    """A setting without the model's identity, which older runs have not recorded."""
    return tuple(fact for fact in setting if fact[0] != IDENTITY)


def setting_of(run: RunFigures) -> Facts:
    """What a run must have in common with another to be compared with it.

    Args:
        run: The run; one whose processes differ in threads or machine can be compared only with its like.
    """
    spec, model = run.spec, run.model
    label = "random weights" if run.random_weights else model.get("label")
    name = model.get("id") or spec.model
    name = name if spec.options.weights == "native" else f"{name}, {spec.options.weights} weights"
    if spec.concurrency > 1:
        mode = f"throughput ({spec.concurrency} questions at once, each with its own time)"
    else:
        mode = "latency (one question at a time)" if spec.batch == 1 else f"throughput (batches of {spec.batch})"
    return (
        ("model", f"{name} ({label})" if label else str(name)),
        ("revision", flat(model.get("revision"))),
        ("weights", flat(model.get("weights_sha256"))),
        ("tokenizer", flat(model.get("tokenizer") or spec.tokenizer)),
        ("tokenizer hash", flat(model.get("tokenizer_sha256"))),
        ("prompt contract", flat(model.get("prompt_contract"))),
        ("data source", run.source_kind),
        ("device", spec.device),
        ("dtype", spec.dtype),
        ("attention", flat(model.get("attention"))),
        ("threads", of_sessions(run, "threads")),
        ("machine", of_sessions(run, "machine")),
        ("mode", mode),
        ("answer style", f"{spec.answer_style}, at most {spec.max_answer_tokens} tokens"),
        ("seed", str(spec.seed)),
        # Of runs that recorded none, nothing is told.
        *([(IDENTITY, str(model["identity"]))] if model.get("identity") else []),
    )


def _title(setting: Mapping[str, str], settings: Sequence[Mapping[str, str]]) -> str:
    """The short title, and after it whatever else tells the section from others of the same short title."""
    short = _short_title(setting)
    alike = [other for other in settings if _short_title(other) == short]
    told = [name for name in setting if len({other.get(name) for other in alike}) > 1]
    values = ", ".join(f"{name} {_short_hash(setting[name])}" for name in told)
    return f"{short}; {values}" if told else short


def _short_hash(value: str) -> str:
    return value[:12] if re.fullmatch("[0-9a-f]{13,}", value) else value


def _short_title(setting: Mapping[str, str]) -> str:
    machine = f"{setting['device']} {setting['dtype']}"
    mode = setting["mode"].removesuffix(" (one question at a time)")
    return f"{setting['model']}, {setting['data source']} data, {machine}, {mode}"


@dataclass(frozen=True, slots=True)
class Row:
    """One system in one setting. Runs that differ in any field but `traits` are in different rows.

    Attributes:
        system: The system's name.
        top_k: Number of chunks; None for a system that has none.
        embedder: Name of the embedder; None without one.
        chunk_tokens: Most tokens of a chunk.
        chunk_overlap: Tokens that a chunk shares with the one before it.
        settings: The options that are not at their defaults.
        traits: What tables must know of the system.
    """

    system: str
    top_k: int | None
    embedder: str | None
    chunk_tokens: int
    chunk_overlap: int
    settings: tuple[tuple[str, str], ...]
    traits: SystemTraits = field(compare=False, repr=False)

    @property
    def order(self) -> tuple[Any, ...]:
        """Sort key: systems by their order, top-k as numbers, plain settings before special ones."""
        chunks = (self.chunk_tokens, self.chunk_overlap)
        special = (chunks != _DEFAULT_CHUNKS, len(self._unusual))
        return (*self.traits.place, self.embedder or "", *special, self.settings, chunks, self.top_k or 0)

    @property
    def label(self) -> str:
        """The system and every setting that is not the usual one, except top-k, which has its own column.

        `embed_windows=on` is usual, so `Grid.label` names the rows without it if both are in one table.
        """
        parts = [self.traits.label]
        if (self.chunk_tokens, self.chunk_overlap) != _DEFAULT_CHUNKS:
            overlap = f"+{self.chunk_overlap}" if self.chunk_overlap else ""
            parts.append(f"chunks of {self.chunk_tokens}{overlap}")
        parts.extend(f"{name}={_short(value)}" for name, value in self._unusual)
        return ", ".join(parts)

    @property
    def _unusual(self) -> tuple[tuple[str, str], ...]:
        return tuple(setting for setting in self.settings if setting != _WINDOWS)


def _short(value: str) -> str:
    """Return a value for a table; for a long text, its beginning and a hash that distinguishes it."""
    if len(value) <= LONGEST_VALUE and "\n" not in value:
        return value
    digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{' '.join(value.split())[:24]}… ({digest})"


@dataclass(frozen=True, slots=True)
class Grid:
    """The runs of one section on one source of one dataset, each in its place.

    Attributes:
        name: The dataset, and the source's name if the section has several sources for it.
        dataset: The dataset.
        sizes: All sizes, small to large.
        rows: All rows, in their order. If a row has no run at some size, it is shown as missing there.
        shown: The run in each place.
        replaced: Runs that had the same place, each with the run that is shown instead.
        source: The dataset and what its data were read from.
        native: Of int8 weights, the runs with native weights in each place: see `Section`.
    """

    name: str
    dataset: str
    sizes: tuple[str, ...]
    rows: tuple[Row, ...]
    shown: Mapping[tuple[str, Row], RunFigures]
    replaced: tuple[tuple[RunFigures, RunFigures], ...]
    source: tuple[str, str]
    native: Mapping[tuple[str, Row], RunFigures] = field(default_factory=dict)

    def label(self, row: Row) -> str:
        """Return the row's name in this grid; system, embedder and windows are added where two rows have one name."""
        alike = [other for other in self.rows if other.system == row.system]
        parts = [row.label]
        if any(other.traits.label == row.traits.label for other in self.rows if other.system != row.system):
            parts.append(f"system {row.system}")
        if row.embedder and len({other.embedder for other in alike}) > 1:
            parts.append(row.embedder)
        if _WINDOWS not in row.settings and any(_WINDOWS in other.settings for other in alike):
            parts.append("embed_windows=off")
        return ", ".join(parts)

    def full_label(self, row: Row) -> str:
        """Return the row's name with its top-k, for tables where top-k has no column."""
        return self.label(row) + ("" if row.top_k is None else f" top-{row.top_k}")

    def at(self, size: str) -> list[tuple[Row, RunFigures | None]]:
        """Return all rows at one size, each with its run; None if there was no run."""
        return [(row, self.shown.get((size, row))) for row in self.rows]

    def all(self) -> list[tuple[Row, RunFigures, bool]]:
        """Return every run with its row, by size and row, and whether another run is shown in its place."""
        runs = [(run, False) for run in self.shown.values()] + [(run, True) for run, _ in self.replaced]
        runs.sort(key=lambda run: (size_order(run[0].spec.size), row_of(run[0]).order, run[0].run_id))
        return [(row_of(run), run, replaced) for run, replaced in runs]


def cache_comparison(grid: Grid) -> list[tuple[str, Row, RunFigures | None, RunFigures | None]]:
    """Return what table 3 compares: systems that hold a cache, and their twins without one.

    Args:
        grid: The runs.

    Returns:
        Size, row, its run, and the run without a cache that it is compared with, for every size and row. A system that
        was never run and whose twin was has a row too, without a run. Empty if no system has a twin.
    """
    rows = [row for row in grid.rows if row.traits.twin]
    rows += _missing_twins(rows)
    rows.sort(key=lambda row: row.order)
    uncached = {row.system: row for row in reversed(rows)}  # the first row of each system, which is its plainest
    return [
        (size, row, grid.shown.get((size, row)), grid.shown.get((size, uncached[_uncached_name(row.traits)])))
        for size in grid.sizes
        for row in rows
    ]


def _uncached_name(system: SystemTraits) -> str:
    return system.twin if system.holds_cache else system.name


def _missing_twins(rows: Sequence[Row]) -> list[Row]:
    """Return a row for each twin that was not run, unless a system without a cache has another twin that was."""
    met = {row.system for row in rows}
    served = {row.traits.twin for row in rows if row.traits.holds_cache}
    alone = [row for row in rows if row.traits.twin not in met and row.system not in served]
    plainest = {row.traits.twin: row for row in reversed(alone)}
    return [replace(row, system=name, settings=(), traits=traits_of(name)) for name, row in plainest.items()]


def make_grids(runs: Iterable[RunFigures]) -> tuple[Grid, ...]:
    """Put a section's runs into their places.

    If two runs have the same place (they differ in draws or questions), a complete run is shown before an
    incomplete one, then the one with more draws, with more questions, with the later start.

    Args:
        runs: The runs of one section.

    Returns:
        One grid for each source of each dataset, sorted by name.
    """
    sources: dict[tuple[str, str], list[RunFigures]] = {}
    for run in runs:
        sources.setdefault((run.dataset, run.spec.data), []).append(run)
    datasets = [dataset for dataset, _ in sources]
    return tuple(
        _grid(dataset if datasets.count(dataset) == 1 else f"{dataset} ({data})", members)
        for (dataset, data), members in sorted(sources.items())
    )


def row_of(run: RunFigures, spec: RunSpec | None = None) -> Row:
    """Return the row that a run belongs to, or that it would belong to if it had another spec."""
    spec = spec or run.spec
    chunks = spec.chunk_tokens, spec.chunk_overlap
    return Row(spec.system, spec.top_k, spec.embedder, *chunks, spec.settings, run.system)


def size_order(size: str) -> tuple[int, int, str]:
    """Return the sort key of a size: usual sizes small to large, then sizes in tokens, then others by name."""
    if size in SIZES:
        return SIZES.index(size), 0, size
    budget = token_budget(size)
    return (len(SIZES), budget, size) if budget is not None else (len(SIZES) + 1, 0, size)


def _grid(name: str, runs: list[RunFigures]) -> Grid:
    places: dict[tuple[str, Row], list[RunFigures]] = {}
    for run in runs:
        places.setdefault((run.spec.size, row_of(run)), []).append(run)
    ranked = {place: sorted(members, key=_rank, reverse=True) for place, members in places.items()}
    return Grid(
        name=name,
        dataset=runs[0].dataset,
        sizes=tuple(sorted({size for size, _ in places}, key=size_order)),
        rows=tuple(sorted({row for _, row in places}, key=lambda row: row.order)),
        shown={place: members[0] for place, members in ranked.items()},
        replaced=tuple((other, members[0]) for members in ranked.values() for other in members[1:]),
        source=(runs[0].dataset, runs[0].spec.data),
    )


def _rank(run: RunFigures) -> tuple[bool, int, int, str, str]:
    started = str(run.provenance.get("started") or "")
    return (run.complete, run.summary.draws, run.summary.expected, started, run.run_id)
