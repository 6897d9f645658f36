"""PEFT adapters: merged exactly, told apart, and refused where they do not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import IA3Config, LoHaConfig, LoraConfig, PeftModel, PromptTuningConfig
from safetensors.torch import load_file, save_file
from small_models import save_adapter, save_model
from transformers import AutoModelForCausalLM

from rmtbench.errors import UserError
from rmtbench.models import adapters
from rmtbench.models.load import load_model
from rmtbench.models.sources import find_source

LORA: dict[str, Any] = {
    "r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"], "init_lora_weights": False,
    "task_type": "CAUSAL_LM",
}  # fmt: skip
IDS = torch.arange(1000, 1012)[None]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture
def adapter(base: Path, tmp_path: Path) -> Path:
    return save_adapter(base, tmp_path / "mine")


def change(folder: Path, **fields: Any) -> None:
    """Change fields of an adapter's configuration."""
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def refused(base: Path | str, adapter: Path | str) -> UserError:
    with pytest.raises(UserError) as caught:
        load_model(str(base), adapter=str(adapter))
    assert "\n" not in str(caught.value)
    assert caught.value.remedy
    return caught.value


@pytest.mark.parametrize(
    "config",
    [
        LoraConfig(**LORA),
        LoraConfig(**LORA, use_dora=True),
        LoraConfig(**LORA, modules_to_save=["lm_head"]),
        LoHaConfig(r=4, target_modules=["q_proj"], init_weights=False, task_type="CAUSAL_LM"),
        IA3Config(target_modules=["k_proj"], feedforward_modules=[], init_ia3_weights=False, task_type="CAUSAL_LM"),
    ],
    ids=["lora", "dora", "saved head", "loha", "ia3"],
)
def test_a_merged_adapter_computes_what_peft_computes(base: Path, tmp_path: Path, config: Any) -> None:
    folder = save_adapter(base, tmp_path / "mine", config)
    plain = AutoModelForCausalLM.from_pretrained(base).eval()
    with torch.inference_mode():
        without = plain(IDS).logits
        expected = PeftModel.from_pretrained(plain, folder).eval()(IDS).logits
        merged = load_model(str(base), adapter=str(folder)).model(IDS).logits
    assert torch.allclose(merged, expected, atol=1e-5)
    assert not torch.allclose(merged, without, atol=1e-4)


def test_adapter_is_told_in_provenance_and_leaves_base_as_it_is(base: Path, adapter: Path) -> None:
    alone, both = load_model(str(base)), load_model(str(base), adapter=str(adapter))
    told = both.provenance
    assert (alone.provenance["id"], told["id"]) == ("base", "base+mine")
    assert told["base"] == {"id": "base", "weights_sha256": alone.provenance["weights_sha256"]}
    assert told["weights_sha256"] != alone.provenance["weights_sha256"]
    assert told["adapter"]["kind"] == "LORA"
    assert (told["adapter"]["r"], told["adapter"]["lora_alpha"], told["adapter"]["trained_on"]) == (4, 8, "base")
    assert str(adapter.parent) not in json.dumps(told)
    assert "adapter" not in alone.provenance
    assert type(both.model).__name__ == "LlamaForCausalLM"


def test_another_scale_is_another_model(base: Path, adapter: Path) -> None:
    first = load_model(str(base), adapter=str(adapter))
    change(adapter, lora_alpha=800)
    second = load_model(str(base), adapter=str(adapter))
    for name in ("weights_sha256", "identity"):
        assert first.provenance[name] != second.provenance[name]
    change(adapter, lora_alpha=8, base_model_name_or_path="elsewhere", peft_version="0.0")
    assert load_model(str(base), adapter=str(adapter)).provenance["identity"] == first.provenance["identity"]


def test_a_lower_precision_is_rounded_once_after_merging(base: Path, adapter: Path) -> None:
    whole = load_model(str(base), adapter=str(adapter)).model.state_dict()
    half = load_model(str(base), adapter=str(adapter), dtype="bfloat16").model.state_dict()
    assert all(torch.equal(whole[name].bfloat16(), half[name]) for name in whole)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_merged_adapter_answers_as_its_merged_folder(base: Path, adapter: Path, tmp_path: Path, dtype: str) -> None:
    load_model(str(base), adapter=str(adapter)).model.save_pretrained(tmp_path / "merged")
    folder = load_model(str(tmp_path / "merged"), tokenizer=str(base), dtype=dtype).model
    merged = load_model(str(base), adapter=str(adapter), dtype=dtype).model
    far = {"input_ids": IDS, "position_ids": torch.arange(1500, 1500 + IDS.shape[1])[None]}
    with torch.inference_mode():
        assert torch.equal(merged(**far).logits, folder(**far).logits)
    assert {name: each.dtype for name, each in merged.named_buffers()} == {
        name: each.dtype for name, each in folder.named_buffers()
    }


@pytest.mark.parametrize("stated", ["absolute", "beside", "within"])
def test_an_adapters_folder_as_model_finds_its_base(tmp_path: Path, stated: str) -> None:
    base = save_model(tmp_path / "mine" / "base" if stated == "within" else tmp_path / "base")
    folder = save_adapter(base, tmp_path / "mine")
    change(folder, base_model_name_or_path=str(base) if stated == "absolute" else "base")
    given = load_model(str(folder)).provenance
    assert given["id"] == "mine"
    assert given["weights_sha256"] == load_model(str(base), adapter=str(folder)).provenance["weights_sha256"]


def test_an_adapter_may_name_a_shipped_model_as_its_base(adapter: Path) -> None:
    change(adapter, base_model_name_or_path="mini")
    found = find_source(str(adapter))
    assert (found.name, found.public, found.base) == ("mini", "mine", "mini")


