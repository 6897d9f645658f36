"""A passage longer than its embedder reads, cut into overlapping windows that it reads to their end.

Windows are counted in the embedder's own tokens and begin with a word. Knows no chunk and loads no model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from rmtbench.errors import UserError
from rmtbench.options import flag

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

    from rmtbench.models.base import Role

Span = tuple[int, int]
"""Start and end, in characters of a text."""

Piece = tuple[int, int, int]
"""Start and end of a part of a text, and its tokens."""

OVERLAP = 4
"""A window repeats at most one part in so many of the tokens of the one before: a quarter."""

RULE = f"overlap 1/{OVERLAP}"
"""How windows are cut, for what is made of them: an index of another rule is another index."""


@dataclass(frozen=True, slots=True)
class Reads:
    """How an embedder reads a text.

    Attributes:
        count: Tokens of each text as it is embedded, prompt and special tokens included.
        words: A text's words in order, each as the smallest parts that it may be cut into.
    """

    count: Callable[[Sequence[str]], list[int]]
    words: Callable[[str], list[list[Piece]]]


def reads(tokenizer: PreTrainedTokenizerBase, prompt: str) -> Reads:
    """How an embedder with this tokenizer reads passages.

    Args:
        tokenizer: The embedder's.
        prompt: Stands before each passage.
    """

    def count(texts: Sequence[str]) -> list[int]:
        encoded = tokenizer([prompt + text for text in texts], truncation=False, verbose=False)["input_ids"]
        return [len(ids) for ids in encoded]

    def words(text: str) -> list[list[Piece]]:
        if not tokenizer.is_fast:
            raise UserError(
                "the embedder's tokenizer does not say where its tokens lie in a text, so no windows can be cut",
                where=flag.embedder,
                remedy=f"give {flag.embed_windows}=off: only the beginning of a long chunk is read then",
            )
        encoded = tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, truncation=False, verbose=False
        )
        return words_of(encoded["offset_mapping"], encoded.word_ids())

    return Reads(count, words)


class PassageReader:
    """The part of an `Embedder` on this machine that looks at its tokenizer and prompts alone."""

    name: str
    max_tokens: int | None
    _tokenizer: PreTrainedTokenizerBase
    _prompts: Mapping[Role, str]

    def prompt(self, role: Role) -> str:
        """The model's own words before a text of this role."""
        return self._prompts[role]

    def windows(self, texts: Sequence[str], heads: Sequence[str]) -> list[list[Span]]:
        """Cut passages into overlapping windows that are read to their end, as `Embedder.windows`."""
        return cut_windows(reads(self._tokenizer, self._prompts["passage"]), texts, heads, self.max_tokens)

    def truncated(self, texts: Sequence[str]) -> int:
        """How many of the passages are longer than `max_tokens`; embedded whole, only their beginning is read."""
        if self.max_tokens is None or not texts:
            return 0
        counts = reads(self._tokenizer, self._prompts["passage"]).count(texts)
        return sum(count > self.max_tokens for count in counts)

    def _checked(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return vectors. One number that is not finite would empty every ranking."""
        import numpy as np

        if not np.isfinite(vectors).all():
            what, remedy = "the embedder gave a vector that is not finite", "its weights are damaged: get them again"
            raise UserError(what, where=f"{flag.embedder} {self.name}", remedy=remedy)
        return vectors


def cut_windows(how: Reads, texts: Sequence[str], heads: Sequence[str], max_tokens: int | None) -> list[list[Span]]:
    """Cut texts into windows, as `Embedder.windows`.

    A window holds as many words as are read behind its head, and the next one begins a quarter of that room earlier
    than it ends. A word that is longer than a quarter of the room is cut between its tokens.

    Args:
        how: How the embedder reads.
        texts: The passages.
        heads: What stands before every window of a text.
        max_tokens: Tokens that are read of one text; None for no limit.

    Raises:
        UserError: A head takes more than half of what is read, or the tokenizer does not say where its tokens lie.
    """
    if max_tokens is None or not texts:
        return [[(0, len(text))] for text in texts]
    counts = how.count([head + text for head, text in zip(heads, texts, strict=True)])
    return [
        [(0, len(text))] if count <= max_tokens else _cut(how, text, head, max_tokens)
        for count, text, head in zip(counts, texts, heads, strict=True)
    ]


def _cut(how: Reads, text: str, head: str, max_tokens: int) -> list[Span]:
    [taken] = how.count([head])
    room = max_tokens - taken
    if 2 * room < max_tokens:
        raise _no_room(head, taken, max_tokens)
    pieces = _pieces(how.words(text), room)
    before = [0, *accumulate(tokens for _, _, tokens in pieces)]  # tokens before each piece, and of all
    spans: list[Span] = []
    first = 0
    while True:
        last = first + 1  # behind the window's last piece
        while last < len(pieces) and before[last + 1] - before[first] <= room:
            last += 1
        start = pieces[first][0] if spans else 0
        # Cut out of its text a window may have more tokens than within it, so it is counted again.
        while how.count([head + text[start : _end(pieces, last, text)]])[0] > max_tokens:
            last -= 1
            if last == first:
                raise _no_room(head, taken, max_tokens)
        spans.append((start, _end(pieces, last, text)))
        if last == len(pieces):
            return spans
        following = last
        while following - 1 > first and OVERLAP * (before[last] - before[following - 1]) <= room:
            following -= 1
        first = following


def _pieces(words: Sequence[Sequence[Piece]], room: int) -> list[Piece]:
    """What is not cut: a word, or the parts of a word that fills a quarter of the room."""
    pieces: list[Piece] = []
    for word in words:
        tokens = sum(tokens for _, _, tokens in word)
        pieces += [(word[0][0], word[-1][1], tokens)] if OVERLAP * tokens <= room else word
    return pieces


def _end(pieces: Sequence[Piece], last: int, text: str) -> int:
    """Where a window ends, given what follows its last piece; the last window holds the text's end, whatever it is."""
    return len(text) if last == len(pieces) else pieces[last - 1][1]


def _no_room(head: str, taken: int, max_tokens: int) -> UserError:
    return UserError(
        f"a title takes {taken} of the {max_tokens} tokens that the embedder reads, which leaves too few for its text",
        where=f"the document {head.strip()[:60]!r}",
        remedy=f"shorten its title, or give {flag.embed_windows}=off",
    )


def words_of(offsets: Sequence[Span], numbers: Sequence[int | None]) -> list[list[Piece]]:
    """Tokens by word.

    Args:
        offsets: Where each token lies, in order; tokens that share a character, as its bytes do, make one piece.
        numbers: Which word each token is of; None for a word of its own.
    """
    words: list[list[Piece]] = []
    before: int | None = None
    for (start, end), number in zip(offsets, numbers, strict=True):
        if words and (start < words[-1][-1][1] or start == end):
            first, last, tokens = words[-1][-1]
            words[-1][-1] = (first, max(end, last), tokens + 1)
        elif words and number is not None and number == before:
            words[-1].append((start, end, 1))
        else:
            words.append([(start, end, 1)])
        before = number
    return words
