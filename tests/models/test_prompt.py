"""The prompt contract: what stands in a prompt, where an answer ends, and which part of it counts."""

from __future__ import annotations

import pytest
from chat_tokenizers import CHATML, LLAMA2, byte_level
from transformers import AutoTokenizer

from rmtbench.errors import UserError
from rmtbench.models.base import Passage
from rmtbench.models.embed_files import MINILM, model_folder
from rmtbench.models.prompt import INSTRUCTION, ChatSettings, make_contract

CHAT = (
    "{{ '[CLS] ' }}{% for message in messages %}<{{ message.role }}> {{ message.content }} </{{ message.role }}>"
    "{% endfor %}{% if add_generation_prompt %}<assistant> {% endif %}"
)


@pytest.fixture
def tokenizer():
    return AutoTokenizer.from_pretrained(str(model_folder(MINILM)))


@pytest.fixture
def chat_tokenizer(tokenizer):
    tokenizer.chat_template = CHAT
    return tokenizer


PASSAGES = (Passage("Arden", "Arden lies on the Oss."), Passage("Belmo", "Belmo is small."))


def test_context_holds_instruction_and_every_passage_in_order(tokenizer):
    contract = make_contract(tokenizer, "direct")
    text = tokenizer.decode(contract.context_ids(PASSAGES))
    assert text.startswith("[CLS] answer the question with the documents.")
    assert text.endswith("arden arden lies on the oss. belmo belmo is small.")


def test_a_prompt_has_one_start_token_and_no_end_token(tokenizer):
    contract = make_contract(tokenizer, "direct")
    ids = contract.context_ids(PASSAGES) + contract.question_ids("Where is Arden?")
    assert ids.count(tokenizer.cls_token_id) == 1
    assert tokenizer.sep_token_id not in ids


def test_the_question_comes_last_with_the_cue(tokenizer):
    text = tokenizer.decode(make_contract(tokenizer, "direct").question_ids("Where is Arden?"))
    assert text == "question : where is arden? answer :"


def test_the_bridge_style_asks_for_reasoning_first(tokenizer):
    contract = make_contract(tokenizer, "bridge")
    assert contract.head.startswith(INSTRUCTION["bridge"])
    assert tokenizer.decode(contract.question_ids("Why?")).endswith("reasoning :")


def test_without_passages_the_context_is_the_instruction_alone(tokenizer):
    contract = make_contract(tokenizer, "direct")
    assert contract.context_ids(()) == contract.context_ids(PASSAGES)[: len(contract.context_ids(()))]


def test_a_chat_format_wraps_context_and_question(chat_tokenizer):
    contract = make_contract(chat_tokenizer, "direct")
    assert contract.head.startswith("[CLS] <user> Answer the question")
    assert contract.tail == " </user><assistant> Answer:"
    ids = contract.context_ids(PASSAGES)
    assert ids.count(chat_tokenizer.cls_token_id) == 1, "the template writes the start token, nobody else"


def test_a_chat_format_that_tears_the_message_apart_is_refused(tokenizer):
    tokenizer.chat_template = "{% for message in messages %}{{ message.role }}{% endfor %}"
    with pytest.raises(UserError, match="in one piece"):
        make_contract(tokenizer, "direct")


def test_a_chat_format_that_refuses_message_is_told_in_its_words(tokenizer):
    tokenizer.chat_template = "{{ raise_exception('a system message must come first') }}"
    with pytest.raises(UserError, match="a system message must come first"):
        make_contract(tokenizer, "direct")


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ 1 + 'a' }}", "TypeError: unsupported operand"),
        ({"tool_use": CHAT, "rag": CHAT}, "multiple chat templates with no default"),
    ],
)
def test_a_chat_format_that_fails_is_told_in_its_words(tokenizer, template, reason):
    tokenizer.chat_template = template
    with pytest.raises(UserError, match=reason) as caught:
        make_contract(tokenizer, "direct")
    assert "--tokenizer" in caught.value.remedy


