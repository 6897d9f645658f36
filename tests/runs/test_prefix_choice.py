"""`--cache-layout` chooses how `cag` keeps the corpus; it stands in a run only where it is not the default."""

from __future__ import annotations

from typing import Any

import pytest

from rmtbench.core import RunSpec, Source
from rmtbench.errors import UserError
from rmtbench.journal.layout import run_id
from rmtbench.options.request import Request
from rmtbench.runs.plan import plan_runs
from rmtbench.spec import make_request

SOURCE = Source("official", "dev-v1.1.json", "ab" * 32)


def plan(**fields: Any) -> list[RunSpec]:
    request = Request(systems=("cag", "full-context"), dataset="squad", model="random:tiny", **fields)
    return plan_runs(request, SOURCE, device="cpu", dtype="float32")


def test_default_prefix_leaves_no_trace_so_that_run_has_one_name() -> None:
    assert [spec.settings for spec in plan()] == [(), ()]
    assert [run_id(spec) for spec in plan(cache_layout="shared")] == [run_id(spec) for spec in plan()]


def test_another_prefix_is_a_run_of_its_own_for_cag_alone() -> None:
    cag, full = plan(cache_layout="plain")
    assert (cag.settings, full.settings) == ((("prefix", "plain"),), ())
    assert run_id(cag) != run_id(plan()[0])
    assert run_id(full) == run_id(plan()[1])


def test_an_unknown_prefix_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(UserError) as caught:
        make_request("mini", {"systems": ("cag",), "cache_layout": "plian"})
    assert "must be 'shared', 'plain' or 'composed' (given: 'plian')" in str(caught.value)
    assert "--cache-layout" in str(caught.value)


def test_what_makes_a_cache_inexact_is_part_of_the_run() -> None:
    composed, full = plan(cache_layout="composed", recompute=0.15, kv_bits=8)
    assert dict(composed.settings) == {"prefix": "composed", "recompute": "0.15", "kv_bits": "8"}
    assert full.settings == ()
    request = Request(systems=("rag-sparse",), dataset="squad", model="random:tiny", chunk_cache=True, top_k=(3,))
    [rag] = plan_runs(request, SOURCE, device="cpu", dtype="float32")
    assert rag.settings == (("chunk_cache", "2GB"),)


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"recompute": "0.2"}, "--set recompute"),
        ({"cache_layout": "plain", "kv_bits": "8"}, "--set kv-bits"),
        ({"cache_layout": "plain", "kv_place": "host"}, "--set kv-place"),
        ({"kv_bits": "8", "kv_place": "host"}, "--set kv-place"),
        ({"kv_place": "disk"}, "--set kv-place"),
        ({"kv_bits": "5"}, "--set kv-bits"),
        ({"cache_layout": "composed", "recompute": "1.5"}, "--set recompute"),
        ({"chunk_cache_limit": "1GB"}, "--set chunk-cache-limit"),
    ],
)
def test_settings_that_mean_nothing_together_are_refused(given: dict[str, str], where: str) -> None:
    with pytest.raises(UserError) as caught:
        make_request("mini", {"systems": ("cag", "rag-sparse"), **given})
    assert caught.value.where == where


@pytest.mark.parametrize("fields", [{"systems": ("full-context",), "kv_bits": 8}, {"chunk_cache": True}])
def test_settings_that_no_named_system_has_are_refused(fields: dict[str, Any]) -> None:
    request = Request(**{"systems": ("cag",), "dataset": "squad", "model": "random:tiny", **fields})
    with pytest.raises(UserError, match="no system here has use for it"):
        plan_runs(request, SOURCE, device="cpu", dtype="float32")


def test_a_cache_in_hosts_memory_is_run_of_its_own_and_needs_gpu() -> None:
    request = Request(systems=("cag",), dataset="squad", model="random:tiny", kv_place="host")
    [spec] = plan_runs(request, SOURCE, device="cuda", dtype="bfloat16")
    assert spec.settings == (("kv_place", "host"),)
    with pytest.raises(UserError, match="it needs a GPU, and the device is 'cpu'"):
        plan_runs(request, SOURCE, device="cpu", dtype="float32")
