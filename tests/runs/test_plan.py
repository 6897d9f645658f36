"""A request becomes one spec for every system and top-k, which holds a setting only where it means something."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from rmtbench.core import RunSpec, Source
from rmtbench.errors import UserError
from rmtbench.journal.layout import run_id
from rmtbench.journal.rows import spec_from_row, spec_to_row
from rmtbench.options.check import checked
from rmtbench.options.request import Request
from rmtbench.runs.memories import memory_label
from rmtbench.runs.plan import left_out_of_all, plan_runs
from rmtbench.spec import make_request
from rmtbench.systems.registry import system_names

SOURCE = Source("official", "dev-v1.1.json", "ab" * 32)


def plan(*systems: str, **fields: Any) -> list[RunSpec]:
    request = checked({"systems": systems, "dataset": "squad", "model": "random:tiny", **fields})
    return plan_runs(request, SOURCE, device="cpu", dtype="float32")


def test_every_top_k_is_run_for_retrieving_systems() -> None:
    specs = plan("cag", "rag-sparse", "closed-book", top_k=(5, 1, 5))
    assert [(spec.system, spec.top_k) for spec in specs] == [
        ("cag", None),
        ("rag-sparse", 1),
        ("rag-sparse", 5),
        ("closed-book", None),
    ]
    assert len({run_id(spec) for spec in specs}) == 4


def test_all_runs_every_system_once(saved_memory: Path) -> None:
    specs = plan("cag", "all", "cag", top_k=(1,), rmt=saved_memory)
    assert sorted(spec.system for spec in specs) == sorted(name for name in system_names() if name != "rmt-text")
    assert specs[0].system == "cag"


def test_all_names_what_it_leaves_out(saved_memory: Path) -> None:
    request = Request(systems=("all",), dataset="squad", model="random:tiny")
    assert left_out_of_all(request) == ["rmt-memory", "rmt-query-first", "rmt-text"]
    assert left_out_of_all(replace(request, rmt=saved_memory)) == ["rmt-text"]
    assert "rmt-memory" not in [spec.system for spec in plan("all")]
    assert "rmt-text" in [spec.system for spec in plan("all", "rmt-text")]


@pytest.mark.parametrize("system", ["rmt-memory", "rmt-query-first"])
def test_system_without_memory_is_refused_with_remedy(system: str) -> None:
    with pytest.raises(UserError) as caught:
        plan("cag", system)
    assert (caught.value.what, caught.value.where) == ("no trained memory for 'random:tiny'", f"--system {system}")
    assert caught.value.remedy == "train one with `rmtbench train rmt`, and name its folder with --rmt"


def test_a_memory_or_size_of_notes_stands_only_where_it_is_used(saved_memory: Path) -> None:
    specs = plan("all", "rmt-text", top_k=(1,), rmt=saved_memory, rmt_chunk_tokens=300, rmt_memory_tokens=20)
    memory = (("memory", memory_label(saved_memory)),)
    found = {spec.system: spec.settings for spec in specs if spec.settings and spec.embedder is None}
    assert found == {
        "rmt-memory": memory,
        "rmt-query-first": memory,
        "rmt-text": (("chunk_tokens", "300"), ("memory_tokens", "20")),
    }


def test_a_memory_leaves_the_runs_of_other_systems_what_they_are(saved_memory: Path) -> None:
    without = {run_id(spec) for spec in plan("all")}
    assert without < {run_id(spec) for spec in plan("all", rmt=saved_memory)}


@pytest.mark.parametrize(
    ("system", "given", "option", "other"),
    [
        ("closed-book", {"top_k": (7,)}, "--top-k", "rag-sparse"),
        ("closed-book", {"reranker": "/no/such"}, "--reranker", "rag-sparse"),
        ("rag-dense", {"stemming": "english"}, "--stemming", "rag-sparse"),
        ("rag-sparse", {"embedder": "mine"}, "--embedder", "rag-dense"),
        ("rag-sparse", {"cache_layout": "plain"}, "--cache-layout", "cag"),
        ("cag", {"rmt_memory_tokens": 3}, "--rmt-memory-tokens", "rmt-text"),
        ("cag", {"sparse_backend": "llama-index"}, "--set sparse-backend", "rag-sparse"),
    ],
)
def test_an_option_that_no_system_heeds_is_refused(system: str, given: dict, option: str, other: str) -> None:
    with pytest.raises(UserError, match="no system here has use for it") as caught:
        plan(system, **given)
    assert caught.value.where == option
    assert other in caught.value.remedy
    assert plan(system, other, **given)


def test_a_memory_that_no_system_reads_with_is_refused(saved_memory: Path) -> None:
    with pytest.raises(UserError, match="no system here has use for it") as caught:
        plan("cag", rmt=saved_memory)
    assert (caught.value.where, caught.value.remedy) == ("--rmt", "leave it out, or name rmt-memory")
    assert plan("cag", "rmt-query-first", rmt=saved_memory)


def test_a_spec_with_settings_is_read_back_as_it_was(saved_memory: Path) -> None:
    for spec in plan("rmt-memory", "rmt-text", rmt=saved_memory):
        assert spec_from_row(spec_to_row(spec), "here") == spec


def test_chunk_settings_stand_only_where_chunks_are_cut() -> None:
    for spec in plan("all", top_k=(1,), chunk_tokens=128, chunk_overlap=16):
        cut = (128, 16) if spec.system.startswith("rag-") else (512, 0)
        assert (spec.chunk_tokens, spec.chunk_overlap) == cut, spec.system


def test_other_chunking_is_another_run_of_retrieval_only() -> None:
    names = [
        {spec.system: run_id(spec) for spec in plan("all", top_k=(1,), chunk_tokens=tokens)} for tokens in (512, 128)
    ]
    changed = {system for system in names[0] if names[0][system] != names[1][system]}
    assert changed == {"rag-sparse", "rag-dense", "rag-hybrid"}


def test_an_embedder_stands_only_where_one_is_needed() -> None:
    assert {spec.system: spec.embedder for spec in plan("all", top_k=(1,), embedder="mine")} == {
        name: "mine" if name in ("rag-dense", "rag-hybrid") else None
        for name in system_names()
        if not name.startswith("rmt-")
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


def test_system_prompt_and_reasoning_are_in_spec_and_hash(tmp_path: Path) -> None:
    file = tmp_path / "system.txt"
    file.write_text("Be brief.\n", encoding="utf-8")
    given = {"system_prompt": f"@{file}", "think_tokens": 9}
    specs = plan("cag", "closed-book", **given)
    assert [spec.settings for spec in specs] == [(("system_prompt", "Be brief."), ("think_tokens", "9"))] * 2
    assert plan("cag")[0].settings == ()
    assert len({run_id(spec) for spec in (*plan("cag"), *specs, *plan("cag", think_tokens=9))}) == 4


@pytest.mark.parametrize(
    ("given", "what"), [("@missing.txt", "no text can be read from 'missing.txt'"), (" ", "empty")]
)
def test_a_system_prompt_without_a_text_is_refused(given: str, what: str) -> None:
    with pytest.raises(UserError, match=what) as raised:
        make_request("mini", {"systems": ("cag",), "system_prompt": given})
    assert raised.value.where == "--set system-prompt"
