"""The embedded sample: small, ours, and true to its own layout."""

import json
from collections import Counter
from pathlib import Path

import pytest

import rmtbench

SAMPLE = Path(rmtbench.__file__).parent / "assets" / "sample"
QUESTIONS = [json.loads(line) for line in (SAMPLE / "questions.jsonl").read_text(encoding="utf-8").splitlines()]
TEXTS = {path.name: path.read_text(encoding="utf-8").partition("\n")[2] for path in (SAMPLE / "documents").glob("*.md")}


def test_ten_documents_hold_four_to_five_thousand_words() -> None:
    assert len(TEXTS) == 10
    assert 4_000 <= sum(len(text.split()) for text in TEXTS.values()) <= 5_000


def test_every_document_begins_with_its_own_title() -> None:
    titles = {path.read_text(encoding="utf-8").partition("\n")[0] for path in (SAMPLE / "documents").glob("*.md")}
    assert len(titles) == 10
    assert all(title.startswith("# ") for title in titles)


def test_at_least_24_questions_have_ids_of_their_own() -> None:
    assert len({row["id"] for row in QUESTIONS}) == len(QUESTIONS) >= 24
    assert len({row["question"] for row in QUESTIONS}) == len(QUESTIONS)


def test_there_are_four_kinds_of_questions_and_several_of_each() -> None:
    counts = Counter(row["kind"] for row in QUESTIONS)
    assert set(counts) == {"single", "bridge", "comparison", "yes/no"}
    assert min(counts.values()) >= 4


@pytest.mark.parametrize("row", QUESTIONS, ids=lambda row: row["id"])
def test_evidence_stands_verbatim_and_once_in_the_document_it_names(row: dict) -> None:
    assert row["evidence"]
    for fact in row["evidence"]:
        assert TEXTS[fact["document"]].count(fact["text"]) == 1, fact


@pytest.mark.parametrize("row", [row for row in QUESTIONS if row["kind"] == "bridge"], ids=lambda row: row["id"])
def test_a_bridge_question_needs_two_documents(row: dict) -> None:
    assert len({fact["document"] for fact in row["evidence"]}) >= 2


@pytest.mark.parametrize(
    "row", [row for row in QUESTIONS if row["kind"] in {"single", "bridge"}], ids=lambda row: row["id"]
)
def test_an_answer_that_is_not_yes_or_no_stands_in_its_evidence(row: dict) -> None:
    evidence = " ".join(fact["text"] for fact in row["evidence"]).lower()
    assert any(answer.lower() in evidence for answer in row["answers"])


def test_yes_no_questions_are_answered_both_ways() -> None:
    assert {answer for row in QUESTIONS if row["kind"] == "yes/no" for answer in row["answers"]} == {"yes", "no"}
