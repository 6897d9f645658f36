"""The paper's "BERT-Score": cosine of two MiniLM sentence embeddings, answer and first reference."""

import numpy as np
import pytest

from rmtbench.core import Answer, Gold
from rmtbench.models.embed import load_embedder
from rmtbench.scoring import cosine
from rmtbench.scoring.base import Item
from rmtbench.scoring.cosine import Cosine, cosine_metric


def item(text, *references, error=None):
    answer = Answer("q", text, "error" if error else "eos", error=error)
    return Item("squad", answer, Gold("q", references), retrieves=False)


def nothing(_stage, _done, _total):
    """No progress."""


class Compass:
    """An embedder of the plane: a text is a number of degrees. It keeps what it was asked."""

    name, sha256, dimension, max_tokens = "compass", "c0" * 32, 2, None

    def __init__(self):
        self.asked = []

    def embed(self, texts, role="passage"):
        assert role == "symmetric"
        self.asked.append(list(texts))
        angles = np.radians([float(text.strip() or 0) for text in texts])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)

    def truncated(self, texts):
        return 0


@pytest.fixture(scope="module")
def minilm():
    return load_embedder("minilm")


def test_the_value_is_the_cosine_of_the_two_texts():
    rows = Cosine(Compass()).score([item("60", "0"), item("90", "0"), item("180", "0"), item("45", "45")], nothing)
    assert [row["minilm_cosine"] for row in rows] == pytest.approx([0.5, 0, -1, 1], abs=1e-6)


def test_only_the_first_reference_counts_as_in_the_paper():
    assert Cosine(Compass()).score([item("90", "0", "90")], nothing)[0]["minilm_cosine"] == pytest.approx(0, abs=1e-6)


def test_blank_and_failed_answers_score_0():
    rows = Cosine(Compass()).score([item("", "0"), item(" ", "0"), item("0", "0", error="gone")], nothing)
    assert rows == [{"minilm_cosine": 0.0}] * 3


def test_every_distinct_text_is_embedded_once(monkeypatch):
    monkeypatch.setattr(cosine, "SLICE", 2)
    compass, seen = Compass(), []
    rows = Cosine(compass).score(
        [item("10", "20"), item("30", "20"), item("10", "20"), item("20", "30")], lambda *step: seen.append(step)
    )
    assert compass.asked == [["10", "20"], ["30"]]
    assert seen == [("minilm_cosine", 2, 3), ("minilm_cosine", 3, 3)]
    assert rows[0] == rows[2]


def test_no_items_give_no_rows():
    assert Cosine(Compass()).score([], nothing) == []


def test_with_minilm_it_is_the_product_of_two_embeddings(minilm):
    pairs = [("Marla Quist", "Quist"), ("the old mill", "Harrow works"), ("東京", "Tokyo"), ("blue", "blue")]
    rows = Cosine(minilm).score([item(*pair) for pair in pairs], nothing)
    expected = [float(minilm.embed([one])[0] @ minilm.embed([other])[0]) for one, other in pairs]
    assert [row["minilm_cosine"] for row in rows] == pytest.approx(expected, abs=2e-6)
    assert rows[3]["minilm_cosine"] == pytest.approx(1, abs=1e-6)
    assert rows[0]["minilm_cosine"] > rows[1]["minilm_cosine"]


def test_metric_uses_minilm_whatever_bertscore_uses_and_says_so(minilm):
    made = cosine_metric("roberta-large")
    assert made.scorers == {"minilm_cosine": f"minilm sha256:{minilm.sha256[:16]}"}
