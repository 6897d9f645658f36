"""How many positions a configuration gives, by its rotary scaling."""

from __future__ import annotations

import pytest
from transformers import GPT2Config, LlamaConfig

from rmtbench.models.architecture import context_limit

LONG = {"short_factor": [1.0] * 8, "long_factor": [2.0] * 8, "factor": 4.0}
LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}


@pytest.mark.parametrize(
    ("positions", "rope", "limit", "why"),
    [
        (1024, None, 1024, "nothing is scaled"),
        (1024, {"rope_type": "default"}, 1024, "nothing is scaled"),
        (
            32768,
            {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768},
            131072,
            "Qwen2.5's card",
        ),
        (
            40960,
            {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768},
            131072,
            "Qwen3's card",
        ),
        (
            163840,
            {"rope_type": "yarn", "factor": 40.0, "original_max_position_embeddings": 4096},
            163840,
            "DeepSeek V3",
        ),
        (1024, {"rope_type": "yarn", "factor": 4.0}, 4096, "no original is named"),
        (
            1024,
            {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024},
            4096,
            "the older field's name",
        ),
        (8192, {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 1024}, 8192, "declared higher"),
        (4096, {"rope_type": "linear", "factor": 4.0}, 16384, "no original is named"),
        (4096, {"rope_type": "linear", "factor": 2.5}, 10240, "a factor that is no whole number"),
        (
            16384,
            {"rope_type": "linear", "factor": 4.0, "original_max_position_embeddings": 4096},
            16384,
            "raised already",
        ),
        (4096, {"rope_type": "dynamic", "factor": 4.0}, 4096, "angles change behind the original"),
        (8192, {"rope_type": "dynamic", "factor": 4.0, "original_max_position_embeddings": 2048}, 2048, "the same"),
        (512, {"rope_type": "longrope", "original_max_position_embeddings": 256, **LONG}, 256, "the same"),
        (131072, {"rope_type": "llama3", **LLAMA3}, 131072, "Llama 3.1 declares the true limit"),
    ],
)
def test_the_rotary_scaling_decides_the_limit(positions, rope, limit, why):
    widths = {"hidden_size": 32, "num_attention_heads": 2, "head_dim": 16, "max_position_embeddings": positions}
    given = {} if rope is None else {"rope_scaling": {"rope_theta": 1e4, **rope}}
    assert context_limit(LlamaConfig(**widths, **given)) == limit, why


def test_a_model_without_rotary_positions_has_its_own_limit():
    assert context_limit(GPT2Config(n_positions=2048)) == 2048


class Limitless:
    """A configuration without positions, as ALiBi's are."""


def test_a_model_without_positions_sets_no_limit():
    assert context_limit(Limitless()) is None
