"""The mini model's tokenizer: nothing is lost, names and pairs of digits are whole, and pieces join to the whole."""

import re
from itertools import product

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from experiments.training.mini_tokenizer import END, PADDING, START, VOCABULARY, _texts, train_tokenizer
from rmtbench.corpora.base import DrawRequest
from rmtbench.corpora.miniature.dataset import Miniature
from rmtbench.corpora.miniature.styles import STYLES, Style
from rmtbench.corpora.miniature.words import held_out, inventory, seen
from rmtbench.models.base import Passage
from rmtbench.models.prompt import make_contract


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer()


def encode(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    return ids


def share_of_single_tokens(tokenizer: PreTrainedTokenizerFast, words: list[str]) -> float:
    return sum(len(encode(tokenizer, word)) == 1 for word in words) / len(words)


def with_spaces(text: str) -> str:
    """The documented rule: a text and each line that does not begin with white space get a space before them."""
    return re.sub(r"\n(?=[^ \t\n\v\f\r\x85\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000])", "\n ", f" {text}")


TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(" \n\n\r\t19abÄ漢🦊")).filter(
    lambda text: text and not any(mark in text for mark in (START, END, PADDING))
)


@given(text=TEXT)
@example(text="  two  spaces \n\n\n and lines\r\n\ttab")
@example(text="\n")
@settings(max_examples=300, deadline=None)
def test_any_text_survives_but_space_at_line_starts(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    assert tokenizer.decode(encode(tokenizer, text)) == with_spaces(text)


def test_name_has_same_tokens_anywhere_in_text(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    for word in ("Bremton", "known", "1823", seen().by_kind["town"][0], held_out().by_kind["town"][0]):
        alone = encode(tokenizer, word)
        assert encode(tokenizer, f"of {word}") == encode(tokenizer, "of") + alone
        assert encode(tokenizer, f"of\n\n{word}") == encode(tokenizer, "of\n\n") + alone


def test_training_name_words_are_one_token_others_pieces(tokenizer: PreTrainedTokenizerFast) -> None:
    known = [word for kind in seen().by_kind.values() for word in kind]
    unknown = [word for kind in held_out().by_kind.values() for word in kind]
    assert share_of_single_tokens(tokenizer, known) > 0.97
    assert share_of_single_tokens(tokenizer, unknown) < 0.01


def test_numbers_are_cut_into_pairs_of_digits(tokenizer: PreTrainedTokenizerFast) -> None:
    pairs = [f"{number:02d}" for number in range(100)]
    assert share_of_single_tokens(tokenizer, pairs) == 1
    inner = {tuple(encode(tokenizer, f"17{pair}")[1:]) for pair in pairs}
    assert len(inner) == 100
    assert {len(ids) for ids in inner} == {1}
    assert [tokenizer.decode([token]) for token in encode(tokenizer, "in 1823 and 312")] == [
        *(" in", " 18", "23", " and", " 31", "2")
    ]


@pytest.mark.parametrize("style", STYLES)
def test_the_tokens_of_passages_join_to_tokens_of_whole_context(
    tokenizer: PreTrainedTokenizerFast, style: Style
) -> None:
    contract = make_contract(tokenizer, "bridge")
    made = Miniature(style).draw(DrawRequest("small", 0), lambda texts: [len(encode(tokenizer, t)) for t in texts])
    passages = [Passage(document.title, document.text) for document in made.corpus.documents]
    joined = contract.context_ids([])
    for passage in passages:
        joined += encode(tokenizer, f"{passage.title}\n{passage.text}\n\n")
    assert joined == contract.context_ids(passages)


def test_a_prompt_begins_with_the_start_token_once(tokenizer: PreTrainedTokenizerFast) -> None:
    contract = make_contract(tokenizer, "bridge")
    ids = contract.context_ids([Passage("Title", "Text.")]) + contract.question_ids("Who?")
    assert ids[0] == tokenizer.bos_token_id
    assert not set(ids[1:]) & {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}


def test_contract_tokens_ignore_what_precedes_them(tokenizer: PreTrainedTokenizerFast) -> None:
    contract = make_contract(tokenizer, "bridge")
    context, question = contract.context_ids([Passage("Title", "Text.")]), contract.question_ids("Who?")
    whole = tokenizer.decode((context + question)[1:])[1:].replace("\n ", "\n")
    assert encode(tokenizer, whole) == (context + question)[1:]


def test_the_vocabulary_is_full_and_has_three_special_tokens(tokenizer: PreTrainedTokenizerFast) -> None:
    assert len(tokenizer) == VOCABULARY
    marks = (tokenizer.pad_token, tokenizer.bos_token, tokenizer.eos_token)
    assert marks == (PADDING, START, END)
    assert sorted(tokenizer.all_special_ids) == [0, 1, 2]


def test_the_same_seed_learns_the_same_tokenizer(tokenizer: PreTrainedTokenizerFast) -> None:
    assert train_tokenizer().backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()


def test_training_texts_hold_every_seen_name_word_only() -> None:
    met = {word for text in _texts(0) for word in re.findall(r"\w+", text)}
    every = {word for kind in inventory().by_kind.values() for word in kind}
    assert met & every == {word for kind in seen().by_kind.values() for word in kind}
    assert {f"{tens}{ones}" for tens, ones in product("0123456789", repeat=2)} <= met
