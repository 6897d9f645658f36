"""A trained memory comes back bit for bit, on the base model that it belongs to and on no other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rmt_models import IDENTITY, MEMORY, SEGMENT, base_model, rows_of, settings, wrapped
from safetensors.torch import load_file, save_file

from rmtbench.errors import UserError
from rmtbench.models.local import LocalModel
from rmtbench.rmt.base import BaseIdentity
from rmtbench.rmt.storage import CONFIG, WEIGHTS, from_pretrained, read_stored, save_pretrained, start_from, wrap
from rmtbench.rmt.walk import read_rows

DAMAGED_REMEDY = "copy the folder again from where it came, or train the memory again"


def trained(name: str, **changes):
    """A wrapped model whose every trainable weight is unlike its first value."""
    model = wrapped(name, **changes)
    torch.manual_seed(3)
    with torch.no_grad():
        for weight in model.trained().values():
            weight.add_(torch.randn_like(weight), alpha=0.05)
    return model


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert"])
@pytest.mark.parametrize("how", ["memory", "lora", "layers", "all"])
@pytest.mark.parametrize("update", ["overwrite", "gated", "latched", "associative"])
def test_it_comes_back_bit_for_bit(name: str, how: str, update: str, tmp_path: Path) -> None:
    if (name, update) == ("bert", "associative"):
        pytest.skip("an encoder has no associative memory")
    model = trained(name, trained=how, update=update, backprop_segments=2, lora_rank=2)
    save_pretrained(model, tmp_path / "made", {"stages": [1, 2]})
    back = from_pretrained(tmp_path / "made", base_model(name), IDENTITY).eval()
    assert back.config == model.config
    assert read_stored(tmp_path / "made").notes == {"stages": [1, 2]}
    ours, theirs = model.state_dict(), back.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    rows = rows_of((SEGMENT, 5), (7,))
    assert torch.equal(read_rows(model, rows), read_rows(back, rows))
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == [CONFIG, WEIGHTS]


@pytest.mark.parametrize(("how", "kept"), [("memory", 1), ("lora", 29), ("layers", 20), ("all", 22)])
def test_only_what_was_trained_is_kept(how: str, kept: int, tmp_path: Path) -> None:
    save_pretrained(trained("llama", trained=how), tmp_path)
    names = list(load_file(tmp_path / WEIGHTS))
    assert len(names) == kept
    assert "memory.tokens.weight" in names
    assert all("lora_" in name for name in names if name.startswith("base.")) == (how in {"memory", "lora"})


@pytest.mark.parametrize("how", ["layers", "all"])
def test_compact_one_rounds_base_models_weights_and_nothing_else(how: str, tmp_path: Path) -> None:
    model = trained("llama", trained=how, update="gated")
    save_pretrained(model, tmp_path, compact=True)
    back = from_pretrained(tmp_path, base_model("llama"), IDENTITY)
    for name, weight in back.trained().items():
        ours = model.trained()[name]
        assert torch.equal(weight, ours.bfloat16().float() if name.startswith("base.") else ours), name
        assert weight.dtype == torch.float32
    kept = load_file(tmp_path / WEIGHTS)
    assert {name.startswith("base.") for name, each in kept.items() if each.dtype == torch.bfloat16} == {True}


def test_saving_again_replaces_what_was_there(tmp_path: Path) -> None:
    save_pretrained(trained("llama", trained="memory"), tmp_path, {"step": 1})
    later = wrapped("llama", trained="memory")
    save_pretrained(later, tmp_path, {"step": 2})
    back = from_pretrained(tmp_path, base_model("llama"), IDENTITY)
    assert torch.equal(back.memory.tokens.weight, later.memory.tokens.weight)
    assert read_stored(tmp_path).notes == {"step": 2}


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (
            BaseIdentity("other", "b" * 64),
            "base model 'tiny' (weights aaaaaaaa), and this is 'other' (weights bbbbbbbb)",
        ),
        (
            replace(IDENTITY, tokenizer_sha256="c" * 64),
            "base model 'tiny' (tokenizer none), and this is 'tiny' (tokenizer cccccccc)",
        ),
    ],
)
def test_another_base_model_is_refused(other: BaseIdentity, said: str, tmp_path: Path) -> None:
    save_pretrained(trained("llama"), tmp_path)
    with pytest.raises(UserError) as caught:
        from_pretrained(tmp_path, base_model("llama"), other)
    assert caught.value.what == f"the memory belongs to {said}"
    assert caught.value.where == str(tmp_path)
    assert caught.value.remedy == f"use it with 'tiny' as the base model, or train a memory for '{other.id}'"


def test_a_base_model_of_another_configuration_is_refused(tmp_path: Path) -> None:
    model = trained("llama")
    model.identity = replace(model.identity, configuration_sha256="d" * 64)
    save_pretrained(model, tmp_path)
    with pytest.raises(UserError, match=r"configuration dddddddd\), and this is 'tiny' \(configuration eeeeeeee"):
        from_pretrained(tmp_path, base_model("llama"), replace(IDENTITY, configuration_sha256="e" * 64))
    from_pretrained(tmp_path, base_model("llama"), IDENTITY)  # of before it was recorded


def test_a_loaded_models_identity_is_its_hashes(tiny_model: LocalModel) -> None:
    identity = BaseIdentity.of(tiny_model.provenance)
    assert identity.id == "random:tiny"
    assert identity.weights_sha256 == tiny_model.provenance["weights_sha256"]
    assert identity.tokenizer_sha256 == tiny_model.provenance["tokenizer_sha256"]
    assert identity.configuration_sha256 == tiny_model.provenance["identity_parts"]["configuration"]


def refused(folder: Path) -> UserError:
    with pytest.raises(UserError) as caught:
        from_pretrained(folder, base_model("llama"), IDENTITY)
    return caught.value


def test_a_folder_without_a_memory_is_refused(tmp_path: Path) -> None:
    error = refused(tmp_path)
    assert (error.what, error.where) == ("no trained memory here: there is no rmt.json", str(tmp_path))
    assert error.remedy == "name a folder that `rmtbench train rmt` has written"


def spoil_json(folder: Path, **changes: object) -> None:
    described = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(described | changes))


def flip(folder: Path) -> None:
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS).write_bytes(content)


def swap_weights(folder: Path) -> None:
    """Weights of a larger memory, under a hash that fits."""
    import hashlib

    save_file({"memory.tokens.weight": torch.zeros(5, 32)}, folder / WEIGHTS)
    spoil_json(folder, weights_sha256=hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest())


@pytest.mark.parametrize(
    ("spoil", "file", "why"),
    [
        (flip, WEIGHTS, "it is not the file that was written"),
        (lambda folder: (folder / WEIGHTS).unlink(), WEIGHTS, "the file is missing"),
        (swap_weights, WEIGHTS, "it holds other weights than its settings say"),
        (lambda folder: (folder / CONFIG).write_text("{"), CONFIG, "JSONDecodeError: Expecting property name"),
        (lambda folder: (folder / CONFIG).write_text("[]"), CONFIG, "TypeError: list indices must be integers"),
        (lambda folder: spoil_json(folder, config={}), CONFIG, "KeyError: 'special_ids'"),
        (lambda folder: spoil_json(folder, base={"id": "x"}), CONFIG, "TypeError: "),
        (
            lambda folder: spoil_json(
                folder, config={"kind": "decoder", "segment_tokens": 2, "memory_tokens": 9, "special_ids": None}
            ),
            CONFIG,
            "UserError: memory_tokens: a memory of 9 tokens is larger than a segment of 2",
        ),
    ],
)
def test_a_damaged_memory_is_refused(spoil, file: str, why: str, tmp_path: Path) -> None:
    save_pretrained(trained("llama", trained="memory"), tmp_path)
    spoil(tmp_path)
    error = refused(tmp_path)
    assert error.what.startswith(f"the trained memory is damaged ({why}")
    assert (error.where, error.remedy) == (str(tmp_path / file), DAMAGED_REMEDY)


def test_a_memory_of_another_version_is_refused(tmp_path: Path) -> None:
    save_pretrained(trained("llama", trained="memory"), tmp_path)
    spoil_json(tmp_path, version=2)
    error = refused(tmp_path)
    assert (error.what, error.where) == ("the memory has version 2, and this is version 1", str(tmp_path / CONFIG))
    assert error.remedy == "use the rmtbench that wrote it, or train the memory again"


def test_saving_that_was_cut_short_leaves_nothing_to_load(tmp_path: Path) -> None:
    save_pretrained(trained("llama", trained="memory"), tmp_path)
    broken = wrapped("llama", trained="memory")
    with pytest.raises(TypeError):
        save_pretrained(broken, tmp_path, {"step": object()})
    assert refused(tmp_path).what == "no trained memory here: there is no rmt.json"


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written") as caught:
        save_pretrained(trained("llama", trained="memory"), tmp_path / "file" / "memory")
    assert caught.value.remedy == "choose another folder with --out"


def test_settings_of_encoders_come_back_as_they_were(tmp_path: Path) -> None:
    save_pretrained(wrapped("bert", trained="memory"), tmp_path)
    assert read_stored(tmp_path).config == settings("bert", trained="memory")


def test_training_can_begin_with_other_memory_update(tmp_path: Path) -> None:
    made = trained("llama", update="gated")
    save_pretrained(made, tmp_path / "made", {"task": "detect"})
    model = wrapped("llama", update="latched")
    stored = start_from(tmp_path / "made", model)
    assert stored.notes == {"task": "detect"}
    weights = model.trained()
    assert all(torch.equal(weight, weights[name]) for name, weight in made.trained().items())
    assert model.config.update == "latched"


def test_training_with_associations_can_begin_without_them(tmp_path: Path) -> None:
    made = trained("llama", update="latched")
    save_pretrained(made, tmp_path / "made")
    model = wrap(base_model("llama"), settings("llama", update="associative"), IDENTITY).eval()
    start_from(tmp_path / "made", model)
    rows = rows_of((SEGMENT, 5), (7,))
    theirs, ours = read_rows(made, rows), read_rows(model, rows)
    assert torch.equal(ours[:, :MEMORY], theirs), "until it has learned, nothing is read from it"
    ours_said, theirs_said = (each.generate(rows, lambda _: None, 4) for each in (model, made))
    assert [answer.ids for answer in ours_said] == [answer.ids for answer in theirs_said]
    back = wrapped("llama", update="latched")
    save_pretrained(model, tmp_path / "other")
    with pytest.raises(UserError, match="other weights than the one to be trained"):
        start_from(tmp_path / "other", back)


def test_training_refuses_memory_of_other_weights(tmp_path: Path) -> None:
    save_pretrained(trained("llama", update="overwrite"), tmp_path / "made")
    with pytest.raises(UserError, match="other weights than the one to be trained") as caught:
        start_from(tmp_path / "made", wrapped("llama", update="latched"))
    assert caught.value.remedy == "train with its own settings: update overwrite"
    other = wrapped("llama", update="overwrite")
    other.identity = replace(other.identity, weights_sha256="0" * 64)
    with pytest.raises(UserError, match="belongs to base model"):
        start_from(tmp_path / "made", other)
