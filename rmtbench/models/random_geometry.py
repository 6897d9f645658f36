"""Models of a named geometry with random weights: their answers mean nothing, their timings are those of the real ones.

Shapes are those of the published configurations; the tiny one is our own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rmtbench.errors import UserError, nearest
from rmtbench.options import flag

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

PREFIX = "random:"

_LLAMA_3_1_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}

# Weights wide enough (std .15) that a tiny model's attention is far from flat: what it writes depends on what it read,
# so that two systems which feed it different contexts cannot agree by chance.
GEOMETRIES: Mapping[str, Mapping[str, Any]] = {
    "tiny": {
        "model_type": "llama",
        "vocab_size": 30522,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 131072,
        "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0},
        "initializer_range": 0.15,
        "bos_token_id": None,
        "eos_token_id": None,
    },
    "llama-0.1b": {
        "model_type": "llama",
        "vocab_size": 49152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "max_position_embeddings": 131072,
        "rope_parameters": {"rope_type": "default", "rope_theta": 100000.0},
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": None,
    },
    "gpt2": {
        "model_type": "gpt2",
        "vocab_size": 50257,
        "n_positions": 1024,
        "n_embd": 768,
        "n_layer": 12,
        "n_head": 12,
        "bos_token_id": None,
        "eos_token_id": None,
    },
    "llama-3.2-1b": {
        "model_type": "llama",
        "vocab_size": 128256,
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "max_position_embeddings": 131072,
        "rope_parameters": _LLAMA_3_1_ROPE | {"factor": 32.0},
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": None,
    },
    "llama-3.1-8b": {
        "model_type": "llama",
        "vocab_size": 128256,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "max_position_embeddings": 131072,
        "rope_parameters": _LLAMA_3_1_ROPE,
        "bos_token_id": None,
        "eos_token_id": None,
    },
}


def is_random(model: str) -> bool:
    """Whether a model name asks for random weights."""
    return model.startswith(PREFIX)


def geometry(model: str) -> Mapping[str, Any]:
    """Configuration values of a ``random:NAME`` model.

    Args:
        model: The whole name, with its prefix.

    Raises:
        UserError: No geometry has that name.
    """
    name = model.removeprefix(PREFIX)
    if name not in GEOMETRIES:
        raise UserError(f"no geometry '{name}'", where=flag.model, remedy=nearest(name, GEOMETRIES))
    return GEOMETRIES[name]


def build_random(model: str, seed: int, dtype: torch.dtype, device: str) -> PreTrainedModel:
    """Make a model of a named geometry; the same name, seed, dtype and device give the same weights.

    Args:
        model: ``random:NAME``.
        seed: Seed of the weights; the caller's random state is left as it was.
        dtype: Of the weights.
        device: Where they are made: drawing 8B of them on the CPU takes minutes.

    Raises:
        UserError: No geometry has that name.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    values = dict(geometry(model))
    config = AutoConfig.for_model(values.pop("model_type"), **values)
    before = torch.get_default_dtype()
    devices = [torch.device(device)] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=devices), torch.device(device):
        torch.manual_seed(seed)
        torch.set_default_dtype(dtype)
        try:
            made: PreTrainedModel = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
        finally:
            torch.set_default_dtype(before)
    return made.eval()
