"""Text from elsewhere, made harmless for a terminal: no escape sequence and no mark of direction reaches it raw.

Names, answers and messages may come from strangers. Notes and errors pass through `plain`, everything else that is
printed through `guard_streams`, and what rich draws through `rmtbench.cli.shown_text`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import Any

_UNSAFE = "\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u061c\u2028\u2029\u202a-\u202e\u2066-\u2069"
"""Control characters but tab and line feed, marks and overrides of direction, and separators of lines."""
_OF_DATA = re.compile(f"([{_UNSAFE}])")
_SHOWN = 200
"""Characters of a very long word that a message repeats."""
_LONG_WORD = re.compile(r"\S{1000,}")
_OF_BARS = re.compile(rf"\r|\x1b\[(?:\?25[hl]|[0-9;]{{0,64}}[ABGKm])|([{_UNSAFE}])")
"""On standard error, where rich and other libraries draw bars, colours and movements within a line or upwards pass."""


def plain(text: str) -> str:
    r"""Return a text with every unsafe character as its escape, such as ``\x1b``; line feeds and tabs stay."""
    return _OF_DATA.sub(_spelt, text)


def one_line(text: str) -> str:
    r"""Return a text as `plain` does, on one line: line feeds are ``\n``, and a very long word is shortened."""
    short = _LONG_WORD.sub(lambda found: f"{found[0][:_SHOWN]}...", text)
    return plain(short.replace("\n", "\\n"))


def guard_streams() -> None:
    """Let everything that this process prints from now on pass through `plain`; what rich draws goes past it."""
    for name, unsafe in (("stdout", _OF_DATA), ("stderr", _OF_BARS)):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, _Guarded):
            setattr(sys, name, _Guarded(stream, unsafe))


class _Guarded:
    """A text stream whose texts are made harmless.

    Attributes:
        rich_proxied_file: The stream itself: rich looks for it by this name, and sends its own sequences there.
    """

    def __init__(self, stream: Any, unsafe: re.Pattern[str]) -> None:  # noqa: ANN401 - any text stream
        self.rich_proxied_file, self._unsafe = stream, unsafe

    def write(self, text: Any) -> int:  # noqa: ANN401 - whatever the stream takes
        """Write a text without what is unsafe; anything else is for the stream to refuse."""
        safe = self._unsafe.sub(_spelt, text) if isinstance(text, str) else text
        return int(self.rich_proxied_file.write(safe) or 0)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each line."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the stream's own
        """Everything else is the stream's."""
        return getattr(self.rich_proxied_file, name)

    def __iter__(self) -> Any:  # noqa: ANN401
        """The stream's lines."""
        return iter(self.rich_proxied_file)


def _spelt(found: re.Match[str]) -> str:
    character = found[1]
    if character is None:
        return found[0]
    return f"\\u{ord(character):04x}" if ord(character) > 0xFF else f"\\x{ord(character):02x}"
