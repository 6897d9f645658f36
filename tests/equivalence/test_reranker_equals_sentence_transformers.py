"""Our cross-encoder gives the scores of sentence-transformers' own, before its activation."""

from __future__ import annotations

from pathlib import Path

import pytest

from rmtbench.models.rerank import CrossEncoder

library = pytest.importorskip("sentence_transformers")


def test_scores_are_those_of_the_library(cross_encoder: Path) -> None:
    import torch

    texts = ["the mill by the river", "", "a market", "the mayor of Arden is Tam Nedra " * 40, "É lan"]
    theirs = library.CrossEncoder(str(cross_encoder), device="cpu")
    for question in ("Where is the mill?", "Who? " * 40):
        expected = theirs.predict([(question, text) for text in texts], activation_fn=torch.nn.Identity())
        assert CrossEncoder(str(cross_encoder)).score(question, texts) == pytest.approx(expected.tolist(), abs=1e-5)
