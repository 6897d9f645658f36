"""A model that cannot be read exactly, loaded whole or answered by ends a run in words: exit 2, or failed answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from cli_commands import Command, Said, journals
from transformers import AutoConfig, AutoModelForCausalLM, BertConfig, BertForMaskedLM, PreTrainedModel

from rmtbench.models.load import load_tokenizer

SMALL = {"vocab_size": 30522, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1,
         "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 8192,
         "initializer_range": 0.15}  # fmt: skip
QUANTISED = {
    "bitsandbytes": {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
    "gptq": {"quant_method": "gptq", "bits": 4, "group_size": 128},
    "awq": {"quant_method": "awq", "bits": 4, "group_size": 128},
}

Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Write a model, with entries of its configuration changed, beside MiniLM's tokenizer."""

    def write(model: PreTrainedModel, **changed: object) -> Path:
        folder = tmp_path / "odd"
        model.save_pretrained(folder)
        load_tokenizer("random:tiny").save_pretrained(folder)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **changed}))
        return folder

    return write


def small(kind: str, **more: object) -> PreTrainedModel:
    torch.manual_seed(5)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{**SMALL, **more}))


def ask(rmtbench: Command, model: Path, results: Path, *words: str) -> Said:
    return rmtbench("run", "--dataset", "handbook", "--questions", "2", "--max-answer-tokens", "4", "--model", model,
                    "--results", results, *words)  # fmt: skip


def refused(said: Said) -> tuple[str, str]:
    """The two lines that say why and what to do; nothing stands behind them."""
    assert said.code == 2
    assert "Traceback" not in said.err
    what, do = said.err.splitlines()[-2:]
    assert what.startswith("error: ")
    return what, do


@pytest.mark.parametrize("method", QUANTISED)
def test_quantised_weights_name_the_package_that_is_missing(
    rmtbench: Command, save: Save, tmp_path: Path, method: str
) -> None:
    folder = save(small("llama"), quantization_config=QUANTISED[method])
    what, do = refused(ask(rmtbench, folder, tmp_path / "results", "--system", "closed-book"))
    assert "ImportError: " in what
    assert {"bitsandbytes": "bitsandbytes", "gptq": "optimum", "awq": "gptqmodel"}[method] in what
    assert "install the package" in do


def test_a_masked_model_and_a_recurrent_one_are_two_lines(rmtbench: Command, save: Save, tmp_path: Path) -> None:
    config = BertConfig(**{name: value for name, value in SMALL.items() if name != "num_key_value_heads"})
    what, _ = refused(ask(rmtbench, save(BertForMaskedLM(config)), tmp_path / "results", "--system", "closed-book"))
    assert "BertForMaskedLM is a masked model" in what
    what, _ = refused(ask(rmtbench, save(small("mamba")), tmp_path / "results", "--system", "closed-book"))
    assert "layers that are not plain attention" in what


def test_code_of_a_models_own_is_not_run_and_not_asked_for(rmtbench: Command, save: Save, tmp_path: Path) -> None:
    own = {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config", "AutoModelForCausalLM": "mine.Model"}}
    what, _ = refused(ask(rmtbench, save(small("llama"), **own), tmp_path / "results", "--system", "closed-book"))
    assert "needs code of its own, which is not run here" in what


def test_inexact_shared_prefix_is_refused_naming_plain(rmtbench: Command, save: Save, tmp_path: Path) -> None:
    folder, results = save(small("diffllama")), tmp_path / "results"
    what, do = refused(ask(rmtbench, folder, results, "--system", "cag"))
    assert "not read exactly (shared prefix: logits differ" in what
    assert "--cache-layout plain" in do
    assert not list(results.glob("*/answers.jsonl"))
    said = ask(rmtbench, folder, results, "--system", "cag,full-context", "--cache-layout", "plain")
    assert said.code == 0
    assert "full-context: DiffLlamaForCausalLM differs over the shared prefix" in said.err
    one, other = ([row["output_ids"] for row in rows] for rows in journals(results).values())
    assert one == other


def test_model_without_fused_attention_names_its_own(rmtbench: Command, save: Save, tmp_path: Path) -> None:
    folder = save(small("gptj", n_embd=32, n_layer=1, n_head=2, rotary_dim=8, n_positions=8192))
    assert ask(rmtbench, folder, tmp_path / "results", "--system", "closed-book", "--batch", "2").code == 0
    [spec] = (tmp_path / "results").glob("*/spec.json")
    assert json.loads(spec.read_text())["provenance"]["model"]["attention"] == "eager"


def test_answers_of_damaged_weights_fail_with_the_reason(rmtbench: Command, save: Save, tmp_path: Path) -> None:
    model = small("llama")
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight[3, 5] = torch.nan
    said = ask(rmtbench, save(model), tmp_path / "results", "--system", "closed-book,cag,full-context")
    assert said.code == 1
    answers = [row for rows in journals(tmp_path / "results").values() for row in rows]
    assert len(answers) == 6
    assert {(row["finish"], row["text"]) for row in answers} == {("error", "")}
    assert all("logits are not finite (NaN or infinite)" in row["error"] for row in answers)
