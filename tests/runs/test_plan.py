"""A request becomes one spec for every system and top-k, which holds a setting only where it means something."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from rmtbench.core import RunSpec, Source
from rmtbench.errors import UserError
from rmtbench.journal.layout import run_id
from rmtbench.runs.plan import plan_runs
from rmtbench.spec import Request
from rmtbench.systems.registry import system_names

SOURCE = Source("official", "dev-v1.1.json", "ab" * 32)


def plan(*systems: str, **fields: Any) -> list[RunSpec]:
    request = Request(systems=systems, dataset="squad", model="random:tiny", **fields)
    return plan_runs(request, SOURCE, device="cpu", dtype="float32")


def test_every_top_k_of_a_retrieving_system_is_a_run_and_any_other_system_is_one() -> None:
    specs = plan("cag", "rag-sparse", "closed-book", top_k=(5, 1, 5))
    assert [(spec.system, spec.top_k) for spec in specs] == [
        ("cag", None),
        ("rag-sparse", 1),
        ("rag-sparse", 5),
        ("closed-book", None),
    ]
    assert len({run_id(spec) for spec in specs}) == 4


def test_all_means_every_system_and_each_is_run_once_however_often_it_is_named() -> None:
    specs = plan("cag", "all", "cag", top_k=(1,))
    assert sorted(spec.system for spec in specs) == sorted(system_names())
    assert specs[0].system == "cag"


def test_chunk_settings_stand_only_where_chunks_are_cut() -> None:
    for spec in plan("all", top_k=(1,), chunk_tokens=128, chunk_overlap=16):
        cut = (128, 16) if spec.system.startswith("rag-") else (512, 0)
        assert (spec.chunk_tokens, spec.chunk_overlap) == cut, spec.system


def test_another_way_of_cutting_is_another_run_of_retrieval_and_the_same_one_of_the_rest() -> None:
    names = [
        {spec.system: run_id(spec) for spec in plan("all", top_k=(1,), chunk_tokens=tokens)} for tokens in (512, 128)
    ]
    changed = {system for system in names[0] if names[0][system] != names[1][system]}
    assert changed == {"rag-sparse", "rag-dense"}


def test_an_embedder_stands_only_where_one_is_needed() -> None:
    assert {spec.system: spec.embedder for spec in plan("all", top_k=(1,), embedder="mine")} == {
        name: "mine" if name == "rag-dense" else None for name in system_names()
    }


def test_what_was_asked_stands_in_every_spec() -> None:
    asked = {
        "size": "medium",
        "tokenizer": "words",
        "answer_style": "bridge",
        "max_answer_tokens": 32,
        "batch": 3,
        "seed": 7,
        "draws": 5,
        "questions": 11,
    }
    for spec in plan("all", **asked):
        assert asdict(spec).items() >= {**asked, "dataset": "squad", "model": "random:tiny"}.items()
        assert (spec.device, spec.dtype) == ("cpu", "float32")


def test_data_are_named_by_kind_name_and_hash() -> None:
    assert {spec.data for spec in plan("all")} == {"official:dev-v1.1.json@abababababababab"}


def test_an_unknown_system_is_refused() -> None:
    with pytest.raises(UserError, match="no system 'rag'"):
        plan("cag", "rag")
