"""The embedded handbook: every question is answered by its evidence, and every draw is of use."""

import json
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from corpora_files import cited, draw

import rmtbench
from rmtbench.core import Draw
from rmtbench.corpora.base import DrawRequest
from rmtbench.corpora.open import open_dataset
from rmtbench.models.load import load_token_counter

HANDBOOK = Path(rmtbench.__file__).parent / "assets" / "handbook"
QUESTIONS = [json.loads(line) for line in (HANDBOOK / "questions.jsonl").read_text(encoding="utf-8").splitlines()]
FILES = {
    path.relative_to(HANDBOOK / "documents").as_posix(): path.read_text(encoding="utf-8")
    for path in (HANDBOOK / "documents").rglob("*.md")
}
TEXTS = {name: text.partition("\n")[2].strip() for name, text in FILES.items()}
ANSWERED = [row for row in QUESTIONS if row["kind"] != "unknown"]
UNKNOWN = [row for row in QUESTIONS if row["kind"] == "unknown"]
EXTRACTIVE = [row for row in ANSWERED if row["kind"] != "comparison"]
KINDS = {"single": 112, "number": 109, "negation": 52, "unknown": 48, "bridge": 42, "comparison": 42, "date": 33}
TOKENS_A_WORD = 1.45
"""SmolLM2's tokenizer makes 23,462 tokens of the corpus, 1.44 for each word."""


def by_id(row: dict) -> str:
    return row["id"]


def quoted(row: dict) -> str:
    return " ".join(fact["text"] for fact in row["evidence"]).lower()


@cache
def drawn(size: str, seed: int) -> Draw:
    def count(texts: list[str]) -> list[int]:
        return [round(TOKENS_A_WORD * len(text.split())) for text in texts]

    return open_dataset("handbook", None, {}).draw(DrawRequest(size, 0, seed), count)


def test_sixty_documents_are_as_long_as_documents_are() -> None:
    tokens = {name: TOKENS_A_WORD * len(text.split()) for name, text in FILES.items()}
    assert len(tokens) == 60
    assert 21_000 <= sum(tokens.values()) <= 27_000
    assert min(tokens.values()) >= 150
    assert max(tokens.values()) <= 900


def test_the_mini_tokenizer_counts_more_than_a_small_corpus() -> None:
    assert sum(load_token_counter("mini", None)(list(FILES.values()))) > 21_000


def test_every_document_begins_with_a_title_of_its_own() -> None:
    titles = {text.partition("\n")[0] for text in FILES.values()}
    assert len(titles) == len(FILES)
    assert all(title.startswith("# ") for title in titles)


def test_the_kinds_of_questions_are_those_of_the_card() -> None:
    assert Counter(row["kind"] for row in QUESTIONS) == KINDS
    card = (HANDBOOK / "README.md").read_text(encoding="utf-8")
    assert all(f"| `{kind}` | {count} |" in card for kind, count in KINDS.items())
    assert f"{len(FILES)} documents" in card
    assert f"{len(QUESTIONS)} questions" in card


def test_ids_are_unique_and_every_document_is_asked_about() -> None:
    assert len({row["id"] for row in QUESTIONS}) == len(QUESTIONS)
    assert len({row["question"].lower() for row in QUESTIONS}) == len(QUESTIONS)
    assert {fact["document"] for row in ANSWERED for fact in row["evidence"]} == set(FILES)


def test_each_question_has_two_distinct_references() -> None:
    assert all(2 <= len(set(row["answers"])) == len(row["answers"]) <= 4 for row in QUESTIONS)


@pytest.mark.parametrize("row", ANSWERED, ids=by_id)
def test_evidence_is_in_its_document_exactly_once(row: dict) -> None:
    assert row["evidence"]
    for fact in row["evidence"]:
        assert TEXTS[fact["document"]].count(fact["text"]) == 1, fact


@pytest.mark.parametrize("row", EXTRACTIVE, ids=by_id)
def test_a_reference_is_in_the_evidence_or_listed_as_not_literal(row: dict) -> None:
    absent = [answer for answer in row["answers"] if answer.lower() not in quoted(row)]
    assert absent == row.get("not_literal", [])
    assert row["answers"][0] not in absent


@pytest.mark.parametrize("row", [row for row in QUESTIONS if row["kind"] == "comparison"], ids=by_id)
def test_answer_of_a_comparison_is_named_in_question_or_evidence(row: dict) -> None:
    assert any(answer.lower() in f"{row['question'].lower()} {quoted(row)}" for answer in row["answers"])


@pytest.mark.parametrize("row", [row for row in QUESTIONS if row["kind"] == "bridge"], ids=by_id)
def test_a_bridge_question_needs_two_documents(row: dict) -> None:
    assert len({fact["document"] for fact in row["evidence"]}) == 2


def test_comparisons_are_within_one_document_and_across_two() -> None:
    comparisons = [row for row in QUESTIONS if row["kind"] == "comparison"]
    documents = Counter(len({fact["document"] for fact in row["evidence"]}) for row in comparisons)
    assert set(documents) == {1, 2}
    assert min(documents.values()) >= 10


OFFERED = {"h050", "h123"}
"""Questions that are no comparisons and offer two answers all the same: one is right and the other is not."""


def test_no_answer_is_in_its_question_unless_question_offers_it() -> None:
    words = {row["id"]: rf"\b{re.escape(row['answers'][0])}\b" for row in EXTRACTIVE}
    given = {row["id"] for row in EXTRACTIVE if re.search(words[row["id"]], row["question"], re.IGNORECASE)}
    assert given == OFFERED


@pytest.mark.parametrize("row", UNKNOWN, ids=by_id)
def test_a_question_without_an_answer_is_about_a_document(row: dict) -> None:
    assert row["answers"] == ["unknown", "not known", "not stated"]
    assert "evidence" not in row
    assert row["about"]
    assert set(row["about"]) <= set(FILES)


@pytest.mark.parametrize("size", ["2k", "4k", "8k"])
@pytest.mark.parametrize("seed", range(9))
def test_draw_has_enough_questions_all_about_its_documents(size: str, seed: int) -> None:
    made = drawn(size, seed)
    there = {document.id for document in made.corpus.documents}
    rows = {row["id"]: row for row in QUESTIONS}
    assert len(made.corpus.questions) >= 10
    for question in made.corpus.questions:
        row = rows[question.id]
        assert {*row.get("about", ()), *(fact["document"] for fact in row.get("evidence", ()))} <= there


@pytest.mark.parametrize("size", ["4k", "8k"])
def test_draws_hold_two_document_and_unanswerable_questions(size: str) -> None:
    for seed in range(9):
        kinds = Counter(question.kind for question in drawn(size, seed).corpus.questions)
        assert kinds["unknown"] >= 1
        assert kinds["bridge"] + kinds["comparison"] >= 1
    assert all(sum(q.kind == "bridge" for q in drawn(size, seed).corpus.questions) for seed in range(9))


def test_draw_is_reproducible_and_another_seed_differs() -> None:
    first = drawn("4k", 0)
    drawn.cache_clear()
    again, other = drawn("4k", 0), drawn("4k", 1)
    assert again == first
    assert again.corpus.sha256 == first.corpus.sha256 != other.corpus.sha256


def test_whole_is_every_document_and_question() -> None:
    made = draw(open_dataset("handbook", None, {}), "all")
    assert (len(made.corpus.documents), len(made.corpus.questions)) == (60, 438)
    written = {row["id"]: [[fact["text"]] for fact in row.get("evidence", ())] for row in QUESTIONS}
    assert cited(made) == written
