"""Texts are cut from the front, and what follows a context is never cut."""

from __future__ import annotations

import pytest

from rmtbench.errors import AnswerError
from rmtbench.rmt.segments import cut, cut_with_tail


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, []), (3, [[0, 1, 2]]), (4, [[0, 1, 2, 3]]), (9, [[0, 1, 2, 3], [4, 5, 6, 7], [8]])],
)
def test_a_text_is_cut_into_full_segments_and_a_rest(count: int, expected: list) -> None:
    assert list(cut(iter(range(count)), 4)) == expected


@pytest.mark.parametrize(
    ("count", "tail", "expected"),
    [
        (0, [8, 9], [[8, 9]]),
        (2, [8, 9], [[0, 1, 8, 9]]),
        (3, [8, 9], [[0, 1, 2], [8, 9]]),
        (4, [8], [[0, 1, 2, 3], [8]]),
        (6, [8, 9], [[0, 1, 2, 3], [4, 5, 8, 9]]),
        (8, [], [[0, 1, 2, 3], [4, 5, 6, 7]]),
    ],
)
def test_a_question_stands_whole_in_the_last_segment(count: int, tail: list, expected: list) -> None:
    assert list(cut_with_tail(iter(range(count)), tail, 4)) == expected


def test_a_question_longer_than_a_segment_cannot_be_answered() -> None:
    with pytest.raises(AnswerError, match=r"^a question of 5 tokens exceeds a segment of 4$"):
        list(cut_with_tail([1], [0] * 5, 4))


def test_cutting_reads_one_segment_ahead_at_most() -> None:
    source = iter(range(100))
    cuts = cut(source, 4)
    next(cuts)
    assert next(source) == 4
    cuts = cut_with_tail(source, [1], 4)
    next(cuts)
    assert next(source) == 13
