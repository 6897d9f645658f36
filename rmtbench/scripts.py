"""Which characters belong to scripts that put no spaces between words."""

from __future__ import annotations

import unicodedata

_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN", "JAVANESE")
"""How the Unicode names of such characters begin."""


def is_unspaced(character: str) -> bool:
    """Whether a character is of a script without spaces between words."""
    return not character.isascii() and unicodedata.name(character, "").startswith(_UNSPACED)
