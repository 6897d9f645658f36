"""Reciprocal-rank fusion by hand, and what it makes of rankings that disagree, tie or find nothing."""

from __future__ import annotations

import numpy as np
import pytest

from rmtbench.retrieval.base import Chunk, Hit
from rmtbench.retrieval.bm25 import FastBM25Index
from rmtbench.retrieval.fusion import DEPTH, FusedIndex, fuse


class Fixed:
    """An index whose ranking is known."""

    bytes = 7

    def __init__(self, *hits: tuple[int, float]) -> None:
        self.hits = [Hit(position, score) for position, score in hits]

    def search(self, queries: list[str], k: int) -> list[list[Hit]]:
        return [self.hits[:k] for _ in queries]


def test_scores_are_sums_of_reciprocal_ranks_with_60_added() -> None:
    assert fuse([[3, 1], [1, 2]], 3) == [Hit(1, 1 / 62 + 1 / 61), Hit(3, 1 / 61), Hit(2, 1 / 62)]


def test_ties_go_to_lower_position_whichever_ranking_comes_first() -> None:
    rankings = [[9, 4, 6], [4, 9, 2]]
    assert [hit.position for hit in fuse(rankings, 4)] == [4, 9, 2, 6]
    assert fuse(rankings, 4) == fuse(rankings[::-1], 4)


@pytest.mark.parametrize("seed", range(20))
def test_the_order_of_many_rankings_decides_nothing(seed: int) -> None:
    draw = np.random.default_rng(seed)
    rankings = [draw.permutation(12).tolist() for _ in range(5)]
    assert fuse(rankings, 12) == fuse([rankings[place] for place in draw.permutation(5)], 12)


def test_fewer_chunks_are_the_first_of_more() -> None:
    draw = np.random.default_rng(3)
    indexes = [Fixed(*((int(at), 1.0) for at in draw.permutation(300))) for _ in range(2)]
    [many] = FusedIndex(indexes).search(["q"], DEPTH)
    assert [FusedIndex(indexes).search(["q"], k)[0] for k in (1, 5, 50)] == [many[:1], many[:5], many[:50]]
    assert len(FusedIndex(indexes).search(["q"], 250)[0]) == 250


def test_chunk_that_shares_no_word_gains_nothing_from_its_place() -> None:
    fused = FusedIndex([Fixed((2, 1.5), (0, 0.0), (1, 0.0)), Fixed((1, 0.9), (2, 0.8), (0, 0.7))])
    assert fused.search(["q"], 3)[0] == [Hit(2, 1 / 61 + 1 / 62), Hit(1, 1 / 61), Hit(0, 1 / 63)]
    assert fused.bytes == 14


def test_a_query_that_no_index_answers_finds_nothing() -> None:
    index = FastBM25Index([Chunk("a", "", "mill", 0, 4), Chunk("b", "", "river", 0, 5), Chunk("c", "", "hill", 0, 4)])
    assert FusedIndex([index, index]).search(["unheard", "mill"], 2)[0] == []
    assert [hit.position for hit in FusedIndex([index, index]).search(["mill"], 2)[0]] == [0]
