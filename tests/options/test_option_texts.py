"""Numbers and lists as people write them, and the words for what is none."""

from __future__ import annotations

from typing import Any

import pytest

from rmtbench.options.declare import refusal
from rmtbench.options.texts import large_number, large_numbers, whole_numbers


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (whole_numbers, "1, 2,4", (1, 2, 4)),
        (large_number, "1.5M", 1_500_000),
        (large_numbers, "500,4k", (500, 4_000)),
        (large_number, "50k", 50_000),
        (large_number, "1M", 1_000_000),
        (large_number, "10", 10),
    ],
)
def test_a_text_is_read(read: Any, text: str, value: object) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    ("read", "text", "what", "remedy"),
    [
        (whole_numbers, "1,two", "'1,two' is no list of whole numbers", "write 1,2,4"),
        (large_numbers, "4k,", "'' is no number above 0", "give such as 500, 4k or 2M"),
        (large_number, "1G", "'1G' is no number above 0", "give such as 500, 4k or 2M"),
    ],
)
def test_what_is_none_is_refused_with_what_to_write(read: Any, text: str, what: str, remedy: str) -> None:
    with pytest.raises(ValueError, match="is no") as caught:
        read(text)
    error = refusal(caught.value, "--option")
    assert (error.what, error.where, error.remedy) == (what, "--option", remedy)
