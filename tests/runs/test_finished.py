"""A run is finished, or goes on, only with the model and embedder that it was begun with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_models import save_adapter, save_model

from rmtbench.core import Answer, Draw, RunSpec
from rmtbench.errors import UserError
from rmtbench.journal.layout import run_id
from rmtbench.journal.writer import RunWriter
from rmtbench.models.embed_files import MINILM, embedder_files_hash
from rmtbench.models.identity import identity_here
from rmtbench.runs.finished import unfinished


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_model(tmp_path / "model")


def spec_of(model: Path | str, **fields: Any) -> RunSpec:
    return RunSpec("cag", "towns", "all", str(model), "own:towns@0", **fields)


def provenance(spec: RunSpec) -> dict[str, Any]:
    found = identity_here(spec.model, spec.adapter, spec.tokenizer, spec.seed)
    assert found is not None
    return {"model": {"weights_sha256": "a", "identity": found.sha256, "identity_parts": dict(found.parts)}}


def write(results: Path, spec: RunSpec, draw: Draw, told: dict[str, Any], count: int | None = None) -> None:
    """A run with so many answers; all of them if nothing else is said."""
    with RunWriter(results, spec) as writer:
        writer.begin(told)
        writer.add_draw(draw, 10)
        for question in draw.corpus.questions[:count]:
            writer.answer(Answer(question.id, "x", "x", "eos"), 0)


def edit(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_a_whole_run_of_the_same_model_is_finished(tmp_path: Path, model: Path, towns: Draw) -> None:
    spec = spec_of(model)
    assert unfinished([spec], tmp_path) == [spec]
    write(tmp_path, spec, towns, provenance(spec), 2)
    assert unfinished([spec], tmp_path) == [spec]
    write(tmp_path, spec, towns, provenance(spec))
    assert unfinished([spec], tmp_path) == []
    assert unfinished([spec], tmp_path, fresh=True) == [spec]


def test_beginning_anew_never_drops_another_shard(tmp_path: Path, model: Path, towns: Draw) -> None:
    spec = spec_of(model, draws=2)
    write(tmp_path, spec, towns, provenance(spec))
    assert unfinished([spec], tmp_path, fresh=True, draws=range(2)) == [spec]
    with pytest.raises(UserError, match="not of this shard, such as draw 0"):
        unfinished([spec], tmp_path, fresh=True, draws=[1])


@pytest.mark.parametrize("count", [2, None], ids=["half done", "whole"])
@pytest.mark.parametrize("part", ["weights", "configuration", "adapter", "chat format"])
def test_another_model_under_the_same_name_is_refused(
    tmp_path: Path, model: Path, towns: Draw, part: str, count: int | None
) -> None:
    adapter = save_adapter(model, tmp_path / "mine")
    spec = spec_of(model, adapter=str(adapter))
    write(tmp_path / "results", spec, towns, provenance(spec), count)
    if part == "weights":
        save_model(model, seed=4)
    elif part == "configuration":
        edit(model / "config.json", rope_parameters={"rope_theta": 77.0, "rope_type": "default"})
    elif part == "adapter":
        edit(adapter / "adapter_config.json", lora_alpha=800)
    else:
        (model / "chat_template.jinja").write_text("{{ messages }}")
    with pytest.raises(UserError) as caught:
        unfinished([spec], tmp_path / "results")
    assert caught.value.what == f"this run was begun with another model, by its {part}"
    assert "--fresh" in caught.value.remedy
    assert "--results" in caught.value.remedy
    assert unfinished([spec], tmp_path / "results", fresh=True) == [spec]
    with pytest.raises(UserError, match=f"by its {part}"):  # and when it is resumed with the model that was loaded
        write(tmp_path / "results", spec, towns, provenance(spec))


def test_runs_without_identity_are_not_compared(tmp_path: Path, model: Path, towns: Draw) -> None:
    old, gone = spec_of(model), spec_of(tmp_path / "gone")
    write(tmp_path / "results", old, towns, {"model": {"weights_sha256": "a"}})
    write(tmp_path / "results", gone, towns, provenance(old))
    assert unfinished([old], tmp_path / "results") == []
    assert unfinished([gone], tmp_path / "results") == []


def test_another_embedder_under_the_same_name_is_refused(tmp_path: Path, model: Path, towns: Draw) -> None:
    import shutil

    from rmtbench.models.embed_files import model_folder

    folder = tmp_path / "embedder"
    shutil.copytree(model_folder(MINILM), folder)
    spec = replace(spec_of(model, embedder=str(folder)), system="rag-dense")
    told = provenance(spec) | {"embedder": {"sha256": "e", "files_sha256": embedder_files_hash(str(folder))}}
    write(tmp_path / "results", spec, towns, told)
    assert unfinished([spec], tmp_path / "results") == []
    edit(folder / "config.json", hidden_act="relu")
    with pytest.raises(UserError, match="begun with another embedder"):
        unfinished([spec], tmp_path / "results")


def test_run_with_adapter_is_another_run_and_others_keep_names() -> None:
    alone, both = spec_of("smollm2"), spec_of("smollm2", adapter="reading")
    assert run_id(alone) != run_id(both)
    assert run_id(both).startswith("cag-towns-all-smollm2-reading-")
    assert (alone.model_name, both.model_name) == ("smollm2", "smollm2+reading")
    assert spec_of("m", adapter="/far/away/mine").model_name == "m+mine"
