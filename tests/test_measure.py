"""Sizes as people write them, and results with their seconds."""

from dataclasses import FrozenInstanceError

import pytest

from rmtbench.errors import UserError
from rmtbench.measure import Timed, add_seconds, parse_bytes, share_of_rounds, timed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20GB", 20 * 10**9),
        ("1.5 tb", 1500 * 10**9),
        ("512MiB", 2**29),
        ("7", 7),
        ("3 kB", 3000),
        ("9B", 9),
        ("8G", 8 * 10**9),
        ("7.5gi", 15 * 2**29),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, expected: int) -> None:
    assert parse_bytes(text, "--some-limit") == expected


@pytest.mark.parametrize("text", ["", "GB", "twenty", "20 apples", "-1GB", "1e9", "8 PB", "٣GB"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="is no size") as refused:
        parse_bytes(text, "--some-limit")
    assert refused.value.where == "--some-limit"


def test_a_result_comes_with_its_seconds_and_cannot_be_changed() -> None:
    waits: list[str] = []
    made = timed("read", lambda: waits.append("made") or 7, lambda: waits.append("wait"))
    assert (made.value, list(made.seconds), waits) == (7, ["read"], ["wait", "made", "wait"])
    assert made.total_seconds == made.seconds["read"] > 0
    with pytest.raises(FrozenInstanceError):
        made.value = 8


def test_seconds_add_up_by_part_in_order_of_appearance() -> None:
    first, second = {"load": 1.0, "save": 2.0}, {"prefill": 4.0, "load": 0.5}
    total = add_seconds(first, second)
    assert list(total.items()) == [("load", 1.5), ("save", 2.0), ("prefill", 4.0)]
    assert first == {"load": 1.0, "save": 2.0}
    assert Timed("x", total).total_seconds == 7.5


def test_a_questions_share_of_a_server_counts_whole_rounds() -> None:
    assert share_of_rounds([16, 8], 8) == 3 / 24
    assert share_of_rounds([9], 8) == 2 / 9, "the ninth question has a round of its own"
    assert share_of_rounds([3], 8) == 1 / 3
    assert share_of_rounds([], 8) == 1
