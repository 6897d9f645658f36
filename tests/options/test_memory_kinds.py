"""What a run keeps of a trained memory is an option of `rmt-memory` alone, and part of its run id where it is given."""

from __future__ import annotations

import pytest

from rmtbench.core import RunSpec
from rmtbench.journal.layout import run_id
from rmtbench.options.identity import RunOptions
from rmtbench.options.request import all_options
from rmtbench.options.rules import is_used
from rmtbench.systems.registry import find_system

OPTIONS = ("rmt_kind", "rmt_last", "rmt_inner_steps")


def spec(**options: str) -> RunSpec:
    return RunSpec("rmt-memory", "towns", "all", "mini", "own:towns@0", options=RunOptions.read(options))


@pytest.mark.parametrize(("name", "value"), zip(OPTIONS, ("per-document", "3", "5"), strict=True))
def test_a_run_that_keeps_otherwise_is_another_run(name: str, value: str) -> None:
    assert spec(**{name: value}).settings == ((name, value),)
    assert run_id(spec(**{name: value})) != run_id(spec())


def test_a_run_as_trained_states_nothing() -> None:
    assert spec(rmt_kind="trained").settings == ()


@pytest.mark.parametrize("name", OPTIONS)
def test_only_rmt_memory_has_use_for_it(name: str) -> None:
    used = [
        system
        for system in ("rmt-memory", "rmt-query-first", "rmt-text", "cag")
        if is_used(all_options()[name], find_system(system), served=False)
    ]
    assert used == ["rmt-memory"]
