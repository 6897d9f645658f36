"""Associative retrieval, the test of ARMT (Rodkin et al., 2024, arXiv:2407.04841): one key-value pair a segment.

After all pairs the memory alone is asked for the value of a key. In the first variant keys differ. In the other, keys
are written again with other values, and the last one is right. As in the paper's code, symbols are of 16: a key has two
of them, a value one. Unlike there, every key of a text is asked, each by itself, and no marks stand in a pair.
"""

from __future__ import annotations

import random

import torch

from rmtbench.rmt.key_values import SYMBOLS, Pairs, PairTask

OF = 16
"""Symbols of a key, and of a value: those are others."""
KEYS = OF**2


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
        last = {key: pair for key, pair in zip(order, text, strict=True)}
        written.append(text)
        asked.append(list(last.values()))
    return Pairs(torch.tensor(written), torch.tensor(asked))


def _pairs(keys: list[int], chance: random.Random) -> list[list[int]]:
    """Pairs of these keys with random values."""
    return [[*divmod(key, OF), SYMBOLS + chance.randrange(OF)] for key in keys]


ASSOCIATIVE_RETRIEVAL = PairTask("associative-retrieval", draw_once, key_tokens=2, pair_tokens=3, apart=True)
REWRITE = PairTask("associative-retrieval-rewrite", draw_rewritten, key_tokens=2, pair_tokens=3, apart=True)
