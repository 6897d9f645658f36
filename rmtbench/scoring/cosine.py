"""Cosine of two MiniLM sentence embeddings, (answer, first reference): what "Don't Do RAG" calls BERT-Score.

It is not BERTScore; it stands here under its own name so that results can be set beside the published tables.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property

from rmtbench.core import MetricValue
from rmtbench.models.base import Embedder
from rmtbench.models.embed_files import MINILM
from rmtbench.scoring.base import Item, MetricKind, Progress
from rmtbench.scoring.vocabulary import MISSING, unknown_texts

SLICE = 1024
"""Texts embedded between two reports of progress."""


class Cosine:
    """The `Metric`; embeds every distinct text once, whatever the number of systems.

    Args:
        embedder: Gives the vectors.
        unknown: Which of some texts it cannot tell apart, because its vocabulary does not know them.
    """

    def __init__(
        self, embedder: Embedder, unknown: Callable[[Sequence[str]], Collection[str]] = lambda _texts: ()
    ) -> None:
        self._embedder = embedder
        self._unknown = unknown

    @cached_property
    def scorers(self) -> Mapping[str, str]:
        """The embedder's name and hash."""
        return {"minilm_cosine": f"{self._embedder.name} sha256:{self._embedder.sha256[:16]}"}

    def score(self, items: Sequence[Item], progress: Progress) -> list[dict[str, float | None]]:
        """The cosine for each item, in [-1, 1]; 0 for an empty answer, None where a text is unknown."""
        import numpy as np

        texts = list(dict.fromkeys(text for item in items for text in (item.text, item.gold.references[0])))
        vectors = []
        for start in range(0, len(texts), SLICE):
            vectors.append(self._embedder.embed(texts[start : start + SLICE], "symmetric"))
            progress("minilm_cosine", min(start + SLICE, len(texts)), len(texts))
        matrix = np.concatenate(vectors) if vectors else np.zeros((0, 1), np.float32)
        row = {text: place for place, text in enumerate(texts)}
        unknown = self._unknown(texts)

        def value(text: str, reference: str) -> float | None:
            if not text.strip():
                return 0.0
            if text in unknown or reference in unknown:
                return None
            return float(matrix[row[text]] @ matrix[row[reference]])

        return [{"minilm_cosine": value(item.text, item.gold.references[0])} for item in items]


def cosine_metric(_scorer_model: str) -> Cosine:
    """The metric with the paper's embedder, all-MiniLM-L6-v2, whatever BERTScore uses."""
    from transformers import AutoTokenizer

    from rmtbench.models.embed import load_embedder
    from rmtbench.models.embed_files import model_folder

    tokenizer = AutoTokenizer.from_pretrained(model_folder(MINILM), split_special_tokens=True, trust_remote_code=False)
    return Cosine(load_embedder(MINILM), lambda texts: unknown_texts(tokenizer, texts))


METRIC = MetricKind(
    "minilm_cosine", (MetricValue("minilm_cosine", "MiniLM cosine", order=50, missing=MISSING),), cosine_metric
)
