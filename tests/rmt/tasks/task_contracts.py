"""Prompt contracts over three kinds of tokenizers, and what a sample says in plain text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

from tokenizers import ByteLevelBPETokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from experiments.training.mini_tokenizer import train_tokenizer
from rmtbench.core import AnswerStyle
from rmtbench.corpora.miniature.fillers import _PREDICATES, _SUBJECTS
from rmtbench.models.embed_files import model_folder
from rmtbench.models.prompt import PromptContract, make_contract


@cache
def contract_of(kind: str = "mini", style: AnswerStyle = "bridge") -> PromptContract:
    """``mini``: a space is part of every word; ``gpt2``: but of a text's first; ``bert``: of none, and no end token."""
    if kind == "mini":
        return make_contract(_mini_tokenizer(), style)
    if kind == "bert":
        return make_contract(AutoTokenizer.from_pretrained(model_folder("minilm")), style)
    trained = ByteLevelBPETokenizer()
    texts = [f"{subject} {predicate}." for subject in _SUBJECTS for predicate in _PREDICATES]
    trained.train_from_iterator(texts, vocab_size=600, special_tokens=["<end>"], show_progress=False)
    return make_contract(PreTrainedTokenizerFast(tokenizer_object=trained._tokenizer, eos_token="<end>"), style)


def text_of(contract: PromptContract, ids: Sequence[int]) -> str:
    """Token ids as they were written, without the mini tokenizer's spaces at line starts."""
    text: str = contract.tokenizer.decode(ids)
    return text.replace("\n ", "\n").strip()


def whole_text(contract: PromptContract, segments: Iterable[Sequence[int]]) -> str:
    """All segments in one."""
    return text_of(contract, [token for segment in segments for token in segment])


_mini_tokenizer = cache(train_tokenizer)
