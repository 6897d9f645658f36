"""Which texts a scorer's vocabulary does not know: to a model that reads [UNK] alone, all of them are the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MOST = 0.5
"""Share of a text's tokens that may be unknown."""
MISSING = "are in characters that its vocabulary does not know"
"""What a table says of the answers that have no score because of it."""


def unknown_texts(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> set[str]:
    """Those of the texts of whose tokens more than half are the vocabulary's sign for unknown ones.

    Args:
        tokenizer: Of the model that scores; one of bytes knows every text.
        texts: Any texts; special tokens do not count, and a text without tokens is not unknown.
    """
    sign = tokenizer.unk_token_id
    distinct = list(dict.fromkeys(texts))
    if sign is None or not distinct:
        return set()
    # Without verbose, it would warn of texts longer than the model reads.
    encoded = tokenizer(distinct, add_special_tokens=False, verbose=False)["input_ids"]
    return {text for text, ids in zip(distinct, encoded, strict=True) if ids.count(sign) > MOST * len(ids)}
