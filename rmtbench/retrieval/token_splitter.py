"""Splitting by tokens: chunks as full as they can be, cut between words wherever the limit falls.

Sentences and paragraphs are not looked at, as in LlamaIndex's `TokenTextSplitter`; the chunks know where they lie.
"""

from __future__ import annotations

import re
from collections.abc import Callable

Tokenize = Callable[[str], list[int]]
Piece = tuple[int, int, int]
"""Start and end of a word with the white space before it, and its tokens."""


class TokenSplitter:
    """Cuts text between words; a word that is longer than a chunk is halved until it fits."""

    def __init__(self, tokenize: Tokenize, overlap: int = 0) -> None:
        """Make a splitter.

        Args:
            tokenize: Token ids of a text, without special tokens.
            overlap: Most tokens at the end of a chunk that the next one repeats, in whole words.
        """
        self._tokenize = tokenize
        self._overlap = overlap
        self._counts: dict[str, int] = {}

    def spans(self, text: str, chunk_tokens: int) -> list[tuple[int, int]]:
        """Cut one text.

        Args:
            text: Any text.
            chunk_tokens: Most tokens of a chunk, added up over its words.

        Returns:
            Start and end of each chunk in characters, in order, without white space at either end.

        Raises:
            ValueError: One character has more tokens than a chunk may have.
        """
        pieces = [
            piece
            for word in re.finditer(r"\s*\S+", text)
            for piece in self._pieces(text, word.start(), word.end(), chunk_tokens)
        ]
        spans, first, total = [], 0, 0
        for number, (_, _, tokens) in enumerate(pieces):
            if total + tokens > chunk_tokens:
                spans.append((pieces[first][0], pieces[number - 1][1]))
                while total > self._overlap or total + tokens > chunk_tokens:
                    total -= pieces[first][2]
                    first += 1
            total += tokens
        if pieces:
            spans.append((pieces[first][0], pieces[-1][1]))
        return [(end - len(text[start:end].lstrip()), end) for start, end in spans]

    def _pieces(self, text: str, start: int, end: int, limit: int) -> list[Piece]:
        tokens = self._count(text[start:end])
        if tokens <= limit:
            return [(start, end, tokens)]
        blank = len(text[start:end]) - len(text[start:end].lstrip())
        if blank:  # a long gap is not the word's
            return self._pieces(text, start + blank, end, limit)
        if end - start == 1:
            raise ValueError(f"the character {text[start:end]!r} alone has {tokens} tokens")
        middle = (start + end) // 2
        return self._pieces(text, start, middle, limit) + self._pieces(text, middle, end, limit)

    def _count(self, piece: str) -> int:
        if piece not in self._counts:
            self._counts[piece] = len(self._tokenize(piece))
        return self._counts[piece]
