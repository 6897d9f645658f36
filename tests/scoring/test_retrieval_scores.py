"""Retrieval scores: which facts were found, how much of what was found is useful, and how high it stands."""

import pytest

from rmtbench.core import Answer, Gold, Retrieved, Span
from rmtbench.scoring.base import Item
from rmtbench.scoring.retrieval import NAMES, retrieval_metric, retrieval_scores

FIRST, SECOND = (Span("a", 10, 20),), (Span("b", 0, 5),)
MISS = ("z", 0, 100)
NOWHERE = dict.fromkeys(NAMES)


def scores(chunks, facts, *, retrieves=True, **failed):
    """Values for chunks ``(document, start, end)``, best first."""
    retrieved = tuple(Retrieved(*chunk, score=1.0 / place) for place, chunk in enumerate(chunks, 1))
    answer = Answer("q", "", **{"finish": "eos", **failed}, retrieved=retrieved)
    return retrieval_scores(Item("squad", answer, Gold("q", ("blue",), tuple(facts)), retrieves))


def expect(recall, precision, reciprocal_rank):
    return dict(zip(NAMES, (recall, precision, reciprocal_rank), strict=True))


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([("a", 0, 30), ("b", 0, 30)], expect(1, 1, 1)),
        ([("a", 0, 30), MISS], expect(1 / 2, 1 / 2, 1)),
        ([MISS, MISS, ("b", 0, 30)], expect(1 / 2, 1 / 3, 1 / 3)),
        ([MISS, ("a", 0, 30), ("a", 0, 30), ("b", 4, 9)], expect(1, 3 / 4, 1 / 2)),
        ([MISS], expect(0, 0, 0)),
        ([], expect(0, 0, 0)),
    ],
)
def test_two_facts(chunks, expected):
    assert scores(chunks, [FIRST, SECOND]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("chunk", "found"),
    [
        (("a", 0, 10), False),  # ends where the fact begins
        (("a", 0, 11), True),
        (("a", 19, 40), True),
        (("a", 20, 40), False),  # begins where it ends
        (("a", 12, 14), True),  # inside
        (("b", 10, 20), False),  # the same characters of another document
    ],
)
def test_a_chunk_is_useful_from_the_first_shared_character(chunk, found):
    assert scores([chunk], [FIRST]) == expect(found, found, found)


def test_fact_in_several_places_counts_once():
    anywhere = (Span("a", 10, 20), Span("c", 0, 5), Span("d", 0, 5))
    assert scores([("d", 0, 9)], [anywhere]) == expect(1, 1, 1)
    assert scores([("d", 0, 9), ("a", 0, 30), MISS], [anywhere, SECOND]) == pytest.approx(expect(1 / 2, 2 / 3, 1))


def test_one_chunk_may_hold_several_facts():
    assert scores([("a", 0, 50), MISS], [FIRST, (Span("a", 30, 40),)]) == expect(1, 1 / 2, 1)


def test_more_chunks_never_lower_recall_or_the_rank():
    chunks = [MISS, ("b", 0, 9), MISS, ("a", 15, 30), MISS]
    made = [scores(chunks[:k], [FIRST, SECOND]) for k in range(1, len(chunks) + 1)]
    assert [row["recall"] for row in made] == [0, 1 / 2, 1 / 2, 1, 1]
    assert [row["reciprocal_rank"] for row in made] == [0, 1 / 2, 1 / 2, 1 / 2, 1 / 2]
    assert [row["precision"] for row in made] == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2, 2 / 5])


def test_nothing_applies_without_retrieval_or_evidence():
    assert scores([], [FIRST], retrieves=False) == NOWHERE
    assert scores([("a", 0, 30)], []) == NOWHERE


def test_failed_answer_keeps_its_retrieved_passages():
    assert scores([], [FIRST], finish="error", error="index lost") == expect(0, 0, 0)
    assert scores([("a", 0, 30)], [FIRST], finish="error", error="out of memory") == expect(1, 1, 1)


def test_the_metric_names_what_made_each_of_its_values():
    metric = retrieval_metric("minilm")
    items = [Item("squad", Answer("q", "", "eos"), Gold("q", ("blue",), (FIRST,)), retrieves=True)]
    assert metric.score(items, lambda *_: None) == [expect(0, 0, 0)]
    assert metric.scorers == dict.fromkeys(NAMES, "evidence spans v1")
