"""One hash for all that decides a model's answers: it changes with each part, and with nothing else."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from small_models import save_adapter, save_model, write_gguf

from rmtbench import files
from rmtbench.files import file_sha256
from rmtbench.models.identity import PARTS, identity_here
from rmtbench.models.load import load_model
from rmtbench.models.weights import weights_hash


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RMTBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_model(tmp_path / "model")


def parts(*given: Any, **named: Any) -> dict[str, str]:
    found = identity_here(*given, **named)
    assert found is not None
    assert tuple(found.parts) == PARTS
    return dict(found.parts)


def edit(path: Path, **fields: Any) -> None:
    values = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(values | fields))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("weights", lambda folder: flip(folder / "model.safetensors")),
        ("configuration", lambda folder: edit(folder / "config.json", rope_parameters={"rope_theta": 5e5})),
        ("configuration", lambda folder: edit(folder / "config.json", eos_token_id=7)),
        ("configuration", lambda folder: edit(folder / "config.json", sliding_window=64)),
        ("configuration", lambda folder: edit(folder / "generation_config.json", eos_token_id=[7, 8])),
        ("tokenizer", lambda folder: edit(folder / "tokenizer.json", padding=None, truncation={"max_length": 3})),
        ("tokenizer", lambda folder: edit(folder / "tokenizer_config.json", eos_token="[SEP]")),
        ("chat format", lambda folder: edit(folder / "tokenizer_config.json", chat_template="{{ messages }}")),
        ("chat format", lambda folder: (folder / "chat_template.jinja").write_text("{{ messages }}")),
    ],
)
def test_each_part_changes_alone(folder: Path, part: str, change: Any) -> None:
    before = parts(str(folder))
    change(folder)
    after = parts(str(folder))
    assert [name for name in PARTS if before[name] != after[name]] == [part]


def test_names_versions_and_dtypes_change_nothing(folder: Path, tmp_path: Path) -> None:
    before = identity_here(str(folder))
    edit(folder / "config.json", _name_or_path="/x", transformers_version="9", dtype="bfloat16", torch_dtype="float16")
    edit(folder / "generation_config.json", transformers_version="9", temperature=0.3)
    edit(folder / "tokenizer_config.json", model_max_length=3, name_or_path="/y")
    moved = folder.rename(tmp_path / "moved")
    assert identity_here(str(moved)) == before


def test_it_is_the_same_before_and_after_loading(folder: Path, tmp_path: Path) -> None:
    adapter = str(save_adapter(folder, tmp_path / "mine"))
    file = str(write_gguf(tmp_path / "small.gguf"))
    unconverted = identity_here(file)
    cases = [((str(folder),), {}), ((str(folder),), {"adapter": adapter}), (("random:tiny",), {"seed": 4}),
             (("mini",), {}), ((str(folder),), {"tokenizer": "mini"}), ((file,), {})]  # fmt: skip
    for given, named in cases:
        found = identity_here(*given, **named)
        told = load_model(*given, **named).provenance
        assert found is not None
        assert (told["identity"], told["identity_parts"]) == (found.sha256, found.parts), (given, named)
    assert unconverted == identity_here(file)


def test_models_differ_in_the_parts_in_which_they_differ(folder: Path, tmp_path: Path) -> None:
    adapter = save_adapter(folder, tmp_path / "mine")
    before, after = parts(str(folder)), parts(str(folder), str(adapter))
    assert [name for name in PARTS if before[name] != after[name]] == ["adapter"]
    assert parts("random:tiny", seed=1)["weights"] != parts("random:tiny")["weights"]


def test_a_model_that_is_not_here_has_none() -> None:
    for name in ("/nowhere/model", "nobody/nothing", "/nowhere/x.gguf"):
        assert identity_here(name) is None


def test_a_large_files_hash_is_kept_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_LARGE", 1)
    path = tmp_path / "large"
    path.write_bytes(b"one")
    hour_ago = time.time() - 3600
    os.utime(path, (hour_ago, hour_ago))
    first = file_sha256(path)
    with monkeypatch.context() as patch:
        patch.setattr(files, "hash_file", lambda _: pytest.fail("read again"))
        assert file_sha256(path) == first
    path.write_bytes(b"two")  # as long, and now
    assert file_sha256(path) != first


def test_a_file_that_was_just_written_is_hashed_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_LARGE", 1)
    path = tmp_path / "large"
    path.write_bytes(b"one")
    stamp = path.stat()
    first = file_sha256(path)
    path.write_bytes(b"two")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # a clock that is too coarse
    assert file_sha256(path) != first


def test_weights_are_those_of_the_files_that_are_loaded(tmp_path: Path) -> None:
    """A repository that is fetched whole may hold the weights once more in another layout, which nobody loads."""
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    for name in shards:
        (tmp_path / name).write_text(name)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": shards[1], "b": shards[0], "c": shards[0]}}))
    before = weights_hash(str(tmp_path))
    (tmp_path / "consolidated.safetensors").write_text("all of them")
    assert weights_hash(str(tmp_path)) == before
    (tmp_path / shards[0]).write_text("others")
    assert weights_hash(str(tmp_path)) != before
    index.write_text("[]")
    assert weights_hash(str(tmp_path)) != before, "a damaged index is transformers' to refuse"


def test_safetensors_that_are_not_loaded_hide_no_weights(folder: Path) -> None:
    weights = folder / "pytorch_model.bin"
    torch.save(load_file(folder / "model.safetensors"), weights)
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    before = load_model(str(folder))
    other = {name: 2 * tensor for name, tensor in torch.load(weights).items()}
    weights.unlink()  # the first model has it mapped
    torch.save(other, weights)
    after = load_model(str(folder))
    assert not torch.equal(before.model.lm_head.weight, after.model.lm_head.weight)
    for name in ("weights_sha256", "identity"):
        assert before.provenance[name] != after.provenance[name]
