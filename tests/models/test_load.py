"""Loading: what is said of a model is true of it, and what cannot be loaded is said in one line."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import save_model
from transformers import AutoModelForCausalLM, LlamaConfig, MambaConfig, MambaForCausalLM, MistralConfig

from rmtbench.errors import AnswerError, UserError
from rmtbench.kvcache.exact.plain import read_prefix
from rmtbench.models.architecture import check_supported, context_limit, uses_sliding_window
from rmtbench.models.base import Passage, Prompt
from rmtbench.models.embed_files import MINILM, model_folder
from rmtbench.models.load import choose_device, choose_dtype, load_model, load_token_counter
from rmtbench.models.local import LocalModel
from rmtbench.models.random_geometry import GEOMETRIES, build_random

SMALL = {
    "vocab_size": 30522,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}


@pytest.fixture
def saved(tmp_path):
    """A model folder as `save_pretrained` writes it, with MiniLM's tokenizer."""
    torch.manual_seed(3)
    folder = tmp_path / "my-model"
    AutoModelForCausalLM.from_config(LlamaConfig(**SMALL, max_position_embeddings=64)).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        (folder / name).write_bytes((model_folder(MINILM) / name).read_bytes())
    return folder


def test_a_random_geometry_says_that_it_is_random(tiny_model):
    assert tiny_model.provenance["label"] == "random weights"
    assert tiny_model.provenance["tokenizer"] == "all-MiniLM-L6-v2 WordPiece"
    assert len(tiny_model.provenance["weights_sha256"]) == 64


def test_a_longrope_model_ends_where_its_angles_change():
    rope = {"rope_type": "longrope", "rope_theta": 1e4, "factor": 2.0, "original_max_position_embeddings": 256,
            "short_factor": [1.0] * 8, "long_factor": [2.0] * 8}  # fmt: skip
    widths = {"num_attention_heads": 2, "head_dim": 16, "max_position_embeddings": 512}
    assert context_limit(LlamaConfig(**{**SMALL, **widths}, rope_parameters=rope)) == 256
    assert context_limit(LlamaConfig(**{**SMALL, **widths})) == 512


def test_same_seed_gives_same_weights_and_another_seed_others(tiny_model):
    again, other = load_model("random:tiny"), load_model("random:tiny", seed=1)
    assert again.provenance["weights_sha256"] == tiny_model.provenance["weights_sha256"]
    assert other.provenance["weights_sha256"] != tiny_model.provenance["weights_sha256"]


def test_making_random_weights_leaves_the_random_state_alone():
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    build_random("random:tiny", 5, torch.float32, "cpu")
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_default_dtype() == torch.float32


def test_every_geometry_is_a_configuration_of_transformers():
    from transformers import AutoConfig

    for name, values in GEOMETRIES.items():
        given = dict(values)
        config = AutoConfig.for_model(given.pop("model_type"), **given)
        assert config.num_hidden_layers > 0, name


def test_the_8b_geometry_has_8_billion_parameters():
    from transformers import AutoConfig

    given = dict(GEOMETRIES["llama-3.1-8b"])
    config = AutoConfig.for_model(given.pop("model_type"), **given)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    assert model.num_parameters() == 8_030_261_248


def test_folder_is_named_by_its_own_name_and_hashed_by_weights(saved):
    first = load_model(str(saved))
    assert first.provenance["id"] == "my-model"
    assert str(saved.parent) not in json.dumps(first.provenance)
    assert load_model(str(saved)).provenance["weights_sha256"] == first.provenance["weights_sha256"]
    weights = saved / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    assert load_model(str(saved)).provenance["weights_sha256"] != first.provenance["weights_sha256"]


def test_folder_given_as_a_dot_is_named_by_its_own_name(saved, monkeypatch):
    monkeypatch.chdir(saved)
    assert [load_model(name).provenance[key] for name in (".", "../my-model/.") for key in ("id", "tokenizer")] == [
        "my-model"
    ] * 4


def test_biases_that_the_configuration_leaves_out_are_refused(tmp_path):
    folder = save_model(tmp_path / "biased", attention_bias=True)
    load_model(str(folder))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "attention_bias": False}))
    with pytest.raises(UserError, match=r"no place for its tensor model\.layers\.0\.self_attn\.k_proj\.bias"):
        load_model(str(folder))


def test_prompt_beyond_context_is_refused_with_both_numbers(saved):
    model = replace(load_model(str(saved)), max_answer_tokens=8)
    with pytest.raises(AnswerError, match=r"prompt of \d+ tokens and answer of 8 exceed the model's context of 64"):
        model.generate([Prompt((Passage("t", "word " * 60),), "Why?")])
    with pytest.raises(AnswerError, match="context of 64"):
        read_prefix(model, (Passage("t", "word " * 60),), ["Why?"], batch=1)


