"""What a scorer's vocabulary does not know has no score, in place of one that is the same for any answer."""

from __future__ import annotations

import pytest
from transformers import AutoTokenizer

from rmtbench.core import Answer, Gold
from rmtbench.models.embed_files import model_folder
from rmtbench.scoring.base import Item
from rmtbench.scoring.kinds import find_metric
from rmtbench.scoring.vocabulary import unknown_texts


def score(metric: str, *pairs: tuple[str, ...]) -> list[dict[str, float | None]]:
    """A metric's values of answers, each with its references."""
    items = [Item("squad", Answer("q", text, "eos"), Gold("q", tuple(others)), False) for text, *others in pairs]
    return find_metric(metric).make("minilm").score(items, lambda *_step: None)


def test_a_text_is_unknown_where_most_of_its_tokens_are() -> None:
    tokenizer = AutoTokenizer.from_pretrained(model_folder("minilm"))
    known = ["", " ", "Paris", "🙂 or so", "🙂 smile", "word " * 600]
    unknown = ["🙂", "🙂 🙃 smile", "x" * 150]
    assert unknown_texts(tokenizer, known + unknown) == set(unknown)
    assert unknown_texts(tokenizer, []) == set()


@pytest.mark.parametrize(("metric", "value"), [("minilm_cosine", "minilm_cosine"), ("bertscore", "bertscore_f1")])
def test_an_unknown_answer_or_reference_has_no_score(metric: str, value: str) -> None:
    rows = score(metric, ("🙂", "🙃"), ("🙂", "Paris"), ("Paris", "🙃"), ("", "🙃"), ("Paris", "Paris"))
    assert [row[value] for row in rows[:4]] == [None, None, None, 0]
    assert rows[4][value] == pytest.approx(1, abs=1e-5)


def test_bertscore_looks_at_the_references_that_are_known() -> None:
    alone, beside = score("bertscore", ("Rome", "Paris"), ("Rome", "🙃", "Paris"))
    assert alone == beside


@pytest.mark.parametrize("metric", ["minilm_cosine", "bertscore"])
def test_scores_of_english_do_not_change_beside_unknown_texts(metric: str) -> None:
    pairs = [("the blue mill", "a mill"), ("Orle", "the river Orle")]
    for row, alone in zip(score(metric, *pairs, ("🙂", "🙂")), score(metric, *pairs), strict=False):
        assert row == pytest.approx(alone, abs=1e-6)
