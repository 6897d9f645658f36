"""Splitting by tokens: full chunks of whole words, which know where they lie."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmtbench.core import Document
from rmtbench.errors import UserError
from rmtbench.models.local import LocalModel
from rmtbench.retrieval.chunks import chunk_documents
from rmtbench.retrieval.token_splitter import TokenSplitter


def letters(text: str) -> list[int]:
    return [ord(letter) for letter in text if not letter.isspace()]


def cut(text: str, limit: int, overlap: int = 0) -> list[str]:
    return [text[start:end] for start, end in TokenSplitter(letters, overlap).spans(text, limit)]


def test_chunks_end_with_last_fitting_word() -> None:
    assert cut("One two. Three four.\n\nFive", 9) == ["One two.", "Three", "four.\n\nFive"]
    assert cut("aa bb cc dd ee", 4) == ["aa bb", "cc dd", "ee"]
    assert cut("a. b.\n\nc. d.", 6) == ["a. b.\n\nc.", "d."]


def test_an_overlap_repeats_whole_words() -> None:
    assert cut("aa bb cc dd", 4, overlap=2) == ["aa bb", "bb cc", "cc dd"]
    assert cut("aa bb cc dd", 4, overlap=1) == ["aa bb", "cc dd"]
    assert cut("aaaa bb cc", 4, overlap=3) == ["aaaa", "bb cc"]


def test_a_word_longer_than_a_chunk_is_halved() -> None:
    assert cut("abcdefgh i", 3) == ["ab", "cd", "ef", "gh i"]


def test_a_text_without_words_has_no_chunk() -> None:
    assert cut("", 3) == cut(" \n ", 3) == []


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab .\n", max_size=60), st.integers(1, 9), st.integers(0, 4))
def test_nothing_but_white_space_is_lost_and_nothing_is_too_long(text: str, limit: int, overlap: int) -> None:
    spans = TokenSplitter(letters, min(overlap, limit - 1)).spans(text, limit)
    covered = {place for start, end in spans for place in range(start, end)}
    assert all(place in covered for place, letter in enumerate(text) if not letter.isspace())
    assert all(
        len(letters(text[start:end])) <= limit and text[start:end].strip() == text[start:end] for start, end in spans
    )
    assert [start for start, _ in spans] == sorted({start for start, _ in spans})


def test_chunks_of_a_real_tokenizer_are_full_and_never_too_long(tiny_model: LocalModel) -> None:
    text = " ".join(f"Sentence number {number} tells of the miller of Arden." for number in range(80))
    document = Document("d", "", text)
    chunks = chunk_documents([document], tiny_model.token_ids, 47, split="token")
    counts = tiny_model.count_tokens([chunk.text for chunk in chunks])
    assert max(counts) <= 47
    assert min(counts[:-1]) >= 44
    assert all(text[chunk.start : chunk.end] == chunk.text for chunk in chunks)
    assert any(not chunk.text.endswith(".") for chunk in chunks)


def test_a_character_with_too_many_tokens_is_refused() -> None:
    with pytest.raises(UserError, match="cannot be cut into chunks of at most 2 tokens"):
        chunk_documents([Document("d", "", "x")], lambda text: [0] * 3 * len(text), 2, split="token")
