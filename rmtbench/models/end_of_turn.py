"""The tokens that end an answer: those that a model is configured with, and those that its chat format ends turns with.

Many checkpoints name another end token in `generation_config` than the one that their chat format was trained on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rmtbench.errors import UserError
from rmtbench.models.chat_format import render
from rmtbench.options import flag

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

KNOWN_END_MARKS = (
    "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<end_of_turn>", "<turn|>", "<|end_of_text|>", "<|endoftext|>",
    "<|end_of_turn|>", "<|eot|>", "<｜end▁of▁sentence｜>", "[EOS]", "</s>",
)  # fmt: skip
"""Marks that end a turn in some family. One counts if the chat template writes it and it is a single added token."""

_QUESTION, _ANSWER, _NEXT = "What is that?", "rmtbench-turn", "And this?"


def end_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Return every token that ends an answer of this model.

    Raises:
        UserError: The model's configuration names an end token that is no number.
    """
    configured = getattr(model.generation_config, "eos_token_id", None)
    ids = configured if isinstance(configured, list) else [configured]
    if wrong := [token for token in ids if not isinstance(token, int | None)]:
        what = f"the model's eos_token_id has {wrong[0]!r}, which is no number"
        raise UserError(what, where=flag.model, remedy="fetch generation_config.json and config.json again")
    named = {int(token) for token in [*ids, tokenizer.eos_token_id] if token is not None}
    return frozenset(named | end_of_turn_ids(tokenizer))


def end_of_turn_ids(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Return the tokens that a chat format writes behind what the assistant says; none without a chat format.

    The format is rendered with an assistant's turn last and in the middle. The first special token behind the turn
    ends it, if only white space stands between the two.
    """
    template = tokenizer.chat_template
    if not template:
        return frozenset()
    added = {token.content: number for number, token in getattr(tokenizer, "added_tokens_decoder", {}).items()}
    found = {added[mark] for mark in KNOWN_END_MARKS if mark in added and mark in str(template)}
    talk = [{"role": "user", "content": _QUESTION}, {"role": "assistant", "content": _ANSWER}]
    for messages in (talk, [*talk, {"role": "user", "content": _NEXT}]):
        text = render(tokenizer, messages, answering=False)
        behind = (text or "").rpartition(_ANSWER)[2].lstrip()
        mark = max(
            (content for content in added if content.strip() and behind.startswith(content)), key=len, default=""
        )
        if mark:
            found.add(added[mark])
    return frozenset(found)
