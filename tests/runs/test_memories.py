"""Which trained memory a run is given, how results name it, and that it never touches the model of other systems."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rmtbench.core import Draw, RunSpec
from rmtbench.errors import UserError
from rmtbench.journal.record import read_run
from rmtbench.models.llama_step import find_step
from rmtbench.models.load import load_model
from rmtbench.models.local import LocalModel
from rmtbench.options.identity import RunOptions
from rmtbench.rmt.base import BaseIdentity
from rmtbench.rmt.config import RmtConfig
from rmtbench.rmt.storage import save_pretrained, wrap
from rmtbench.runs.loading import load_resources
from rmtbench.runs.loop import execute
from rmtbench.runs.memories import load_memory, memory_folder, memory_label


def specs(folder: Path, *systems: str) -> list[RunSpec]:
    return [
        RunSpec(
            name,
            "towns",
            "all",
            "random:tiny",
            "own:towns@0",
            max_answer_tokens=4,
            options=RunOptions(memory=memory_label(folder) if name.startswith("rmt-") else None),
        )
        for name in systems
    ]


def test_the_memory_that_is_named_is_taken_whatever_the_model() -> None:
    assert memory_folder(Path("mine"), "mini", "memory") == Path("mine")
    assert memory_folder(Path("mine"), "random:tiny", "query-first") == Path("mine")


def test_shipped_memory_is_by_model_and_mode_else_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("rmtbench.runs.memories.SHIPPED", tmp_path)
    assert memory_folder(None, "mini", "memory") is None
    (tmp_path / "mini").mkdir()
    (tmp_path / "mini-query-first").mkdir()
    assert memory_folder(None, "mini", "memory") == tmp_path / "mini"
    assert memory_folder(None, "mini", "query-first") == tmp_path / "mini-query-first"
    assert memory_folder(None, "mini-short", "memory") is None


def test_a_path_is_never_taken_for_the_name_of_a_shipped_model(tmp_path: Path) -> None:
    assert memory_folder(None, str(tmp_path), "memory") is None


def test_memory_is_named_by_folder_and_hash(saved_memory: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256((saved_memory / "rmt.json").read_bytes()).hexdigest()
    assert memory_label(saved_memory) == f"untaught@{digest[:8]}"
    other = tmp_path / "untaught"
    shutil.copytree(saved_memory, other)
    assert memory_label(other) == memory_label(saved_memory)
    described = json.loads((other / "rmt.json").read_text())
    described["config"]["segment_tokens"] += 1
    (other / "rmt.json").write_text(json.dumps(described))
    assert memory_label(other) != memory_label(saved_memory)


def test_a_folder_without_a_memory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no trained memory here") as caught:
        memory_label(tmp_path)
    assert "rmtbench train rmt" in caught.value.remedy


def test_a_memory_of_another_model_is_refused(saved_memory: Path, tiny_model: LocalModel) -> None:
    other = replace(tiny_model, provenance={**tiny_model.provenance, "id": "other", "weights_sha256": "b" * 64})
    with pytest.raises(UserError, match="belongs to base model 'random:tiny'"):
        load_memory(saved_memory, other)


def test_an_encoders_memory_is_refused(saved_memory: Path, tiny_model: LocalModel, tmp_path: Path) -> None:
    shutil.copytree(saved_memory, tmp_path / "encoder")
    path = tmp_path / "encoder" / "rmt.json"
    described = json.loads(path.read_text())
    described["config"] |= {"kind": "encoder", "special_ids": [1, 2]}
    path.write_text(json.dumps(described))
    with pytest.raises(UserError, match="an encoder's, which writes no answers"):
        load_memory(path.parent, tiny_model)


def test_weights_of_a_memory_are_its_own_and_those_of_model_stay(saved_memory: Path, tiny_model: LocalModel) -> None:
    before = {name: weight.clone() for name, weight in tiny_model.model.state_dict().items()}
    decoder = load_memory(saved_memory, tiny_model).decoder
    assert all(torch.equal(weight, before[name]) for name, weight in tiny_model.model.state_dict().items())
    assert torch.equal(decoder.base.get_output_embeddings().weight, -before["lm_head.weight"])
    assert not decoder.training


def test_memory_tokens_share_weights_and_change_none(tiny_model: LocalModel, tmp_path: Path) -> None:
    config = RmtConfig("decoder", segment_tokens=48, memory_tokens=4, trained="memory")
    model = load_resources([RunSpec("cag", "x", "all", "random:tiny", "own:x@0")], "cpu", tmp_path).model
    assert isinstance(model, LocalModel)
    before = {name: weight.clone() for name, weight in model.model.state_dict().items()}
    save_pretrained(wrap(model.model, config, BaseIdentity.of(model.provenance)), tmp_path / "tokens")
    base = load_memory(tmp_path / "tokens", model).decoder.base
    assert all(one is other for one, other in zip(base.parameters(), model.model.parameters(), strict=True))
    assert all(torch.equal(weight, before[name]) for name, weight in model.model.state_dict().items())


def test_a_memory_of_the_layers_slows_no_other_system(tmp_path: Path) -> None:
    config = RmtConfig("decoder", segment_tokens=48, memory_tokens=4, trained="memory", update="associative")
    identity = BaseIdentity.of(load_model("random:tiny").provenance)
    save_pretrained(wrap(load_model("random:tiny").model, config, identity), tmp_path / "layers")
    model = load_model("random:tiny")
    decoder = load_memory(tmp_path / "layers", model).decoder
    assert find_step(model.model) is not None, "the step of half as many operators is for unaltered layers"
    assert find_step(decoder.base) is None
    assert all(one is other for one, other in zip(decoder.base.parameters(), model.model.parameters(), strict=True))


def test_both_modes_share_one_loaded_memory(saved_memory: Path, towns: Draw, tmp_path: Path) -> None:
    asked = specs(saved_memory, "closed-book", "rmt-memory", "rmt-query-first")
    tools = load_resources(asked, "cpu", tmp_path / "cache", saved_memory)
    assert list(tools.memories) == [memory_label(saved_memory)]
    outcomes = execute(asked, [towns], tools, tmp_path / "results", lambda _event: None)
    plain, *recurrent = (read_run(outcome.folder) for outcome in outcomes)
    assert "memory" not in plain.provenance
    for record in recurrent:
        told = record.provenance["memory"]
        assert record.complete
        assert record.errors == 0
        assert (told["name"], told["sha256"][:8]) == tuple(memory_label(saved_memory).split("@"))
        assert told["config"]["memory_tokens"] == 4
        assert told["notes"] == {"task": "nothing", "mode": "memory"}
        assert str(saved_memory) not in json.dumps(record.provenance)


def test_no_memory_is_loaded_for_systems_that_need_none(saved_memory: Path, tmp_path: Path) -> None:
    tools = load_resources(specs(saved_memory, "cag"), "cpu", tmp_path, saved_memory)
    assert tools.memories == {}
    assert tools.writer is None
