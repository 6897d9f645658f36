"""Associative retrieval, the test of ARMT (Rodkin et al., 2024, arXiv:2407.04841): one key-value pair a segment.

After all pairs, the model gets a key and its memory, and must write the value. In the rewriting variant keys come again
with other values, and the last one is right. A key is one symbol of 62, a value one of 16 others; in the paper's code
both are of 16, and keys get longer with the number of pairs. There one key of a text is asked, here each.
"""

from __future__ import annotations

import random

import torch

from rmtbench.rmt.key_values import SYMBOLS, Pairs, PairTask

KEYS, VALUES = SYMBOLS, 16
"""Symbols that a key and a value may be."""


def draw_once(texts: int, pairs: int, chance: random.Random) -> Pairs:
    """Draw texts whose keys differ.

    Args:
        texts: How many.
        pairs: Of each text, at most `KEYS`.
        chance: Random numbers.
    """
    written = torch.tensor([_pairs(chance.sample(range(KEYS), pairs), chance) for _ in range(texts)])
    return Pairs(written, written)


def draw_rewritten(texts: int, pairs: int, chance: random.Random) -> Pairs:
    """Draw texts that have half as many keys as pairs, rounded up: every key once, then the others at random places.

    Args:
        texts: How many.
        pairs: Of each text, at most twice `KEYS`.
        chance: Random numbers.

    Returns:
        All pairs in their order; of each key the last one is asked.
    """
    written, asked = [], []
    for _ in range(texts):
        keys = chance.sample(range(KEYS), -(-pairs // 2))
        order = keys + chance.choices(keys, k=pairs - len(keys))
        chance.shuffle(order)
        text = _pairs(order, chance)
        last = dict(zip(order, text, strict=True))  # the last pair of a key replaces those before
        written.append(text)
        asked.append(list(last.values()))
    return Pairs(torch.tensor(written), torch.tensor(asked))


def _pairs(keys: list[int], chance: random.Random) -> list[list[int]]:
    """Pairs of these keys with random values."""
    return [[key, SYMBOLS + chance.randrange(VALUES)] for key in keys]


ASSOCIATIVE_RETRIEVAL = PairTask("associative-retrieval", draw_once, key_tokens=1, pair_tokens=2, most=KEYS, apart=True)
REWRITE = PairTask(
    "associative-retrieval-rewrite", draw_rewritten, key_tokens=1, pair_tokens=2, most=2 * KEYS, apart=True
)
