"""Chunks: exact places, nothing lost, none too long, documents never mixed, no network."""

import re
import socket
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmtbench.core import Document
from rmtbench.errors import UserError
from rmtbench.retrieval.base import Chunk
from rmtbench.retrieval.chunks import chunk_documents, indexed_text, warm_up


@pytest.fixture(scope="module", autouse=True)
def network_off():
    def refuse(*args):
        raise AssertionError("cutting text reached for the network")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        warm_up()
        yield


def words(text):
    """A token a word or sign, as most tokenizers see English."""
    return [1] * len(re.findall(r"\w+|[^\w\s]", text))


def octets(text):
    """A token a byte: characters of several tokens, and white space that counts."""
    return list(text.encode())


def joined_words(text):
    """Pieces have fewer tokens than the text that they make: a space between two words is a token of its own."""
    return [1] * (len(re.findall(r"\w+|[^\w\s]", text)) + len(re.findall(r"(?<=\S)\s+(?=\S)", text)))


def cut(text, tokenize=words, **settings):
    return chunk_documents([Document("d", "T", text)], tokenize, **settings)


def test_fitting_document_is_one_chunk_without_outer_space():
    assert cut("  One two. \n") == (Chunk("d", "T", "One two.", 2, 10),)


def test_documents_are_never_mixed_and_keep_their_order():
    documents = [Document(str(number), f"Title {number}", f"Fact number {number}.") for number in range(5)]
    chunks = chunk_documents(documents, words, chunk_tokens=512)
    assert [chunk.document_id for chunk in chunks] == ["0", "1", "2", "3", "4"]
    assert [chunk.title for chunk in chunks] == [document.title for document in documents]


@pytest.mark.parametrize("text", ["", "  ", "\n\n \t\n\n"])
def test_a_document_without_text_gives_no_chunk(text):
    assert cut(text) == ()


def test_equal_documents_give_equal_chunks_that_both_stay():
    chunks = chunk_documents([Document("a", "T", "Same."), Document("b", "T", "Same.")], words)
    assert [(chunk.document_id, chunk.text) for chunk in chunks] == [("a", "Same."), ("b", "Same.")]


def test_pieces_with_more_tokens_when_joined_are_shorter():
    pieces = ["Go.", " Now.", " Run."]
    assert [len(joined_words(text)) for text in (*pieces, "".join(pieces))] == [2, 2, 2, 8]
    assert [chunk.text for chunk in cut("Go. Now. Run.", joined_words, chunk_tokens=6)] == ["Go. Now.", "Run."]


def test_the_title_is_not_counted():
    chunks = chunk_documents([Document("d", "a title of quite some words", "One two three.")], words, chunk_tokens=4)
    assert len(chunks) == 1


def test_cuts_fall_between_paragraphs_then_between_sentences():
    text = "One two three. Four five six.\n\nSeven eight nine ten.\n\nEleven. Twelve. Thirteen fourteen fifteen."
    assert [chunk.text for chunk in cut(text, chunk_tokens=9)] == [
        "One two three. Four five six.",
        "Seven eight nine ten.",
        "Eleven. Twelve. Thirteen fourteen fifteen.",
    ]
    assert [chunk.text for chunk in cut(text, chunk_tokens=5)] == [
        "One two three.",
        "Four five six.",
        "Seven eight nine ten.",
        "Eleven. Twelve.",
        "Thirteen fourteen fifteen.",
    ]


def test_a_sentence_that_is_too_long_is_cut_at_words():
    chunks = cut(" ".join(f"word{number}" for number in range(25)), chunk_tokens=10)
    assert [len(words(chunk.text)) for chunk in chunks] == [10, 10, 5]


def test_paragraph_cut_into_sentences_keeps_blank_line_before_it():
    text = "Start here.\n\nLong one goes on. And on it goes. And on."
    chunks = cut(text, chunk_tokens=10)
    assert chunks[0].text == "Start here.\n\nLong one goes on."
    assert all(text[chunk.start : chunk.end] == chunk.text for chunk in chunks)


