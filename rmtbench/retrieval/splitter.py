"""LlamaIndex's sentence splitter, made to say which characters of the text each chunk is.

Imports LlamaIndex, which takes seconds: import this module only where text is cut. The splitter gives bare strings,
and looking them up in the text finds the wrong place where the text repeats itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate

from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.node_parser.text.utils import split_by_sentence_tokenizer

Tokenize = Callable[[str], list[int]]

FIRST_MARK = 0x10000
"""First character beyond the basic plane; from here on none is white space that the splitter would strip."""

MARKS = 0x110000 - FIRST_MARK
"""Number of characters from there on: two of them name more pieces than a text can have."""


class SpanSplitter(SentenceSplitter):  # type: ignore[misc]  # the library counts as untyped
    """Cuts text between paragraphs (a blank line); where one is too long, between sentences, clauses or words."""

    def spans(self, text: str, chunk_tokens: int) -> list[tuple[int, int]]:
        """Cut one text.

        Args:
            text: Any text.
            chunk_tokens: Most tokens of a chunk, added up over its pieces.

        Returns:
            Start and end of each chunk in characters, in order, without white space at either end.

        Raises:
            ValueError: One character has more tokens than a chunk may have.
        """
        pieces = self._split(text, chunk_tokens)
        ends = list(accumulate(len(piece.text) for piece in pieces))
        # The splitter joins the texts of whole pieces. A mark in place of each text shows which pieces it joined.
        marked = [replace(piece, text=_mark(number)) for number, piece in enumerate(pieces)]
        spans = []
        for marks in self._merge(marked, chunk_tokens):
            first, last = _number(marks[:2]), _number(marks[-2:])
            start, end = ends[first] - len(pieces[first].text), ends[last]
            content = text[start:end]
            start += len(content) - len(content.lstrip())
            end -= len(content) - len(content.rstrip())
            if start < end:
                spans.append((start, end))
        return spans


def _mark(number: int) -> str:
    return "".join(chr(FIRST_MARK + part) for part in divmod(number, MARKS))


def _number(mark: str) -> int:
    high, low = (ord(character) - FIRST_MARK for character in mark)
    return high * MARKS + low


def make_splitter(tokenize: Tokenize, chunk_tokens: int, overlap: int = 0) -> SpanSplitter:
    """Make a splitter that never reaches for LlamaIndex's own tokenizer, settings or network.

    Args:
        tokenize: Token ids of a text, without special tokens.
        chunk_tokens: Most tokens of a chunk; `spans` may be asked for less.
        overlap: Most tokens at the end of a chunk that the next one repeats, in whole pieces.
    """
    return SpanSplitter(
        tokenizer=tokenize,
        chunk_size=chunk_tokens,
        chunk_overlap=overlap,
        paragraph_separator="\n\n",
        chunking_tokenizer_fn=split_sentences,
        include_metadata=False,
    )


def split_sentences(text: str) -> list[str]:
    """LlamaIndex's sentences, joined again the very text: white space alone, which it drops, is kept as one piece."""
    return split_by_sentence_tokenizer()(text) or [text]
