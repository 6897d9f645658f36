"""What tables know of a system: from a run's files, and for earlier runs as it was before files said it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from report_runs import add_run, spec_of

from rmtbench.analysis.earlier_systems import EARLIER
from rmtbench.analysis.run_figures import make_run_figures
from rmtbench.analysis.sections import Grid, cache_comparison, make_grids
from rmtbench.core import SystemTraits
from rmtbench.errors import UserError
from rmtbench.journal.find import find_runs
from rmtbench.journal.layout import RunFolder
from rmtbench.journal.record import read_run
from rmtbench.journal.rows import system_from_row, system_to_row
from rmtbench.systems.registry import our_systems

MINE = SystemTraits(
    "mine", needs={"prefix-cache"}, label="My cache", order=35, colour="green", marker="p", twin="full-context"
)


def state(folder: RunFolder, system: dict[str, object]) -> None:
    """Write into a run's files what tables must know of its system."""
    head = json.loads(folder.spec.read_bytes())
    folder.spec.write_text(json.dumps(head | {"system": system}), encoding="utf-8")


def grid_of(results: Path) -> Grid:
    [grid] = make_grids(make_run_figures(read_run(path)) for path in find_runs(results))
    return grid


def test_earlier_runs_are_read_as_runs_of_today() -> None:
    assert {name: kind.traits for name, kind in our_systems().items()} == EARLIER


def test_traits_are_written_and_read_back() -> None:
    for system in (MINE, *EARLIER.values()):
        assert system_from_row(json.loads(json.dumps(system_to_row(system))), "spec.json") == system


def test_what_a_later_version_adds_is_ignored() -> None:
    later = {"name": "new", "family": "graph", "colour": "pink", "marker": "?", "weight": 3}
    assert system_from_row(later, "spec.json") == SystemTraits("new")


@pytest.mark.parametrize("row", [{}, {"name": 3}, {"name": "a", "order": "first"}, {"name": "a", "needs": 3}, []])
def test_a_damaged_system_is_refused_with_its_file(row: object) -> None:
    with pytest.raises(UserError) as caught:
        system_from_row(row, "spec.json")
    assert caught.value.where == "spec.json"


def test_a_run_that_says_nothing_has_its_name_behind_all_others(tmp_path: Path) -> None:
    for system in ("a-plugin", "rmt-text", "cag"):
        add_run(tmp_path, spec_of(system))
    assert [row.label for row in grid_of(tmp_path).rows] == ["cag", "rmt-text", "a-plugin"]


def test_a_plugins_order_and_label_are_those_of_its_run(tmp_path: Path) -> None:
    for system in ("cag", "full-context"):
        add_run(tmp_path, spec_of(system))
    state(add_run(tmp_path, spec_of("mine")), system_to_row(MINE))
    assert [row.label for row in grid_of(tmp_path).rows] == ["full-context", "My cache", "cag"]


def test_a_plugins_cache_is_compared_with_its_twin(tmp_path: Path) -> None:
    add_run(tmp_path, spec_of("full-context"), seconds=2.0)
    state(add_run(tmp_path, spec_of("mine")), system_to_row(MINE))
    grid = grid_of(tmp_path)
    base = next(run for row, run in grid.at("small") if row.system == "full-context")
    assert [(row.label, other) for _, row, _, other in cache_comparison(grid)] == [
        ("full-context", base),
        ("My cache", base),
    ]


@pytest.mark.parametrize(("system", "label"), [("cag", "cag"), ("mine", "My cache")])
def test_a_twin_that_was_not_run_has_a_row_without_a_run(tmp_path: Path, system: str, label: str) -> None:
    folder = add_run(tmp_path, spec_of(system))
    if system == "mine":
        state(folder, system_to_row(MINE))
    compared = cache_comparison(grid_of(tmp_path))
    assert [(row.label, run is None, base) for _, row, run, base in compared] == [
        ("full-context", True, None),
        (label, False, None),
    ]
