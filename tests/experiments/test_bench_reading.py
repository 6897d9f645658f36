"""`python -m experiments.benches reading`: what each kind of context holds, and what its rows say."""

from typing import Any

import pytest

from experiments.benches.reading import ORACLE, WITHOUT, run
from experiments.benches.tables import reading_table


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    return run(model="mini", sizes=["smoke", ORACLE, WITHOUT], styles=["squad"], draws=2, questions=4)


@pytest.fixture
def rows(figures: dict[str, Any]) -> dict[str, list[dict[str, object]]]:
    return {size: [row for row in figures["rows"] if row["size"] == size] for size in ("smoke", ORACLE, WITHOUT)}


def test_the_table_has_a_row_a_size_and_a_column_a_kind(figures: dict[str, Any]) -> None:
    table = reading_table(figures)
    assert [row[:2] for row in table.rows] == [("squad", "smoke"), ("squad", ORACLE), ("squad", WITHOUT)]
    assert table.columns == ("style", "size", "tokens", "single", "bridge", "comparison", "yes/no", "unknown")
    single = next(row for row in figures["rows"] if (row["size"], row["kind"]) == (ORACLE, "single"))
    assert table.rows[1][3].startswith(f"{single['em']:.3f}")


def test_an_oracle_reads_few_paragraphs_of_corpus_of_21k_tokens(rows: dict[str, list[dict[str, object]]]) -> None:
    (tokens,) = {row["tokens"] for row in rows[ORACLE]}
    assert 100 < tokens < 600  # type: ignore[operator]


def test_paragraphs_answer_single_facts_and_no_text_none(
    rows: dict[str, list[dict[str, object]]],
) -> None:
    single = {size: next(row["em"] for row in each if row["kind"] == "single") for size, each in rows.items()}
    assert single[WITHOUT] == 0
    assert single["smoke"] > 0.5  # type: ignore[operator]
    assert single[ORACLE] > 0.2  # type: ignore[operator]


def test_a_row_counts_its_questions_and_has_an_error_over_draws(rows: dict[str, list[dict[str, object]]]) -> None:
    for row in [row for each in rows.values() for row in each]:
        assert 0 < row["questions"] <= 8  # type: ignore[operator]
        assert row["standard_error"] is not None
