"""Small models on disk with random weights: folders, PEFT adapters and GGUF files. Their answers mean nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, LlamaConfig
from transformers.convert_slow_tokenizer import bytes_to_unicode

from rmtbench.models.embed_files import MINILM, model_folder

SMALL: Mapping[str, Any] = {
    "vocab_size": 30522, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
    "num_key_value_heads": 1, "max_position_embeddings": 2048,
}  # fmt: skip
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
VOCABULARY = 257 + len(SPECIAL)
HIDDEN, WIDTH, HEADS, THETA = 64, 96, 2, 500_000.0
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}"


def save_model(folder: Path, seed: int = 3, **settings: Any) -> Path:
    """A Llama folder as `save_pretrained` writes it, with MiniLM's tokenizer."""
    torch.manual_seed(seed)
    AutoModelForCausalLM.from_config(LlamaConfig(**{**SMALL, **settings})).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        (folder / name).write_bytes((model_folder(MINILM) / name).read_bytes())
    return folder


def save_adapter(base: Path, folder: Path, config: Any = None) -> Path:
    """A PEFT adapter of random weights for a model's folder; a LoRA on queries and values if nothing else is given."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    if config is None:
        config = LoraConfig(
            r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM"
        )
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(folder)
    return folder


def gguf_tensors(vocabulary: int = VOCABULARY) -> dict[str, np.ndarray]:
    """The float32 tensors of the small GGUF model, by llama.cpp's names."""
    numbers = np.random.default_rng(5)
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (vocabulary, HIDDEN),
        "blk.0.attn_norm.weight": (HIDDEN,),
        "blk.0.attn_q.weight": (HIDDEN, HIDDEN),
        "blk.0.attn_k.weight": (HIDDEN // HEADS, HIDDEN),
        "blk.0.attn_v.weight": (HIDDEN // HEADS, HIDDEN),
        "blk.0.attn_output.weight": (HIDDEN, HIDDEN),
        "blk.0.ffn_norm.weight": (HIDDEN,),
        "blk.0.ffn_gate.weight": (WIDTH, HIDDEN),
        "blk.0.ffn_up.weight": (WIDTH, HIDDEN),
        "blk.0.ffn_down.weight": (HIDDEN, WIDTH),
        "output_norm.weight": (HIDDEN,),
    }
    return {name: numbers.standard_normal(shape, dtype=np.float32) * 0.3 for name, shape in shapes.items()}


def write_gguf(
    path: Path,
    *,
    architecture: str = "llama",
    pre: str | None = "gpt-2",
    tokenizer: bool = True,
    template: str | None = TEMPLATE,
    special: Sequence[str] = SPECIAL,
    words: Sequence[str] = (),
    keys: Mapping[str, Any] | None = None,
    extra: Mapping[str, np.ndarray] | None = None,
) -> Path:
    """A GGUF file of a small Llama: feed-forward weights in Q8_0, the others in float32.

    Args:
        path: The file.
        architecture: What it says it is.
        pre: Its pre-tokenizer's name.
        tokenizer: Whether it has one.
        template: Its chat template.
        special: Its control tokens; the second begins a text, and the third ends one.
        words: More tokens, which no merge makes.
        keys: More metadata, texts and numbers.
        extra: More tensors.
    """
    import gguf

    writer = gguf.GGUFWriter(str(path), architecture)
    writer.add_name("small")
    writer.add_context_length(128)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(1)
    writer.add_feed_forward_length(WIDTH)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(1)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writer.add_rope_freq_base(THETA)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY + len(words))
    for name, value in (keys or {}).items():
        add = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}
        add[type(value)](name, value)
    if tokenizer:
        writer.add_tokenizer_model("gpt2")
        if pre is not None:
            writer.add_tokenizer_pre(pre)
        # One merge, of two spaces: it tells pre-tokenizers apart.
        writer.add_token_list([*special, *bytes_to_unicode().values(), "ĠĠ", *words])
        writer.add_token_types([3] * len(special) + [1] * (257 + len(words)))
        writer.add_token_merges(["Ġ Ġ"])
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)
        if template is not None:
            writer.add_chat_template(template)
    for name, tensor in {**gguf_tensors(VOCABULARY + len(words)), **(extra or {})}.items():
        if ".ffn_" in name and tensor.ndim == 2:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(name, gguf.quantize(tensor, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