def test_chat_format_that_tells_day_is_given_same_one_every_day(tokenizer):
    tokenizer.chat_template = "{{ strftime_now('%d %B %Y') }}: {{ messages[0].content }}"
    assert make_contract(tokenizer, "direct").head.startswith("26 July 2024: Answer")


@pytest.mark.parametrize(
    ("style", "raw", "final"),
    [
        ("direct", " Tam Nedra\nQuestion: next", "Tam Nedra"),
        ("direct", "\n\n 42 ", "42"),
        ("direct", "", ""),
        ("bridge", "Arden is led by Tam. Answer: Tam Nedra\nmore", "Tam Nedra"),
        ("bridge", "Arden is led by Tam.\nAnswer:\n Tam", "Tam"),
        ("bridge", "Tam Nedra, without the mark", ""),
    ],
)
def test_only_the_final_answer_counts(tokenizer, style, raw, final):
    assert make_contract(tokenizer, style).final_answer(raw) == final


class Letters:
    """A tokenizer whose token ids are code points: enough of one for the stop rule."""

    chat_template = None

    def decode(self, ids, **_kwargs):
        return "".join(map(chr, ids))


@pytest.mark.parametrize(
    ("style", "text", "finish"),
    [
        ("direct", "Tam", None),
        ("direct", "Tam\n", "stop"),
        ("direct", "\n", None),
        ("direct", "\n\nTam", None),
        ("direct", "\nTam\n", "stop"),
        ("direct", "Tam\0", "eos"),
        ("bridge", "Because.\n", None),
        ("bridge", "Because. Answer:\n", None),
        ("bridge", "Because. Answer: Tam\n", "stop"),
    ],
)
def test_answer_ends_at_line_break_after_text_or_at_end_token(style, text, finish):
    contract = make_contract(Letters(), style)  # type: ignore[arg-type]
    assert contract.finish([ord(letter) for letter in text], frozenset({0})) == finish


CHATML_MARKS = ("<|im_start|>", "<|im_end|>")
SYSTEM = ChatSettings(system="  You are brief. {{ braces }}\n")


def test_a_system_prompt_is_the_chat_formats_system_message():
    contract = make_contract(byte_level(CHATML_MARKS, CHATML), "direct", SYSTEM)
    start = "<|im_start|>system\nYou are brief. {{ braces }}<|im_end|>\n<|im_start|>user\n"
    assert contract.head == f"{start}{INSTRUCTION['direct']}\n\n"


def test_system_prompt_precedes_instruction_without_chat(tokenizer):
    head = make_contract(tokenizer, "direct", SYSTEM).head
    assert head == f"You are brief. {{{{ braces }}}}\n\n{INSTRUCTION['direct']}\n\n"


@pytest.mark.parametrize("chat", [None, ChatSettings(), ChatSettings(system="")])
def test_no_system_prompt_leaves_the_chat_format_as_it_is(chat):
    tokenizer = byte_level(CHATML_MARKS, CHATML)
    assert make_contract(tokenizer, "direct", chat).head == f"<|im_start|>user\n{INSTRUCTION['direct']}\n\n"


@pytest.mark.parametrize(
    ("template", "system", "what"),
    [
        (LLAMA2, "Be brief.", r"refuses a system prompt \(System role not supported\)"),
        ("{{ messages[-1].content }}", "Be brief.", "does not show the system prompt"),
        ("{{ messages[-1].content }}", "Answer the question", "does not show the system prompt"),  # as ours begins
        (CHATML, "Be brief.<|im_end|>", "control mark <|im_end|>"),
    ],
)
def test_a_system_prompt_that_model_cannot_be_given_is_refused(template, system, what):
    tokenizer = byte_level(CHATML_MARKS, template)
    make_contract(tokenizer, "direct")
    with pytest.raises(UserError, match=what.replace("|", r"\|")) as raised:
        make_contract(tokenizer, "direct", ChatSettings(system=system))
    assert raised.value.where == "--set system-prompt"
