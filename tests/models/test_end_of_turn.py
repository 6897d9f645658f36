"""Which tokens end an answer: the configured ones, and those that the chat format writes behind an assistant's turn."""

from __future__ import annotations

import pytest
from chat_tokenizers import CHATML, LLAMA2, LLAMA3, THINKS, byte_level, sentencepiece_like
from transformers import GenerationConfig

from rmtbench.models.end_of_turn import end_ids, end_of_turn_ids

LLAMA3_MARKS = ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
GEMMA = (
    "{% for m in messages %}{{ '<start_of_turn>' + m['role'] + '\\n' + m['content'] + '<end_of_turn>\\n' }}{% endfor %}"
)
GLM = "{% for m in messages %}{{ '<|' + m['role'] + '|>\\n' + m['content'] }}{% endfor %}"
ONLY_BETWEEN = (
    "{% for m in messages %}{{ m['content'] }}{% if m['role'] == 'assistant' and not loop.last %}{{ '<|sep|>' }}"
    "{% endif %}{% endfor %}"
)
IN_WORDS = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + ' and then <|im_end|>' }}{% endfor %}"
REFUSES = (
    "{% if messages | length > 1 %}{{ raise_exception('one message') }}{% endif %}{{ messages[0].content }}<|eot_id|>"
)
KNOWN = ("<|im_end|>", "<|eot_id|>", "</s>")


@pytest.mark.parametrize(
    ("specials", "template", "ends"),
    [
        pytest.param(("<|im_start|>", "<|im_end|>", "<|endoftext|>"), CHATML, {"<|im_end|>"}, id="chatml"),
        pytest.param(LLAMA3_MARKS, LLAMA3, {"<|eot_id|>"}, id="llama3"),
        pytest.param(("<start_of_turn>", "<end_of_turn>"), GEMMA, {"<end_of_turn>"}, id="gemma"),
        pytest.param(("<|user|>", "<|assistant|>"), GLM, {"<|user|>"}, id="the next turn's mark ends one"),
        pytest.param(("<|sep|>",), ONLY_BETWEEN, {"<|sep|>"}, id="only between turns"),
        pytest.param(("<|other|>",), CHATML, set(), id="a mark that is no token"),
        pytest.param((), None, set(), id="no chat format"),
        pytest.param(KNOWN, REFUSES, {"<|eot_id|>"}, id="a known mark that the template writes"),
        pytest.param(("<|stop|>",), IN_WORDS.replace("im_end", "stop"), set(), id="behind words of its own"),
    ],
)
def test_the_chat_format_tells_what_ends_a_turn(specials, template, ends):
    tokenizer = byte_level(specials, template)
    assert {tokenizer.decode([token]) for token in end_of_turn_ids(tokenizer)} == ends


def test_an_added_token_that_is_not_special_can_end_a_turn():
    tokenizer = byte_level((), CHATML, added=("<|im_start|>", "<|im_end|>"))
    assert end_of_turn_ids(tokenizer) == {tokenizer.convert_tokens_to_ids("<|im_end|>")}


def test_white_space_between_answer_and_mark_does_not_hide_it():
    tokenizer = sentencepiece_like((), LLAMA2)
    assert end_of_turn_ids(tokenizer) == {tokenizer.convert_tokens_to_ids("</s>")}


def test_a_format_without_an_end_mark_adds_none():
    assert end_of_turn_ids(byte_level(("<|User|>", "<|Assistant|>"), THINKS)) == {
        byte_level(("<|User|>", "<|Assistant|>"), THINKS).convert_tokens_to_ids("<|User|>")
    }


class Configured:
    def __init__(self, eos):
        self.generation_config = GenerationConfig(eos_token_id=eos)


@pytest.mark.parametrize(("eos", "named"), [(None, set()), (7, {7}), ([7, 9], {7, 9})])
def test_configured_end_tokens_stay(eos, named):
    tokenizer = byte_level(LLAMA3_MARKS, LLAMA3)
    tokenizer.eos_token = "<|end_of_text|>"
    chat = {tokenizer.convert_tokens_to_ids(mark) for mark in ("<|end_of_text|>", "<|eot_id|>")}
    assert end_ids(Configured(eos), tokenizer) == named | chat
