"""Counts in words: one place decides between singular and plural."""

from __future__ import annotations


def many(count: float, noun: str, plural: str = "") -> str:
    """Return a count with its noun: ``1 draw``, ``2 draws``, ``1,200 draws``.

    Args:
        count: A whole number.
        noun: The singular.
        plural: The plural, if it is not the singular with an s.
    """
    return f"{count:,.0f} {noun if count == 1 else plural or f'{noun}s'}"
