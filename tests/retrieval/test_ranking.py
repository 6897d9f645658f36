"""Ranking: best first, ties by position, never more than there are."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rmtbench.retrieval.base import Hit
from rmtbench.retrieval.ranking import best_of_more, candidates, top_k


def test_the_best_come_first_and_ties_keep_their_positions():
    scores = np.array([1.0, 3.0, 0.0, 3.0, 1.0, 3.0])
    assert top_k(scores, 4) == [Hit(1, 3.0), Hit(3, 3.0), Hit(5, 3.0), Hit(0, 1.0)]


def test_a_tie_across_the_edge_keeps_the_lower_positions():
    assert [hit.position for hit in top_k(np.zeros(9), 3)] == [0, 1, 2]


def test_fewer_chunks_than_asked_for_are_all_ranked():
    assert [hit.position for hit in top_k(np.array([0.5, -1.0, 2.0]), 10)] == [2, 0, 1]
    assert top_k(np.array([]), 3) == []


@given(st.lists(st.integers(-3, 3), max_size=40), st.integers(1, 12))
def test_any_ranking_is_that_of_a_full_sort(values, k):
    expected = sorted(range(len(values)), key=lambda position: (-values[position], position))[:k]
    assert [hit.position for hit in top_k(np.array(values, dtype=float), k)] == expected


def test_candidates_hold_everything_within_the_margin():
    scores = np.array([0.1, 0.9, 0.5, 0.49, 0.8])
    assert candidates(scores, 3).tolist() == [1, 2, 4]
    assert candidates(scores, 3, margin=0.02).tolist() == [1, 2, 3, 4]


@given(st.lists(st.integers(0, 3), max_size=40), st.integers(1, 12), st.randoms())
def test_search_with_arbitrary_ties_ranks_the_same(values, k, chance):
    asked = []

    def search(count):
        asked.append(count)
        # Best first, ties in any order, and nothing that scores zero.
        order = sorted(range(len(values)), key=lambda position: (-values[position], chance.random()))
        return [Hit(position, float(values[position])) for position in order[:count] if values[position] > 0]

    expected = [hit for hit in top_k(np.array(values, dtype=float), k) if hit.score > 0]
    assert best_of_more(search, k, len(values)) == expected
    assert asked == sorted(set(asked)), "each time more is asked for"


def test_a_search_without_ties_is_asked_once():
    asked = []

    def search(count):
        asked.append(count)
        return [Hit(position, 1 / (1 + position)) for position in range(count)]

    assert [hit.position for hit in best_of_more(search, 3, 1000)] == [0, 1, 2]
    assert asked == [6]
