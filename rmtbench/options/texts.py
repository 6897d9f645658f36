"""Values of options as people write them: lists of whole numbers, and large numbers such as 32k or 1.5M."""

from __future__ import annotations

import re

_FACTORS = {"": 1, "k": 1_000, "m": 1_000_000}


def whole_numbers(text: str) -> tuple[int, ...]:
    """Read a list such as ``1,2,4``.

    Raises:
        ValueError: Something in it is no whole number.
    """
    try:
        return tuple(int(each) for each in text.split(","))
    except ValueError:
        raise ValueError(f"'{text}' is no list of whole numbers; write 1,2,4") from None


def large_number(text: str) -> int:
    """Read a number above 0 such as ``500``, ``32k`` or ``1.5M``.

    Raises:
        ValueError: It is none.
    """
    found = re.fullmatch(r"(\d{1,12}(?:\.\d+)?)([kKmM]?)", text.strip())
    number = round(float(found[1]) * _FACTORS[found[2].lower()]) if found else 0
    if number < 1:
        raise ValueError(f"'{text}' is no number above 0; give such as 500, 4k or 2M")
    return number


def large_numbers(text: str) -> tuple[int, ...]:
    """Read a list such as ``4k,32k``.

    Raises:
        ValueError: Something in it is no such number.
    """
    return tuple(large_number(each) for each in text.split(","))
