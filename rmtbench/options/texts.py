"""Values of options as people write them: lists of whole numbers, and counts such as 32k or 1.5M."""

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


def token_count(text: str) -> int:
    """Read a number of tokens such as ``500``, ``32k`` or ``1.5M``.

    Raises:
        ValueError: It is none.
    """
    found = re.fullmatch(r"(\d{1,12}(?:\.\d+)?)([kKmM]?)", text.strip())
    tokens = round(float(found[1]) * _FACTORS[found[2].lower()]) if found else 0
    if tokens < 1:
        raise ValueError(f"'{text}' is no length; give such as 4k, 128k or 2M")
    return tokens


def token_counts(text: str) -> tuple[int, ...]:
    """Read a list such as ``4k,32k``.

    Raises:
        ValueError: Something in it is no number of tokens.
    """
    return tuple(token_count(each) for each in text.split(","))


def chunk_count(text: str) -> int:
    """Read a number of chunks such as ``5000``, ``50k`` or ``1M``.

    Raises:
        ValueError: It is none, or below 10.
    """
    factor = {"k": 1_000, "M": 1_000_000}.get(text[-1:], 1)
    digits = text[:-1] if factor > 1 else text
    if not digits.isdecimal() or int(digits) * factor < 10:
        raise ValueError(f"'{text}' is no number of at least 10 chunks; give such as 5000, 50k or 1M")
    return int(digits) * factor
