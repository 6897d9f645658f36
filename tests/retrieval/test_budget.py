"""A budget of tokens is filled with the best chunks that fit, and never exceeded."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from rmtbench.retrieval.budget import fill, most_chunks


def test_a_chunk_that_does_not_fit_is_passed_over_for_the_next() -> None:
    tokens = [50, 40, 30, 10]
    assert fill([0, 1, 2, 3], tokens, 90, lambda taken: sum(tokens[at] for at in taken)) == [0, 1]
    assert fill([1, 0, 2, 3], tokens, 75, lambda taken: sum(tokens[at] for at in taken)) == [1, 2]
    assert fill([0, 2], tokens, 20, lambda taken: sum(tokens[at] for at in taken)) == []


def test_at_most_as_many_chunks_as_the_shortest_ones_are_needed() -> None:
    assert [most_chunks([30, 10, 20], budget) for budget in (5, 10, 29, 30, 60, 100)] == [1, 1, 1, 2, 3, 3]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(1, 120), st.integers(0, 3))
def test_what_is_taken_fits_together_though_joining_makes_tokens(tokens: list[int], budget: int, joint: int) -> None:
    def together(taken: Sequence[int]) -> int:
        return sum(tokens[at] for at in taken) + joint * max(0, len(taken) - 1)

    ranking = list(range(len(tokens)))[::-1]
    taken = fill(ranking, tokens, budget, together)
    assert together(taken) <= budget or taken == []
    assert taken == [at for at in ranking if at in taken]
    assert len(taken) <= most_chunks(tokens, budget)
    if joint == 0:
        left = [tokens[at] for at in ranking if at not in taken]
        assert all(count > budget - together(taken) for count in left)
