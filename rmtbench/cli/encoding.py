"""Text for terminals and pipes that cannot show every character, such as ``PYTHONIOENCODING=ascii``."""

from __future__ import annotations

import codecs
import sys
import unicodedata

NAME = "rmtbench"
SPELT = {
    "\u00b1": "+/-", "\u2013": "-", "\u2014": "-", "\u2026": "...", "\u2019": "'", "\u201c": '"', "\u201d": '"',
    "\u2020": "+", "\u2021": "++", "\u00a7": "S", "\u2265": ">=", "\u2264": "<=", "\u00d7": "x", "\u2192": "->",
    "\u00b7": ".", "\u2500": "-", "\u2501": "=", "\u2502": "|",
}  # fmt: skip
"""Characters that we print ourselves, in ASCII."""


def use_known_characters() -> None:
    """Let standard output and error spell out what their encoding lacks, in place of failing on it."""
    codecs.register_error(NAME, _spell)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)  # a stream that a test puts there may have none
        if reconfigure is not None:
            reconfigure(errors=NAME)


def _spell(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_ascii, error.object[error.start : error.end])), error.end


def _ascii(character: str) -> str:
    """Our own spelling, else the letter without its accent, else a question mark."""
    bare = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return SPELT.get(character) or bare or "?"
