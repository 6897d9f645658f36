"""BM25 as a searcher meets it, the same for the reference and for the fast index."""

import math

import pytest

from rmtbench.retrieval.base import Chunk
from rmtbench.retrieval.bm25 import FastBM25Index, RankBM25Index
from rmtbench.retrieval.words import words


def chunk(text, title="", document_id="d"):
    return Chunk(document_id, title, text, 0, max(1, len(text)))


@pytest.fixture(params=[RankBM25Index, FastBM25Index])
def index(request):
    return request.param


def positions(index, query, k=10):
    return [hit.position for hit in index.search([query], k)[0]]


def test_words_are_lower_case_letters_digits_underscores():
    assert words("The mill's 2nd OWNER, Élodie_B.") == ["the", "mill", "s", "2nd", "owner", "élodie_b"]


def test_the_chunk_that_shares_rare_words_comes_first(index):
    chunks = [chunk("the mill stands by the river"), chunk("the river Orle is long"), chunk("the baker sleeps")]
    assert positions(index(chunks), "How long is the Orle?")[0] == 1


def test_the_title_is_searched_like_the_text(index):
    chunks = [chunk("it is long", title="River Orle"), chunk("it is long", title="River Tam"), chunk("x"), chunk("y")]
    assert positions(index(chunks), "the tam") == [1, 0, 2, 3]


def test_a_score_is_the_formula_worked_by_hand(index):
    chunks = [chunk("mill mill river"), chunk("river"), chunk("baker baker"), chunk("x y z w")]
    # mill: in 1 of 4 chunks, twice in a chunk of 3 words; chunks have 2.5 words in the mean.
    idf = math.log(3.5) - math.log(1.5)
    expected = idf * (2 * 2.5 / (2 + 1.5 * (0.25 + 0.75 * 3 / 2.5)))
    (hit, *rest) = index(chunks).search(["mill"], 4)[0]
    assert hit.score == pytest.approx(expected, rel=1e-12)
    assert [other.score for other in rest] == [0, 0, 0]


def test_a_word_in_most_chunks_still_counts_a_little(index):
    chunks = [chunk("common one"), chunk("common two"), chunk("common three"), chunk("other four five")]
    hits = index(chunks).search(["common"], 4)[0]
    assert [hit.position for hit in hits] == [0, 1, 2, 3]
    assert hits[0].score > 0 == hits[3].score


def test_equal_chunks_tie_and_keep_their_positions(index):
    chunks = [chunk("nothing"), chunk("same words"), chunk("same words"), chunk("nothing else"), chunk("same words")]
    assert positions(index(chunks), "same", k=3) == [1, 2, 4]


def test_unknown_words_leave_the_order_of_the_chunks(index):
    assert positions(index([chunk("a"), chunk("b"), chunk("c")]), "zzz", k=2) == [0, 1]


def test_several_queries_are_answered_in_order(index):
    chunks = [chunk("mill"), chunk("river"), chunk("baker")]
    assert [hits[0].position for hits in index(chunks).search(["river", "baker", "mill"], 1)] == [1, 2, 0]


@pytest.mark.parametrize("query", ["", "?!", "word"])
def test_chunks_without_any_word_are_all_equal(index, query):
    assert positions(index([chunk("?"), chunk("!")]), query) == [0, 1]


def test_an_index_over_nothing_finds_nothing(index):
    assert index([]).search(["word"], 5) == [[]]


def test_the_size_grows_with_the_chunks(index):
    small = index([chunk("one two three")]).bytes
    large = index([chunk(f"one two three {number} {number + 1000}") for number in range(100)]).bytes
    assert 0 < small < large
