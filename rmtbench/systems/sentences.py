"""Documents cut between sentences, for systems that read a corpus piece by piece. The joined pieces are the text.

Only marks and white space decide where a sentence ends. An abbreviation may end one too early, which makes more
pieces than needed and loses nothing.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from rmtbench.core import Document
from rmtbench.errors import UserError
from rmtbench.models.control_tokens import text_pieces
from rmtbench.options import flag

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_END = re.compile(r"""[.!?]["')\]]*\s+|\n\s*""")


def sentence_texts(document: Document) -> list[str]:
    """Return a document as it is in a prompt, as sentences with the white space after them; the first has its title."""
    text = _text(document)
    return [text[start:end] for start, end in pairwise([0, *_ends(document, text)])]


def sentence_ids(
    document: Document, tokenizer: PreTrainedTokenizerBase, marks: re.Pattern[str] | None = None
) -> list[list[int]]:
    """Return token ids of a document as it is in a prompt, by sentence; joined, they are those of the whole text.

    Args:
        document: The document.
        tokenizer: A tokenizer that gives the characters of each token.
        marks: The tokenizer's control marks, which count as text here.

    Raises:
        UserError: The tokenizer does not give them.
    """
    text = _text(document)
    if not tokenizer.is_fast:
        raise UserError(
            f"{type(tokenizer).__name__} does not tell which characters a token is",
            where=flag.tokenizer,
            remedy="choose a model with a fast tokenizer",
        )
    ids, ends = list[int](), list[int]()
    for first, last in text_pieces(text, marks):
        encoded = tokenizer(text[first:last], add_special_tokens=False, return_offsets_mapping=True)
        ids += encoded["input_ids"]
        # Ends, because tokenizers differ in whether a token includes the space before its word.
        ends += [first + end for _, end in encoded["offset_mapping"]]
    cuts = [bisect_right(ends, end) for end in _ends(document, text)]
    return [ids[start:end] for start, end in pairwise([0, *cuts]) if end > start]


def packed_ids(sentences: Iterable[Sequence[int]], size: int) -> Iterator[list[int]]:
    """Yield packs of as many whole sentences as fit; a sentence that is too long is cut.

    Args:
        sentences: Token ids of each sentence.
        size: Most tokens of a pack.
    """
    held: list[int] = []
    for sentence in sentences:
        if held and len(held) + len(sentence) > size:
            yield held
            held = []
        held = [*held, *sentence]
        while len(held) > size:
            yield held[:size]
            held = held[size:]
    if held:
        yield held


def packed_texts(
    sentences: Sequence[str], count_tokens: Callable[[Sequence[str]], Sequence[int]], size: int
) -> list[str]:
    """Return packs of as many whole sentences as fit; a sentence that is too long is cut in halves until it fits.

    Args:
        sentences: The text of each sentence, with white space.
        count_tokens: Counts the tokens of each text.
        size: Most tokens of a pack, as the sum over its sentences.
    """
    packs, held, room = [], "", size
    for text, tokens in _no_longer_than(size, sentences, count_tokens):
        if held and tokens > room:
            packs.append(held)
            held, room = "", size
        held, room = held + text, room - tokens
    return [*packs, held] if held else packs


def _no_longer_than(
    size: int, texts: Sequence[str], count_tokens: Callable[[Sequence[str]], Sequence[int]]
) -> Iterator[tuple[str, int]]:
    for text, tokens in zip(texts, count_tokens(texts), strict=True):
        if tokens <= size or len(text) < 2:
            yield text, tokens
        else:
            middle = text.rfind(" ", 1, len(text) // 2) if " " in text[1 : len(text) // 2] else len(text) // 2
            yield from _no_longer_than(size, [text[:middle], text[middle:]], count_tokens)


def _text(document: Document) -> str:
    return f"{document.title}\n{document.text}\n\n"


def _ends(document: Document, text: str) -> list[int]:
    found = [match.end() for match in _END.finditer(text, len(document.title) + 1)]
    return found if found and found[-1] == len(text) else [*found, len(text)]
