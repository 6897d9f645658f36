"""An embedder without weights: a text's vector is the sum of its words' directions, and it reads so many words."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from functools import cache

import numpy as np

from rmtbench.models.base import Role
from rmtbench.models.embed_windows import Reads, cut_windows


@cache
def direction(word: str) -> np.ndarray:
    return np.random.default_rng(zlib.crc32(word.encode())).standard_normal(WordEmbedder.dimension)


class WordEmbedder:
    """Reads the first `max_tokens` words of a text, those of its prompt among them. Remembers what it was asked."""

    name, dimension = "words", 32

    def __init__(
        self, max_tokens: int | None = 12, prompts: dict[Role, str] | None = None, sha256: str = "a" * 64
    ) -> None:
        self.max_tokens, self.prompts, self.sha256 = max_tokens, prompts or {}, sha256
        self.asked: list[tuple[Role, str]] = []

    def prompt(self, role: Role) -> str:
        return self.prompts.get(role, "")

    def embed(self, texts: Sequence[str], role: Role = "passage") -> np.ndarray:
        self.asked += [(role, text) for text in texts]
        matrix = np.zeros((len(texts), self.dimension), np.float32)
        for row, text in zip(matrix, texts, strict=True):
            row[0] = 0.1
            for word in (self.prompt(role) + text).split()[: self.max_tokens]:
                row[:] += direction(word)
        matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
        return matrix

    def windows(self, texts: Sequence[str], heads: Sequence[str]) -> list[list[tuple[int, int]]]:
        how = Reads(
            lambda asked: [len((self.prompt("passage") + text).split()) for text in asked],
            lambda text: [[(*match.span(), 1)] for match in re.finditer(r"\S+", text)],
        )
        return cut_windows(how, texts, heads, self.max_tokens)

    def truncated(self, texts: Sequence[str]) -> int:
        limit = self.max_tokens or 10**9
        return sum(len((self.prompt("passage") + text).split()) > limit for text in texts)
