"""Every experiment that comes with the repository is one that can be asked for, in either profile, and is explained."""

from __future__ import annotations

from pathlib import Path

import pytest

from rmtbench.runs.sweep import read_sweep
from rmtbench.spec import PROFILES, READERS

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
FILES = sorted(EXPERIMENTS.glob("*.yaml"))
ASKED_FOR = {"paper", "length-sweep", "evidence-position", "break-even", "top-k", "rmt-lengths", "smoke",
             "table3-timing"}  # fmt: skip
OF_ANY_MODEL = ASKED_FOR - {"smoke", "table3-timing"}
"""These leave the model to the profile."""


def test_every_experiment_that_is_promised_is_there() -> None:
    assert {path.stem for path in FILES} >= ASKED_FOR


@pytest.mark.parametrize("profile", [None, *PROFILES])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_can_be_asked_for_in_either_profile_under_own_name(path: Path, profile: str | None) -> None:
    sweep = read_sweep(path, profile=profile)
    assert sweep.name == path.stem
    assert sweep.description
    if profile is not None and path.stem in OF_ANY_MODEL:
        models = {one.request.model for one in sweep.requests}
        assert models == {PROFILES[profile].get("model", READERS["generated"]["model"])}, (
            "what the file names would not follow the profile"
        )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_two_lines_at_head_and_one_in_table_say_what_it_is_for(path: Path) -> None:
    head = path.read_text(encoding="utf-8").splitlines()[:2]
    assert all(line.startswith("# ") for line in head)
    assert f"| `{path.name}`" in (EXPERIMENTS / "README.md").read_text(encoding="utf-8")


def test_trained_memory_and_official_files_take_place_of_files(tmp_path: Path) -> None:
    memory, data = tmp_path / "memory", tmp_path / "data"
    requests = read_sweep(EXPERIMENTS / "rmt-lengths.yaml", data, rmt=memory).requests
    assert {one.request.data_dir for one in requests} == {data}
    assert {(one.request.systems[0], one.request.rmt) for one in requests} == {
        ("closed-book", None),
        ("rmt-text", None),  # keeps notes in words
        ("rmt-query-first", memory),
        ("rmt-memory", memory),
    }


def test_table_3_timing_asks_true_geometry_at_every_size() -> None:
    requests = [one.request for one in read_sweep(EXPERIMENTS / "table3-timing.yaml").requests]
    assert {request.model for request in requests} == {"random:llama-3.1-8b"}
    assert {request.max_answer_tokens for request in requests} == {24}
    single = [request for request in requests if request.batch == 1]
    assert {request.systems for request in single} == {("full-context", "cag")}
    asked = [(dataset, size) for dataset in ("hotpotqa", "squad") for size in ("small", "medium", "large")]
    assert [(request.dataset, request.size) for request in single] == asked