@pytest.mark.parametrize("stated", ["/nowhere/base", "nobody/nothing", None])
def test_an_adapter_whose_base_is_not_here_says_how_to_give_it(adapter: Path, stated: str | None) -> None:
    change(adapter, base_model_name_or_path=stated)
    with pytest.raises(UserError, match="base model") as caught:
        load_model(str(adapter))
    assert f"--model BASE --adapter {adapter}" in caught.value.remedy


def test_the_adapters_own_tokenizer_comes_first(base: Path, adapter: Path) -> None:
    before = load_model(str(base), adapter=str(adapter)).provenance
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        (adapter / name).write_bytes((base / name).read_bytes())
    settings = json.loads((adapter / "tokenizer_config.json").read_text())
    template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    (adapter / "tokenizer_config.json").write_text(json.dumps(settings | {"chat_template": template}))
    after = load_model(str(base), adapter=str(adapter))
    assert after.contract.tokenizer.chat_template == template
    assert before["identity_parts"]["chat format"] != after.provenance["identity_parts"]["chat format"]
    assert before["identity_parts"]["tokenizer"] == after.provenance["identity_parts"]["tokenizer"]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"hidden_size": 64}, "size mismatch"),
        ({"num_hidden_layers": 2}, "tensors are missing"),
    ],
    ids=["other widths", "more layers"],
)
def test_an_adapter_of_another_model_is_refused(tmp_path: Path, adapter: Path, settings: dict, reason: str) -> None:
    error = refused(save_model(tmp_path / "other", **settings), adapter)
    assert "does not fit this model" in error.what
    assert reason in error.what


def test_an_adapter_for_more_layers_is_refused(base: Path, tmp_path: Path) -> None:
    adapter = save_adapter(save_model(tmp_path / "deeper", num_hidden_layers=2), tmp_path / "mine")
    assert "4 tensors have no place in the model" in refused(base, adapter).what


def test_an_adapter_that_names_other_modules_is_refused(base: Path, adapter: Path) -> None:
    change(adapter, target_modules=["query_key_value"])
    assert "does not fit this model" in refused(base, adapter).what
    change(adapter, target_modules=["q_proj"])  # its weights for v_proj would be left out in silence
    assert "2 tensors have no place in the model" in refused(base, adapter).what
    change(adapter, target_modules=["q_proj", "v_proj", "o_proj"])
    assert "2 tensors are missing" in refused(base, adapter).what


def test_an_adapter_that_lacks_weights_is_refused(base: Path, adapter: Path) -> None:
    path = adapter / "adapter_model.safetensors"
    weights = load_file(path)
    del weights[min(weights)]
    save_file(weights, path)
    assert "1 tensors are missing" in refused(base, adapter).what
    path.write_bytes(path.read_bytes()[:40])
    assert "does not fit" in refused(base, adapter).what
    path.unlink()
    assert "has no weights (adapter_model.safetensors)" in refused(base, adapter).what


def test_prompt_tuning_is_refused_with_the_reason(base: Path, tmp_path: Path) -> None:
    config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    error = refused(base, save_adapter(base, tmp_path / "soft", config))
    assert error.what == "an adapter of kind PROMPT_TUNING cannot be merged into the weights"


def test_an_adapter_that_merging_changes_is_refused(base: Path, adapter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapters, "TOLERANCE", -1.0)
    assert "changes its answers" in refused(base, adapter).what


def test_an_activated_lora_is_refused(base: Path, tmp_path: Path) -> None:
    config = LoraConfig(**LORA, alora_invocation_tokens=[7, 8])
    assert "adapter" in refused(base, save_adapter(base, tmp_path / "activated", config)).what


def test_a_card_keeps_an_adapter_to_its_base(base: Path, adapter: Path) -> None:
    (adapter / "rmtbench.json").write_text(json.dumps({"base": "smollm2", "base_weights_sha256": []}))
    error = refused(base, adapter)
    assert error.what == "the adapter 'mine' was trained for 'smollm2', not for 'base'"
    assert "--model smollm2" in error.remedy
    digest = load_model(str(base)).provenance["weights_sha256"]
    (adapter / "rmtbench.json").write_text(json.dumps({"base": "smollm2", "base_weights_sha256": [digest]}))
    assert load_model(str(base), adapter=str(adapter)).provenance["id"] == "base+mine"


def test_a_folder_of_its_bases_name_needs_its_bases_weights(
    base: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = load_model(str(base)).provenance["weights_sha256"]
    (adapter / "rmtbench.json").write_text(json.dumps({"base": "phi", "base_weights_sha256": [digest]}))
    monkeypatch.chdir(tmp_path)
    save_model(tmp_path / "phi", seed=4)
    assert refused("phi", adapter).what == "the adapter 'mine' was trained for other weights of 'phi', not for 'phi'"


def test_a_shipped_name_is_its_folder(
    base: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapters, "SHIPPED_ADAPTERS", {"reading": adapter})
    assert load_model(str(base), adapter="reading").provenance["id"] == "base+reading"
    monkeypatch.setattr(adapters, "SHIPPED_ADAPTERS", {"reading": tmp_path / "missing"})
    assert refused(base, "reading").what == "the adapter 'reading' is not in this installation"


def test_what_is_no_adapter_is_refused(base: Path, tmp_path: Path, adapter: Path) -> None:
    assert refused(base, tmp_path / "nowhere").what == "no such folder"
    assert "there is no adapter_config.json" in refused(base, base).what
    assert "only one adapter" in refused(adapter, adapter).what
    (adapter / "adapter_config.json").write_text("{")
    assert "cannot be read" in refused(base, adapter).what
