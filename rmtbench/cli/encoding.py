"""Text for terminals and pipes that cannot show every character, such as ``PYTHONIOENCODING=ascii``."""

from __future__ import annotations

import codecs
import os
import sys
import unicodedata
from pathlib import Path

NAME = "rmtbench"
SPELT = {
    "\u00b1": "+/-", "\u2013": "-", "\u2014": "-", "\u2026": "...", "\u2019": "'", "\u201c": '"', "\u201d": '"',
    "\u2020": "+", "\u2021": "++", "\u00a7": "S", "\u2265": ">=", "\u2264": "<=", "\u00d7": "x", "\u2192": "->",
    "\u00b7": ".", "\u2500": "-", "\u2501": "=", "\u2502": "|",
}  # fmt: skip
"""Characters that we print ourselves, in ASCII."""


def use_known_characters() -> None:
    """Let standard output and error spell out what their encoding lacks, in place of failing on it.

    Of a stream that the shell has closed (``>&-``), nothing is written.
    """
    codecs.register_error(NAME, _spell)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # at once: else the next file that is opened would get its number
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - until the process ends
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)  # a stream that a test puts there may have none
        if reconfigure is not None:
            reconfigure(errors=NAME)


def drop_output() -> None:
    """Throw away what standard output still holds, if it cannot be written: Python would try again at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _spell(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_ascii, error.object[error.start : error.end])), error.end


def _ascii(character: str) -> str:
    """Our own spelling, else the letter without its accent, else a question mark."""
    bare = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return SPELT.get(character) or bare or "?"
