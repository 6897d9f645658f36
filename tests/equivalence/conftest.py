"""Tiny models of several architectures with random weights, for what must hold whichever model is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from rmtbench.models.local import LocalModel

ENDLESS = {"vocab_size": 30522, "initializer_range": 0.15, "bos_token_id": None, "eos_token_id": None}
WIDTHS = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
FAMILIES: Mapping[str, Mapping[str, Any]] = {
    "llama": {**ENDLESS, **WIDTHS, "num_key_value_heads": 2, "max_position_embeddings": 1024},
    "gpt2": {**ENDLESS, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 1024},
    "qwen2": {**ENDLESS, **WIDTHS, "num_key_value_heads": 1, "max_position_embeddings": 1024},
    "mistral": {**ENDLESS, **WIDTHS, "num_key_value_heads": 4, "max_position_embeddings": 1024, "sliding_window": None},
    "gemma": {
        **ENDLESS,
        **WIDTHS,
        "num_key_value_heads": 1,
        "head_dim": 32,
        "max_position_embeddings": 1024,
        "tie_word_embeddings": False,
    },
    "qwen3": {**ENDLESS, **WIDTHS, "num_key_value_heads": 2, "head_dim": 32, "max_position_embeddings": 1024},
}


@pytest.fixture(scope="session", params=FAMILIES)
def family(request: pytest.FixtureRequest, tiny_model: LocalModel) -> LocalModel:
    """A model of one architecture in float32, its weights wide enough that what it writes depends on what it read."""
    config = AutoConfig.for_model(request.param, **FAMILIES[request.param])
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(7)
        model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval()
        if request.param == "gemma":  # it scales them up, so that what it writes would hardly depend on context
            model.get_input_embeddings().weight /= config.hidden_size**0.5
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):  # made as zeros, which would hide a bias that is left out
                parameter.normal_(std=0.15)
    return LocalModel(model, tiny_model.contract, frozenset(), 1024, 8, {})
