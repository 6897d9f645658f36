"""Control marks in documents and questions are text, and every other text has the tokenizer's own ids."""

from __future__ import annotations

import pytest
from chat_tokenizers import CHATML, LLAMA2, THINKS, byte_level, sentencepiece_like, word_pieces
from transformers import AutoTokenizer

from rmtbench.core import Document
from rmtbench.models.base import Passage
from rmtbench.models.control_tokens import control_marks, count_tokens, text_pieces
from rmtbench.models.prompt import make_contract, passages_text
from rmtbench.models.sources import SHIPPED
from rmtbench.systems.sentences import sentence_ids

CHATML_MARKS = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
TOKENIZERS = {
    "mini": lambda: AutoTokenizer.from_pretrained(str(SHIPPED["mini"])),
    "chatml": lambda: byte_level(CHATML_MARKS, CHATML),
    "thinking": lambda: byte_level(("<|User|>", "<|Assistant|>"), THINKS, added=("<think>", "</think>")),
    "word pieces": lambda: word_pieces((), None),
    "word pieces with a chat": lambda: word_pieces(CHATML_MARKS, CHATML),
    "sentencepiece": lambda: sentencepiece_like((), LLAMA2),
}
ORDINARY = (
    Passage("Arden", "Arden lies on the Oss.\n\nIt has <b>two</b> bridges, a < b | c > d."),
    Passage("<| end |>", "  Spaces,\ttabs and [brackets]"),
    Passage("", ""),
)


@pytest.fixture(params=sorted(TOKENIZERS))
def tokenizer(request):
    return TOKENIZERS[request.param]()


def plainly(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False)


def control_ids(tokenizer):
    return {number for number, token in tokenizer.added_tokens_decoder.items() if len(token.content) > 2}


@pytest.mark.parametrize("style", ["direct", "bridge"])
def test_a_prompt_without_marks_has_the_ids_of_its_whole_text(tokenizer, style):
    contract = make_contract(tokenizer, style)
    start = contract._start_ids()
    for passages in ((), ORDINARY[:1], ORDINARY):
        text = contract.head + passages_text(passages)
        assert contract.context_ids(passages) == start + plainly(tokenizer, text)
    for question in ("Where is Arden?", "Is a < b?", " <|im_end | > "):
        assert contract.question_ids(question) == plainly(tokenizer, contract.question_text(question))
    head, *parts = contract.context_parts(ORDINARY)
    assert head == start + plainly(tokenizer, contract.head)
    assert parts == [plainly(tokenizer, passages_text([passage])) for passage in ORDINARY]


def test_no_mark_in_a_document_or_question_is_a_control_token(tokenizer):
    contract = make_contract(tokenizer, "direct")
    control = control_ids(tokenizer)
    marks = [token.content for token in tokenizer.added_tokens_decoder.values() if len(token.content) > 2]
    assert len(marks) > 1
    bare_context = [token for token in contract.context_ids((Passage("a", "b"),)) if token in control]
    bare_question = [token for token in contract.question_ids("c") if token in control]
    for mark in [*marks, "".join(marks), *(2 * mark for mark in marks)]:
        passages = (Passage(mark, f"{mark} one{mark}two\n{mark}"),)
        context, question = contract.context_ids(passages), contract.question_ids(f"{mark} why{mark}?")
        assert [token for token in context if token in control] == bare_context, mark
        assert [token for token in question if token in control] == bare_question, mark
        [_, part] = contract.context_parts(passages)
        assert not control & set(part), mark
        assert not control & set(contract.text_ids(mark)), mark
        assert contract.count_tokens([mark, "plain"]) == [
            len(contract.text_ids(mark)),
            len(plainly(tokenizer, "plain")),
        ]


def test_a_mark_keeps_its_characters():
    contract = make_contract(byte_level(CHATML_MARKS, CHATML), "direct")
    text = "Turns end with <|im_end|> there.<|im_end|><|im_end|>"
    assert contract.tokenizer.decode(contract.text_ids(text)) == text


def test_added_tokens_that_are_ordinary_text_are_no_marks():
    tokenizer = byte_level(CHATML_MARKS, CHATML, added=("    ", "<table>", "\n\n"))
    text = "a    b <table>\n\n"
    assert control_marks(tokenizer).search(text) is None
    assert make_contract(tokenizer, "direct").text_ids(text) == plainly(tokenizer, text)


def test_added_tokens_that_the_chat_format_writes_are_marks():
    tokenizer = byte_level((), CHATML, added=CHATML_MARKS)
    assert not any(token.special for token in tokenizer.added_tokens_decoder.values())
    assert control_marks(tokenizer).search("a <|im_end|> b") is not None


def test_marks_of_several_chat_formats_are_marks():
    tokenizer = byte_level((), None, added=CHATML_MARKS)
    tokenizer.chat_template = {"default": "{{ messages[0]['content'] }}", "tool_use": CHATML}
    assert control_marks(tokenizer).search("a <|im_end|> b") is not None


def test_overlapping_marks_are_all_cut():
    tokenizer = byte_level(("<|a|>", "|>b<|"), None)
    marks = control_marks(tokenizer)
    text = "<|a|>b<|a|>"
    pieces = [text[start:end] for start, end in text_pieces(text, marks)]
    assert "".join(pieces) == text
    assert len(pieces) > 2
    assert not any(marks.search(piece) for piece in pieces)
    assert text_pieces("no mark", marks) == [(0, 7)]
    assert text_pieces("", marks) == [(0, 0)]


def test_counting_without_marks_is_the_tokenizers_own():
    tokenizer = byte_level(CHATML_MARKS, CHATML)
    assert count_tokens(tokenizer, ["<|im_end|>"]) == [1]
    assert count_tokens(tokenizer, []) == []


def test_sentences_of_a_document_hold_its_marks_as_text():
    tokenizer = byte_level(CHATML_MARKS, CHATML)
    marks = control_marks(tokenizer)
    document = Document("d", "Arden", "One turn <|im_end|> ends. Another one.<|im_end|>\nThe third.")
    sentences = sentence_ids(document, tokenizer, marks)
    joined = [token for sentence in sentences for token in sentence]
    assert not control_ids(tokenizer) & set(joined)
    assert tokenizer.decode(joined) == passages_text([Passage("Arden", document.text)])
    assert tokenizer.decode(sentences[0]).strip() == "Arden\nOne turn <|im_end|> ends."
