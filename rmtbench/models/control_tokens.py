"""Control marks such as ``<|im_end|>`` inside documents and questions: encoded as text, never as control tokens.

A text without such a mark is encoded in one call, so its ids are the tokenizer's own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from rmtbench.models.reasoning import REASONING_MARKS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SHORTEST_MARK = 3
"""Characters; shorter added tokens are letters or white space of ordinary text."""


def control_marks(tokenizer: PreTrainedTokenizerBase) -> re.Pattern[str] | None:
    """Return a pattern of every text that the tokenizer turns into one control token; None if there is none.

    Control tokens are its special tokens, its marks of reasoning, and added tokens that its chat template writes.
    Added tokens that are ordinary text, such as runs of spaces, are not.
    """
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    template = str(tokenizer.chat_template or "")  # of several, their dictionary
    of_reasoning = {mark for pair in REASONING_MARKS for mark in (pair.opening, pair.closing)}
    marks = {
        token.content
        for token in added
        if len(token.content.strip()) >= SHORTEST_MARK
        and (token.special or token.content in of_reasoning or token.content in template)
    }
    # The longest first: a mark may begin with another one.
    return re.compile("|".join(map(re.escape, sorted(marks, key=len, reverse=True)))) if marks else None


def text_pieces(text: str, marks: re.Pattern[str] | None) -> list[tuple[int, int]]:
    """Return the pieces ``(start, end)`` of a text that are encoded one by one: no piece holds a whole mark.

    Each mark is cut after its first character. A text without a mark is one piece.
    """
    cuts: list[int] = []
    found = marks.search(text) if marks is not None else None
    while marks is not None and found is not None:
        cuts.append(found.start() + 1)
        found = marks.search(text, cuts[-1])  # marks may overlap
    return list(pairwise([0, *cuts, len(text)]))


def encode_text(
    tokenizer: PreTrainedTokenizerBase, marks: re.Pattern[str] | None, text: str, *, before: str = "", after: str = ""
) -> list[int]:
    """Return the token ids of a text inside its chat format.

    Args:
        tokenizer: The model's tokenizer.
        marks: Its `control_marks`; these are cut in `text`.
        text: A text of the user's.
        before: What the chat format writes before it, whose marks are control tokens.
        after: The same, behind it.
    """
    pieces = [text[start:end] for start, end in text_pieces(text, marks)]
    pieces[0], pieces[-1] = before + pieces[0], pieces[-1] + after
    if len(pieces) == 1:
        ids: list[int] = tokenizer.encode(before + text + after, add_special_tokens=False)
        return ids
    return [token for piece in pieces for token in tokenizer.encode(piece, add_special_tokens=False)]


def count_tokens(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], marks: re.Pattern[str] | None = None
) -> list[int]:
    """Return the tokens of each text, without special tokens; no texts give an empty list.

    Args:
        tokenizer: The model's tokenizer.
        texts: Any number.
        marks: Its `control_marks`.
    """
    if not texts:
        return []
    counts = [len(ids) for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"]]
    for number, text in enumerate(texts):
        if marks is not None and marks.search(text):
            counts[number] = len(encode_text(tokenizer, marks, text))
    return counts
