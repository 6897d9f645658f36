"""Sizes as people write them, read alike by every option that takes one."""

import pytest

from rmtbench.errors import UserError
from rmtbench.measure import parse_bytes


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
