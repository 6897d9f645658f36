"""The bench of caches that are not exact: every way beside the exact one, with what changing a document costs."""

from __future__ import annotations

from typing import Any

import pytest

from experiments.benches.kv_quality import run
from experiments.benches.tables import kv_quality_table

METHODS = ["kvzip", "expected-attention", "snapkv", "streaming"]
WAYS = ["exact", "composed", "composed, recompute=1", "kv_bits=8", "kv_bits=4",
        *(f"prune={method}, keep=0.5" for method in METHODS)]  # fmt: skip


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    return run(model="random:tiny", styles=["hotpotqa", "triviaqa"], draws=1, questions=1, recompute=[1.0], keep=[0.5])


def test_every_way_answers_the_same_questions_of_each_style(figures: dict[str, Any]) -> None:
    assert [(row["style"], row["way"]) for row in figures["rows"]] == [
        (style, way) for style in ("hotpotqa", "triviaqa") for way in WAYS
    ]
    for style in ("hotpotqa", "triviaqa"):
        assert len({(row["questions"], row["tokens"]) for row in figures["rows"] if row["style"] == style}) == 1


def test_exact_cache_agrees_with_wholly_recomputed_one(figures: dict[str, Any]) -> None:
    rates = {way: [row["agreement"] for row in figures["rows"] if row["way"] == way] for way in WAYS}
    assert rates["exact"] == [1.0, 1.0]
    assert min(rates["composed, recompute=1"]) > max(rates["composed"])


def test_changed_document_costs_itself_only_when_composed(figures: dict[str, Any]) -> None:
    by_way = {row["way"]: row for row in figures["rows"] if row["style"] == "hotpotqa"}
    exact, composed = by_way["exact"], by_way["composed"]
    assert exact["documents"] == 8
    assert 0 < composed["change_tokens"] < exact["change_tokens"] / 3
    assert by_way["kv_bits=8"]["change_tokens"] is None
    assert by_way["prune=kvzip, keep=0.5"]["bytes"] < exact["bytes"]
    assert by_way["kv_bits=4"]["bytes"] < by_way["kv_bits=8"]["bytes"] < exact["bytes"]


def test_the_table_has_a_row_for_each(figures: dict[str, Any]) -> None:
    table = kv_quality_table(figures)
    assert [row[1] for row in table.rows] == WAYS * 2
    assert {len(row) for row in table.rows} == {len(table.columns)}
