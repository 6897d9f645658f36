"""Cosine of two MiniLM sentence embeddings, (answer, first reference): what "Don't Do RAG" calls BERT-Score.

It is not BERTScore; it stands here under its own name so that results can be set beside the published tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from rmtbench.core import MetricValue
from rmtbench.models.base import Embedder
from rmtbench.models.embed_files import MINILM
from rmtbench.scoring.base import Item, MetricKind, Progress

SLICE = 1024
"""Texts embedded between two reports of progress."""


class Cosine:
    """The `Metric`; embeds every distinct text once, whatever the number of systems."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    @cached_property
    def scorers(self) -> Mapping[str, str]:
        """The embedder's name and hash."""
        return {"minilm_cosine": f"{self._embedder.name} sha256:{self._embedder.sha256[:16]}"}

    def score(self, items: Sequence[Item], progress: Progress) -> list[dict[str, float | None]]:
        """The cosine for each item, in [-1, 1]; 0 for an empty answer."""
        import numpy as np

        texts = list(dict.fromkeys(text for item in items for text in (item.text, item.gold.references[0])))
        vectors = []
        for start in range(0, len(texts), SLICE):
            vectors.append(self._embedder.embed(texts[start : start + SLICE], "symmetric"))
            progress("minilm_cosine", min(start + SLICE, len(texts)), len(texts))
        matrix = np.concatenate(vectors) if vectors else np.zeros((0, 1), np.float32)
        row = {text: place for place, text in enumerate(texts)}
        return [
            {
                "minilm_cosine": float(matrix[row[item.text]] @ matrix[row[item.gold.references[0]]])
                if item.text.strip()
                else 0.0
            }
            for item in items
        ]


def cosine_metric(_scorer_model: str) -> Cosine:
    """The metric with the paper's embedder, all-MiniLM-L6-v2, whatever BERTScore uses."""
    from rmtbench.models.embed import load_embedder

    return Cosine(load_embedder(MINILM))


METRIC = MetricKind("minilm_cosine", (MetricValue("minilm_cosine", "MiniLM cosine", order=50),), cosine_metric)