def test_repeated_text_is_found_where_it_was_cut():
    text = "Yes. Well yes. " * 30
    chunks = cut(text, chunk_tokens=5)
    assert len(chunks) == 30
    assert [chunk.start for chunk in chunks] == list(range(0, 450, 15))
    assert [chunk.text for chunk in cut("A b c. B c. b c. B c.", chunk_tokens=4)] == ["A b c.", "B c.", "b c.", "B c."]


def test_overlap_repeats_whole_sentences_and_knows_their_places():
    chunks = cut("One a. Two b. One a. Two b. One a. Two b.", chunk_tokens=6, overlap=3)
    assert [(chunk.start, chunk.end) for chunk in chunks] == [(0, 13), (7, 20), (14, 27), (21, 34), (28, 41)]


def test_more_pieces_than_one_character_can_name_are_cut(monkeypatch):
    monkeypatch.setattr("rmtbench.retrieval.splitter.FIRST_MARK", 0x110000 - 16)
    monkeypatch.setattr("rmtbench.retrieval.splitter.MARKS", 16, raising=False)
    text = " ".join(f"word{number}" for number in range(100))
    chunks = chunk_documents([Document("d", "D", text)], str.split, 7)
    assert [chunk.text.split() for chunk in chunks] == [text.split()[at : at + 7] for at in range(0, 100, 7)]
    assert all(text[chunk.start : chunk.end] == chunk.text for chunk in chunks)


def test_character_larger_than_chunk_names_document():
    with pytest.raises(UserError, match="at most 3 tokens") as caught:
        cut("fine, but 🙂", octets, chunk_tokens=3)
    assert caught.value.where == "document 'd'"
    assert "--chunk-tokens" in caught.value.remedy


def test_title_and_text_are_searched():
    assert indexed_text(Chunk("d", "The title", "The text.", 0, 9)) == "The title\nThe text."


PARTS = st.sampled_from(
    [
        "a",
        "b",
        "yes",
        "no.",
        "Why?",
        ", ",
        ". ",
        "; ",
        " ",
        "\n",
        "\n\n",
        "\n\n\n",
        "é",
        "🙂",
        "。",
        "東京",
        "\u2029",
        "\ufeff",
    ]
)
TEXTS = st.lists(PARTS, max_size=120).map("".join) | st.text(max_size=60)


@settings(max_examples=150, deadline=None)
@given(TEXTS, st.sampled_from([words, octets, joined_words]), st.integers(4, 40), st.integers(0, 20))
def test_any_text_is_covered_exactly_by_chunks_that_fit(text, tokenize, chunk_tokens, overlap):
    overlap = min(overlap, chunk_tokens - 1)
    chunks = cut(text, tokenize, chunk_tokens=chunk_tokens, overlap=overlap)
    covered = [False] * len(text)
    for chunk in chunks:
        assert text[chunk.start : chunk.end] == chunk.text
        assert len(tokenize(chunk.text)) <= chunk_tokens
        assert chunk.text == chunk.text.strip() != ""
        covered[chunk.start : chunk.end] = [True] * len(chunk.text)
    assert all(done or letter.isspace() for done, letter in zip(covered, text, strict=True))
    for before, after in pairwise(chunks):
        assert before.start <= after.start
        assert before.end <= after.end
        if overlap == 0:
            assert before.end <= after.start


@pytest.mark.real
def test_real_articles_are_cut_exactly_and_fill_their_chunks(pytestconfig):
    import json
    import os

    folder = os.environ.get("RMTBENCH_DATA")
    if not folder:
        pytest.skip("RMTBENCH_DATA is not set")
    articles = json.loads((Path(folder) / "squad/dev-subset-v1.1.json").read_text(encoding="utf-8"))["data"]
    documents = [
        Document(article["title"], article["title"], "\n\n".join(part["context"] for part in article["paragraphs"]))
        for article in articles
    ]
    chunks = chunk_documents(documents, words, chunk_tokens=512)
    texts = {document.id: document.text for document in documents}
    assert all(texts[chunk.document_id][chunk.start : chunk.end] == chunk.text for chunk in chunks)
    sizes = [len(words(chunk.text)) for chunk in chunks]
    assert max(sizes) <= 512
    assert sum(sizes) / len(sizes) > 350
    assert sum(sizes) == sum(len(words(text)) for text in texts.values())
