"""Texts are cut from the front, lazily."""

from __future__ import annotations

import pytest

from rmtbench.rmt.segments import cut


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, []), (3, [[0, 1, 2]]), (4, [[0, 1, 2, 3]]), (9, [[0, 1, 2, 3], [4, 5, 6, 7], [8]])],
)
def test_a_text_is_cut_into_full_segments_and_a_rest(count: int, expected: list) -> None:
    assert list(cut(iter(range(count)), 4)) == expected


def test_cutting_reads_no_further_than_it_has_given() -> None:
    source = iter(range(100))
    cuts = cut(source, 4)
    next(cuts)
    assert next(source) == 4
