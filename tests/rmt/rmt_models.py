"""Tiny models of several architectures with random weights, wrapped for tests; their attention is far from flat."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, PreTrainedModel

from experiments.training.mini_lm import SHAPE
from rmtbench.rmt.base import BaseIdentity
from rmtbench.rmt.config import RmtConfig
from rmtbench.rmt.storage import wrap

VOCABULARY, SEGMENT, MEMORY = 97, 12, 3
CLS, SEP = 95, 96
WORDS = {"vocab_size": VOCABULARY, "initializer_range": 0.15, "bos_token_id": None, "eos_token_id": None}
WIDTHS = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
GEOMETRIES: dict[str, dict[str, Any]] = {
    # With a head tied to so few embeddings, it would answer everything alike.
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "tie_word_embeddings": False},
    "llama": {**WIDTHS, "num_key_value_heads": 2, "max_position_embeddings": 64},
    "mini": {**SHAPE, "num_hidden_layers": 2, "model_type": "llama"},
    "bert": {**WIDTHS, "max_position_embeddings": 64},
}
DECODERS = ("gpt2", "llama", "mini")
IDENTITY = BaseIdentity("tiny", "a" * 64)


def base_model(name: str, *, attention: str = "sdpa", **changes: Any) -> PreTrainedModel:
    """A model in evaluation mode, the same at every call."""
    values = {**WORDS, **GEOMETRIES.get(name, WIDTHS), **changes}
    config = AutoConfig.for_model(values.pop("model_type", name), **values)
    kind = AutoModel if name in ("bert", "roberta") else AutoModelForCausalLM
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(7)
        model = kind.from_config(config, attn_implementation=attention).eval()
        for key, weight in model.named_parameters():
            if key.endswith("bias"):  # made as zeros, which would hide a bias that is left out
                weight.normal_(std=0.15)
    return model


def settings(name: str, **changes: Any) -> RmtConfig:
    """A decoder's or encoder's settings, with changes."""
    encoder = name not in DECODERS
    values = {"kind": "encoder", "special_ids": (CLS, SEP)} if encoder else {"kind": "decoder"}
    return RmtConfig(**{**values, "segment_tokens": SEGMENT, "memory_tokens": MEMORY, **changes})


def wrapped(name: str, **changes: Any) -> Any:
    """A wrapped model in evaluation mode, the same at every call."""
    model = wrap(base_model(name), settings(name, **changes), IDENTITY).eval()
    if getattr(model, "associations", None) is not None:  # made so that nothing is read, which would hide mistakes
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(8)
            for layer in model.associations.layers:
                layer.value.weight.normal_(std=0.3)
                layer.strength.weight.normal_(std=0.3)
                layer.key.weight.add_(torch.randn_like(layer.key.weight), alpha=0.1)
    return model


def words(count: int, seed: int = 0) -> list[int]:
    """Token ids, none special."""
    return random.Random(seed).choices(range(CLS), k=count)


def rows_of(*lengths: Sequence[int]) -> list[list[list[int]]]:
    """Rows whose segments have these lengths."""
    return [[words(each, 100 * row + place) for place, each in enumerate(row_)] for row, row_ in enumerate(lengths)]


def close(left: torch.Tensor, right: torch.Tensor) -> None:
    """The same numbers, but for the order in which they were added up."""
    torch.testing.assert_close(left, right, rtol=2e-4, atol=2e-5)
