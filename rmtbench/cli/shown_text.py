"""Text that rich draws, made harmless before its width is measured. Imports rich: only what draws imports it."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from rmtbench.cli.plain_text import plain

LONGEST = 20_000
"""Characters of one piece of text that a terminal is given; a longer one is cut, and says so."""


class ShownText(Text):
    """A `Text` without escape sequences and marks of direction, and not of any length."""

    def __init__(self, text: str = "", *args: Any, **settings: Any) -> None:  # noqa: ANN401 - rich's own
        super().__init__(_shown(text), *args, **settings)

    def append(self, text: Text | str, style: Any = None) -> ShownText:  # noqa: ANN401 - rich's own
        """Append a text, made harmless."""
        super().append(_shown(text) if isinstance(text, str) else text, style)
        return self


def _shown(text: str) -> str:
    safe = plain(text[: LONGEST + 1])
    return safe if len(text) <= LONGEST else f"{safe[:LONGEST]}… ({len(text):,} characters)"
