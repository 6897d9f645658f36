"""Which of transformers' causal language models are served, and how: a tiny model of each, by our own loading.

    python experiments/families.py [--only gpt2,llama] [--out docs/models-table.md]

Each model has random weights. It is loaded and tried as `rmtbench run` does it. Then, whatever the trial said, each way
that it allows answers questions over a context of some hundred tokens, and the answers are held against the model's own
forward: with eager attention where the model has one, loaded anew, without any code of ours.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

    from rmtbench.models.local import LocalModel

SIZES: Mapping[str, Any] = {
    "vocab_size": 5120, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 1024, "initializer_range": 0.15,
    "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 1024, "n_ctx": 1024, "rotary_dim": 8, "n_inner": 96,
    "num_experts": 4, "num_local_experts": 4, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1,
    "topk_group": 1, "moe_intermediate_size": 32, "shared_expert_intermediate_size": 32, "n_shared_experts": 1,
    "first_k_dense_replace": 1, "moe_num_experts": 4, "moe_k": 2, "moe_topk": 2,
    "q_lora_rank": 24, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 16,
    "qk_head_dim": 16, "d_model": 64, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "dff": 96, "d_head": 16,
    "d_inner": 96, "max_seq_len": 1024, "ffn_dim": 96, "attention_heads": 4, "num_layers": 2, "num_heads": 4,
    "decoder_layers": 2, "encoder_layers": 2, "decoder_attention_heads": 4, "encoder_attention_heads": 4,
    "decoder_ffn_dim": 96, "encoder_ffn_dim": 96, "word_embed_proj_dim": 64, "embedding_size": 64, "n_ssm_heads": 4,
    "mamba_d_state": 8, "mamba_n_heads": 8, "mamba_d_head": 16, "mamba_n_groups": 1, "state_size": 8, "n_groups": 1,
    "num_key_value_groups": 2, "query_pre_attn_scalar": 16, "global_head_dim": 16, "lru_width": 64,
    "attention_hidden_size": 64, "hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 5120,
    "pad_token_id": None, "bos_token_id": None, "eos_token_id": None,
}  # fmt: skip
"""Sizes by the names that configurations have for them."""

OVERRIDES: Mapping[str, Mapping[str, Any]] = {
    "falcon": {"new_decoder_architecture": False},
    "falcon-alibi": {"model_type": "falcon", "alibi": True},
    "falcon-40b": {"model_type": "falcon", "new_decoder_architecture": True, "num_kv_heads": 2},
    "bert-as-decoder": {"model_type": "bert", "is_decoder": True},
    "roberta-as-decoder": {"model_type": "roberta", "is_decoder": True},
    "gpt_neo": {"num_layers": 2, "attention_types": [[["global", "local"], 1]], "window_size": 32},
    "mistral-window": {"model_type": "mistral", "sliding_window": 32},
    "gemma2": {"sliding_window": 32},
    "qwen3-window": {"model_type": "qwen3", "use_sliding_window": True, "sliding_window": 32, "max_window_layers": 1},
}
"""What a family needs besides, and variants of one."""

CONTEXT = "Arden lies on the river Oss . Its market is held on Fridays . The mayor is Tam Nedra . " * 8
QUESTIONS = ("Who is the mayor ?", "When is the market held , please , and on which river ?")
TOLERANCE = 2e-3
"""Of the logits' spread: the next token may differ where two are nearer than this."""


@dataclass(frozen=True)
class Row:
    """A family's line of the table."""

    family: str
    served: str
    why: str
    wrong: str = ""


def families() -> list[str]:
    """Model types that transformers maps to a causal language model, and the variants of `OVERRIDES`."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return sorted({*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, *OVERRIDES})


def tiny_config(family: str) -> PretrainedConfig:
    """A configuration of a few thousand weights."""
    from transformers import AutoConfig

    given = dict(OVERRIDES.get(family, {}))
    kind = given.pop("model_type", family)
    default = AutoConfig.for_model(kind)
    names = {**dict.fromkeys(default.to_dict()), **dict.fromkeys(default.attribute_map)}
    sizes = {name: value for name, value in SIZES.items() if name in names}
    return AutoConfig.for_model(kind, **{**sizes, **given})


def save_family(family: str, folder: Path) -> None:
    """Write a tiny model of a family with weights that matter, and the mini model's tokenizer.

    Raises:
        Exception: Its configuration cannot be made this small, in whichever way it says so.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from rmtbench.models.load import SHIPPED

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(tiny_config(family))
    if model.num_parameters() > 20_000_000:
        raise ValueError(f"{model.num_parameters():,} parameters are not tiny")
    with torch.no_grad():
        for parameter in model.parameters():  # what is made as zeros, or as ones, would hide what is left out
            if parameter.is_floating_point():
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(SHIPPED["mini"]).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "eos_token_id": None}), encoding="utf-8")


def try_family(family: str, folder: Path) -> Row:
    """Load a tiny model of a family, try it, and hold what is served against its own forward."""
    from rmtbench.errors import UserError
    from rmtbench.kvcache import trial
    from rmtbench.models.architecture import check_batch, check_shared_prefix
    from rmtbench.models.load import load_model

    try:
        save_family(family, folder)
    except Exception as error:  # noqa: BLE001 - the table says so
        return Row(family, "not tried", f"no tiny model could be made ({trial.first_line(error)})")
    try:
        model = load_model(str(folder), max_answer_tokens=8)
    except UserError as error:
        return Row(family, "refused", error.what.replace(str(folder), family))
    found = trial.try_ways(model, [trial.OWN, trial.OWN_BATCH, trial.PLAIN, trial.PLAIN_BATCH, trial.SHARED])
    return Row(family, model.provenance["attention"], json.dumps(found))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="Families, comma-separated.")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(1)
    names = options.only.split(",") if options.only else families()
    for name in names:
        folder = Path(tempfile.mkdtemp())
        row = try_family(name, folder)
        shutil.rmtree(folder)
        print(row.family, "|", row.served, "|", row.why, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
