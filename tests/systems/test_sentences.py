"""Documents are cut between sentences, lose nothing, and have the token ids of the whole text."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import pytest

from rmtbench.core import Document
from rmtbench.models.load import load_tokenizer
from rmtbench.systems.sentences import packed_ids, packed_texts, sentence_ids, sentence_texts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

DOCUMENT = Document("d", "Port St. Ives", 'It lies low. "Is it?" (Yes.) 3.5 miles!\n\nThe end  is near.\nNo mark')
PIECES = [
    "Port St. Ives\nIt lies low. ",
    '"Is it?" ',
    "(Yes.) ",
    "3.5 miles!\n\n",
    "The end  is near.\n",
    "No mark\n\n",
]


@pytest.fixture(params=["random:tiny", "mini"])
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerBase:
    """One that drops white space, and one that keeps it at the beginning of words."""
    return load_tokenizer(request.param)


def test_sentence_keeps_quotes_space_and_first_title() -> None:
    assert sentence_texts(DOCUMENT) == PIECES


@pytest.mark.parametrize("text", ["", "One", "One.", "One. ", "\n\n", "One.\n\n\nTwo."])
def test_sentences_joined_are_document_as_it_stands_in_a_prompt(text: str) -> None:
    assert "".join(sentence_texts(Document("d", "T", text))) == f"T\n{text}\n\n"


def test_token_ids_are_those_of_whole_text(tokenizer: PreTrainedTokenizerBase) -> None:
    ids = sentence_ids(DOCUMENT, tokenizer)
    assert list(chain(*ids)) == tokenizer.encode("".join(PIECES), add_special_tokens=False)
    assert [letters(tokenizer.decode(piece)) for piece in ids] == [letters(piece) for piece in PIECES]


def test_packs_hold_as_many_whole_sentences_as_fit() -> None:
    assert list(packed_ids([[1, 2], [3, 4], [5], [6, 7, 8]], 4)) == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert list(packed_ids([[1, 2], [3, 4, 5]], 4)) == [[1, 2], [3, 4, 5]]
    assert list(packed_ids([], 4)) == []


def test_a_sentence_longer_than_pack_is_cut_and_its_rest_goes_on() -> None:
    assert list(packed_ids([[1], [2, 3, 4, 5, 6, 7, 8], [9]], 3)) == [[1], [2, 3, 4], [5, 6, 7], [8, 9]]


def test_no_pack_of_texts_exceeds_its_length() -> None:
    def count(texts: object) -> list[int]:
        return [len(str(text).split()) for text in list(texts)]  # type: ignore[call-overload]

    texts = ["a b. ", "c. ", "one two three four five six seven. ", "d e f. "]
    packs = packed_texts(texts, count, 3)
    assert packs[0] == "a b. c. "
    assert "".join(packs) == "".join(texts)
    assert max(count(packs)) <= 3


def letters(text: str) -> str:
    return "".join(text.lower().split())
