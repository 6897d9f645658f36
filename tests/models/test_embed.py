"""Embedders: equal to sentence-transformers, honest about truncation, and refusing what is not a model."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from rmtbench.errors import UserError
from rmtbench.models.embed import TransformersEmbedder, load_embedder
from rmtbench.models.embed_files import model_folder, read_layout
from rmtbench.models.embed_library import LibraryEmbedder

SENTENCES = ["The river Orle rises in Tamsin.", "", "Who wrote 'The Glass Orchard'?", "naïve café 東京 🙂"]
LONG = "Marla Quist founded the Harrow works beside the old mill. " * 60


@pytest.fixture(scope="module")
def minilm():
    return load_embedder("minilm")


@pytest.fixture
def folder(tmp_path):
    """A copy of MiniLM whose small files may be changed; the weights are a link."""
    source = model_folder("minilm")
    copy = tmp_path / "model"
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("*.safetensors", "README.md", "data_config.json"))
    (copy / "model.safetensors").symlink_to(source / "model.safetensors")
    return copy


def change(path: Path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_rows_are_unit_vectors_in_the_order_of_the_texts(minilm):
    vectors = minilm.embed([*SENTENCES, LONG])
    assert vectors.shape == (5, minilm.dimension) == (5, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    for text, vector in zip([*SENTENCES, LONG], vectors, strict=True):
        np.testing.assert_allclose(minilm.embed([text])[0], vector, atol=2e-6)


def test_a_mark_such_as_sep_in_a_document_is_text(minilm):
    marked, spelt = minilm.embed(["the end [SEP] of a line", "the end [sep] of a line"])
    assert np.array_equal(marked, spelt)


def test_no_text_gives_no_row(minilm):
    assert minilm.embed([]).shape == (0, 384)
    assert minilm.truncated([]) == 0


def test_vectors_that_are_not_finite_are_refused():
    broken = load_embedder("minilm")
    next(broken._model.parameters()).data[:] = float("nan")
    with pytest.raises(UserError, match="a vector that is not finite") as caught:
        broken.embed(["the old mill"])
    assert caught.value.where == "--embedder minilm"


def test_equal_texts_get_equal_bits_in_any_batch(minilm):
    texts = ["an echo", *(f"line {number}" for number in range(40)), "an echo"]
    vectors = minilm.embed(texts)
    assert np.array_equal(vectors[0], vectors[-1])


def test_only_the_first_256_tokens_are_read_and_rest_is_counted(minilm):
    assert minilm.max_tokens == 256
    assert minilm.truncated([*SENTENCES, LONG, LONG]) == 2
    beginning = LONG[: len(LONG) * 2 // 3]
    assert minilm.truncated([beginning]) == 1
    np.testing.assert_allclose(minilm.embed([beginning]), minilm.embed([LONG]), atol=2e-6)


def test_related_texts_are_nearer_than_unrelated_ones(minilm):
    question, answer, other = minilm.embed(
        ["What is the capital of France?", "Paris is France's capital city.", "Bake the bread for forty minutes."]
    )
    assert question @ answer > question @ other + 0.3


def test_a_folder_is_the_same_model_as_its_name(minilm, folder):
    copy = load_embedder(str(folder))
    assert copy.sha256 == minilm.sha256
    assert np.array_equal(copy.embed(SENTENCES), minilm.embed(SENTENCES))


def test_hash_changes_with_every_setting_that_changes_vectors(minilm, folder):
    change(folder / "sentence_bert_config.json", max_seq_length=128)
    shorter = load_embedder(str(folder))
    assert shorter.max_tokens == 128
    change(folder / "1_Pooling/config.json", pooling_mode_cls_token=True, pooling_mode_mean_tokens=False)
    first = load_embedder(str(folder))
    change(folder / "tokenizer_config.json", do_lower_case=False)
    cased = load_embedder(str(folder))
    assert len({minilm.sha256, shorter.sha256, first.sha256, cased.sha256}) == 4
    assert not np.allclose(first.embed(SENTENCES), minilm.embed(SENTENCES), atol=0.01)


def test_model_without_length_is_limited_by_positions(folder):
    (folder / "sentence_bert_config.json").unlink()
    assert load_embedder(str(folder)).max_tokens == 512


def test_the_newer_spelling_of_pooling_is_read_too(folder):
    (folder / "1_Pooling/config.json").write_text('{"embedding_dimension": 384, "pooling_mode": "cls"}')
    assert read_layout(folder).pooling == "cls"


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}),
        ("1_Pooling/config.json", {"pooling_mode_mean_tokens": False, "pooling_mode_max_tokens": True}),
        ("sentence_bert_config.json", {"do_lower_case": True}),
        ("sentence_bert_config.json", {"model_args": {"dtype": "float16"}}),
    ],
)
def test_transformers_special_cases_are_left_to_library(folder, file, values):
    change(folder / file, **values)
    assert read_layout(folder) is None


def test_another_stack_of_modules_is_left_to_the_library(folder):
    modules = json.loads((folder / "modules.json").read_text())
    modules.insert(2, {"idx": 3, "name": "3", "path": "3_Dense", "type": "sentence_transformers.models.Dense"})
    (folder / "modules.json").write_text(json.dumps(modules))
    assert read_layout(folder) is None


def test_without_the_library_the_error_says_how_to_install_it(folder, monkeypatch):
    change(folder / "1_Pooling/config.json", pooling_mode_max_tokens=True)
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(UserError, match="not installed") as caught:
        load_embedder(str(folder))
    assert caught.value.remedy == "pip install 'rmtbench[sentence-transformers]'"


def break_json(folder):
    (folder / "modules.json").write_text("[{")


def break_shape(folder):
    (folder / "modules.json").write_text('{"0": "Transformer"}')


def break_module(folder):
    (folder / "modules.json").write_text('[{"path": ""}]')


def drop_modules(folder):
    (folder / "modules.json").unlink()


def drop_weights(folder):
    (folder / "model.safetensors").unlink()


def cut_weights(folder):
    weights = folder / "model.safetensors"
    start = weights.read_bytes()[:5000]
    weights.unlink()
    weights.write_bytes(start)


def drop_config(folder):
    (folder / "config.json").unlink()


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (break_json, "not JSON"),
        (break_shape, "not a JSON list"),
        (break_module, "no type or path"),
        (drop_modules, "no modules.json"),
        (drop_weights, "cannot be loaded"),
        (cut_weights, "cannot be loaded"),
        (drop_config, "cannot be loaded"),
    ],
)
def test_a_damaged_model_is_refused_with_its_place_and_a_remedy(folder, damage, what):
    damage(folder)
    with pytest.raises(UserError, match=what) as caught:
        load_embedder(str(folder))
    assert caught.value.where.startswith(str(folder))
    assert caught.value.remedy


def test_weights_without_a_layers_tensor_are_not_filled(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.5.output.dense.weight"]
    (folder / "model.safetensors").unlink()
    save_file({name: each for name, each in weights.items() if "pooler" not in name}, folder / "model.safetensors")
    with pytest.raises(
        UserError, match=r"lack 1 tensors .* such as encoder\.layer\.5\.output\.dense\.weight"
    ) as caught:
        load_embedder(str(folder))
    assert (caught.value.where, caught.value.remedy) == ("--embedder", "fetch all of its files again")


def test_a_damaged_tokenizer_is_one_line(folder):
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match="cannot be loaded"):
        load_embedder(str(folder))


@pytest.mark.parametrize("name", ["no/such-model", "./no/such/folder", "nosuchname", "a b c"])
def test_an_unknown_model_is_refused_with_a_way_out(name, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="there is no embedder") as caught:
        load_embedder(name)
    assert "minilm" in caught.value.remedy


def test_a_hub_model_in_the_local_cache_needs_no_network(folder, tmp_path, monkeypatch):
    revision = "0" * 40
    repository = tmp_path / "hub/models--someone--embedder"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text(revision)
    (repository / "snapshots").mkdir()
    folder.rename(repository / "snapshots" / revision)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    assert read_layout(model_folder("someone/embedder")).max_tokens == 256


def test_other_poolings_run_through_the_library(folder):
    change(folder / "1_Pooling/config.json", pooling_mode_mean_tokens=False, pooling_mode_max_tokens=True)
    embedder = load_embedder(str(folder))
    assert isinstance(embedder, LibraryEmbedder)
    assert not isinstance(embedder, TransformersEmbedder)
    vectors = embedder.embed([*SENTENCES, SENTENCES[0]])
    assert vectors.shape == (5, embedder.dimension) == (5, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert np.array_equal(vectors[0], vectors[4])
    assert embedder.embed([]).shape == (0, 384)
    assert (embedder.max_tokens, embedder.truncated([LONG, "short"])) == (256, 1)
    assert len(embedder.sha256) == 64
