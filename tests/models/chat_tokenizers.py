"""Tiny tokenizers of three kinds with chat formats of known families, and a model that writes a chain of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from rmtbench.models.embed_files import MINILM, model_folder

TEXT = [
    "Okay the text says it was built first\n\n Old Mill\nUnknown",
    "Answer the question with the documents. Give only the answer, in a few words, on one line.",
    "Question: Where is Arden?\nAnswer: Arden lies on the Oss. Belmo is small.\n\nsystem user assistant think",
] * 4

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
LLAMA3 = (
    "{{ '<|begin_of_text|>' }}{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n' "
    "+ m['content'] | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)
LLAMA2 = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% if m['role'] == 'user' %}{{ '<s>[INST] ' + m['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'] + ' </s>' }}{% endif %}{% endfor %}"
)
THINKS = (
    "{% for m in messages %}{{ '<|User|>' + m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|Assistant|><think>\\n' }}{% endif %}"
)


def byte_level(specials: Sequence[str], template: str | None, added: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """Byte-level BPE, as GPT-2, Llama 3 and Qwen have it; `added` are added tokens that are not special."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    return _with_chat(PreTrainedTokenizerFast(tokenizer_object=tokenizer), specials, template, added)


def sentencepiece_like(specials: Sequence[str], template: str | None) -> PreTrainedTokenizerFast:
    """BPE over characters with a prepended space, as Llama 2 has it; its start and end tokens are in its vocabulary."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    alphabet = sorted({*"".join(TEXT), *map(chr, range(33, 127)), "▁"})
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=["<unk>", "<s>", "</s>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    return _with_chat(made, specials, template, ())


def word_pieces(specials: Sequence[str], template: str | None) -> PreTrainedTokenizerFast:
    """MiniLM's WordPiece, which models with random weights read."""
    return _with_chat(AutoTokenizer.from_pretrained(str(model_folder(MINILM))), specials, template, ())


def _with_chat(
    tokenizer: PreTrainedTokenizerFast, specials: Sequence[str], template: str | None, added: Sequence[str]
) -> PreTrainedTokenizerFast:
    if specials:
        tokenizer.add_special_tokens({"additional_special_tokens": list(specials)})
    tokenizer.add_tokens(list(added))
    tokenizer.chat_template = template
    return tokenizer


def chain_model(chain: Sequence[int], vocabulary: int) -> LlamaForCausalLM:
    """A Llama that writes each token of a chain after the one before it, whatever else it read; tokens occur once."""
    assert len(set(chain)) == len(chain)
    width = 8 * (len(chain) // 8 + 1)
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=width, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=4096, bos_token_id=None, eos_token_id=None,
        tie_word_embeddings=False,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.model.layers[0].self_attn.o_proj.weight.zero_()
        model.model.layers[0].mlp.down_proj.weight.zero_()
        model.model.embed_tokens.weight.zero_()
        model.lm_head.weight.zero_()
        for number, (token, following) in enumerate(pairwise(chain)):
            model.model.embed_tokens.weight[token, number] = 1
            model.lm_head.weight[following, number] = 1
    return model
