"""EM and F1 for text in any script: what a reader takes for the same answer is the same answer."""

from __future__ import annotations

import pytest

from rmtbench.core import Answer, Gold
from rmtbench.scoring.any_script import METRIC, exact_match, token_f1, tokens
from rmtbench.scoring.base import Item


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("王伟。", "王伟"),
        ("王 伟", "王伟"),
        ("“São Paulo”", "sa\u0303o paulo"),
        ("ＡＢＣ１２", "abc12"),
        ("¿Qué?", "qué"),
        ("STRASSE", "straße"),
        ("ΟΔΟΣ", "οδος"),
        ("the 5 °C", "5 C"),
        ("a\nmill", "mill"),
    ],
)
def test_the_same_answer_in_another_spelling_is_right(answer: str, reference: str) -> None:
    assert exact_match(answer, [reference]) == token_f1(answer, [reference]) == 1


def test_another_answer_is_wrong() -> None:
    assert exact_match("王芳", ["王伟"]) == 0
    assert exact_match("", ["王伟"]) == token_f1("", ["王伟"]) == 0
    assert exact_match("b", ["a", "b"]) == 1


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("北京大学 1898", ["北", "京", "大", "学", "1898"]),
        ("Q3の売上", ["q3", "の", "売", "上"]),
        ("สวัสดี", ["ส", "วั", "ส", "ดี"]),
        ("New-York, U.S.", ["newyork", "us"]),
        ("한국어 말", ["한국어", "말"]),
    ],
)
def test_scripts_without_spaces_have_a_token_a_character(text: str, parts: list[str]) -> None:
    assert tokens(text) == parts


def test_f1_counts_shared_characters() -> None:
    assert token_f1("北京大学", ["北京"]) == pytest.approx(2 / 3)


def scored(text: str, reference: str, error: str | None = None) -> dict[str, float | None]:
    answer = Answer("q", text, "error" if error else "eos", error=error)
    item = Item("squad", answer, Gold("q", (reference,)), retrieves=False)
    return METRIC.make("minilm").score([item], lambda *_step: None)[0]


def test_the_metric_makes_both_values() -> None:
    assert scored("王伟。", "王伟") == {"em_unicode": 1, "f1_unicode": 1}
    assert scored("王芳", "王伟") == {"em_unicode": 0, "f1_unicode": 0.5}


def test_a_failed_answer_is_wrong_even_beside_an_empty_reference() -> None:
    assert scored("", "。") == {"em_unicode": 1, "f1_unicode": 0}
    assert scored("", "。", error="gone") == {"em_unicode": 0, "f1_unicode": 0}