def test_weights_without_tensor_are_refused_not_filled(saved):
    weights = load_file(saved / "model.safetensors")
    del weights["model.layers.0.mlp.up_proj.weight"]
    save_file(weights, saved / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lack 1 tensors of its architecture, such as model\.layers\.0\.mlp\.up_proj"):
        load_model(str(saved))


def test_an_embedder_is_no_model_that_answers():
    with pytest.raises(UserError, match="lack"):
        load_model(str(model_folder(MINILM)))


def test_weights_that_are_cut_or_of_another_shape_are_one_line(saved):
    weights = saved / "model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="cannot be loaded"):
        load_model(str(saved))
    weights.write_bytes(data)
    config = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps({**config, "intermediate_size": 64}))
    with pytest.raises(UserError, match="cannot be loaded"):
        load_model(str(saved))


def test_a_tokenizer_of_more_tokens_than_model_knows_is_refused(saved):
    with pytest.raises(UserError, match=r"has 30,522 tokens, the model embeddings for 5,120") as caught:
        load_model("mini", tokenizer=str(saved))
    assert caught.value.where == "--tokenizer"


@pytest.mark.parametrize(
    ("name", "what", "remedy"),
    [
        ("random:tny", "no geometry 'tny'", "did you mean 'tiny'?"),
        ("./no/such/folder", "no such folder", "config.json"),
        ("nobody/nothing", "model 'nobody/nothing' cannot be loaded", "a hub id needs the network"),
        ("smolm2", "model 'smolm2' cannot be loaded", "did you mean 'smollm2'? Or give a folder"),
    ],
)
def test_a_missing_model_is_one_line_with_a_remedy(name, what, remedy):
    with pytest.raises(UserError) as caught:
        load_model(name)
    assert what in caught.value.what
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "what"), [("{", "cannot be loaded"), ('{"eos_token_id": ["</s>"]}', "eos_token_id has '</s>'")]
)
def test_damaged_end_tokens_are_refused_not_left_out(saved, text, what):
    (saved / "generation_config.json").write_text(text)
    with pytest.raises(UserError, match=what):
        load_model(str(saved))


@pytest.mark.parametrize("text", ["{", "{}", "[]"])
def test_a_damaged_tokenizer_is_one_line(saved, text):
    (saved / "tokenizer.json").write_text(text)
    with pytest.raises(UserError, match=r"tokenizer '.*' cannot be loaded") as caught:
        load_model(str(saved))
    assert "\n" not in str(caught.value)


def test_a_missing_tokenizer_names_its_option():
    with pytest.raises(UserError, match="tokenizer 'nobody/nothing'") as caught:
        load_token_counter("random:tiny", "nobody/nothing")
    assert caught.value.where == "--tokenizer"


def test_tokens_are_counted_without_special_tokens():
    assert load_token_counter("random:tiny")(["one two three", ""]) == [3, 0]


def test_a_model_with_recurrent_state_is_refused():
    model = MambaForCausalLM(MambaConfig(vocab_size=32, hidden_size=16, num_hidden_layers=1, state_size=4))
    with pytest.raises(UserError):
        check_supported(model)


def test_sliding_windows_serve_singles_and_refuse_batches(tiny_model):
    config = MistralConfig(**SMALL, sliding_window=24, max_position_embeddings=512)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    assert uses_sliding_window(model)
    assert not uses_sliding_window(tiny_model.model)
    local = LocalModel(model, tiny_model.contract, frozenset(), 512, 6, {})
    context = (Passage("Arden", "Arden has seven mills and a bridge over the Oss. " * 6),)
    ids = torch.tensor([local.context_ids(context) + local.question_ids("How many?")])
    expected = tuple(model.generate(ids, max_new_tokens=6, do_sample=False, pad_token_id=0)[0, ids.shape[1] :].tolist())
    assert local.generate([Prompt(context, "How many?")])[0].output_ids == expected
    with pytest.raises(UserError, match="sliding-window"):
        read_prefix(local, context, ["How many?"], batch=2)
    with pytest.raises(UserError, match="sliding-window"):
        local.generate([Prompt(context, "How many?"), Prompt(context, "Why?")])


def test_auto_means_what_is_there():
    assert choose_dtype("auto", "cpu") == "float32"
    assert choose_dtype("auto", "cuda") == "bfloat16"
    assert choose_device("cpu") == "cpu"
    assert choose_device("cpu:0") == "cpu", "there is one, and auto means float32 on it"


@pytest.mark.parametrize(
    ("choose", "value"),
    [
        (choose_device, "tpu"),
        (choose_device, "cpu:9"),
        (choose_device, "cpu:x"),
        (lambda name: choose_dtype(name, "cpu"), "int3"),
    ],
)
def test_unknown_devices_and_dtypes_are_refused(choose, value):
    with pytest.raises(UserError, match=value):
        choose(value)
