"""HotpotQA: rows of paragraphs, sentences as they were cut, supporting sentences found to the character."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from corpora_files import check_same_draws_again, cited, draw, refusal, tokens, write_json

from rmtbench.corpora.base import Dataset
from rmtbench.corpora.open import open_dataset

BREAKWATER = ["Breakwater", ["It was opened in 1903.", " Isolde Wren designed it.", " (It leaks.)"]]
WREN = ["Isolde Wren", ["Isolde Wren was born in Hollin."]]


def row(identity: str, context: Sequence[list], facts: Sequence[list] = (), answer: str = "Hollin", **more) -> dict:
    return {
        "_id": identity,
        "question": f" What about {identity}? ",
        "answer": answer,
        "type": "bridge",
        "level": "hard",
        "supporting_facts": list(facts),
        "context": list(context),
        **more,
    }


def opened(folder: Path, rows: Sequence[dict]) -> Dataset:
    return open_dataset("hotpotqa", write_json(folder / "hotpot_dev_distractor_v1.json", rows), {})


def sixteen(folder: Path, *rows: dict) -> Dataset:
    """The rows, and as many others as make up a `small` draw, which then holds them all."""
    others = [row(f"o{number}", [[f"Other {number}", ["Nothing."]]]) for number in range(16 - len(rows))]
    return opened(folder, [*rows, *others])


def many(rows: int) -> list[dict]:
    return [
        row(f"h{number}", [[f"T{number}.{place}", [f"First of {number}.", " Second."]] for place in range(10)])
        for number in range(rows)
    ]


def test_sentences_are_joined_with_nothing_between_them(tmp_path: Path) -> None:
    odd = ["Odd", ["No space", "here.", "\u00a0There.", ""]]
    made = draw(opened(tmp_path, [row("h", [BREAKWATER, odd])]), "smoke")
    assert {document.title: document.text for document in made.corpus.documents} == {
        "Breakwater": "It was opened in 1903. Isolde Wren designed it. (It leaks.)",
        "Odd": "No spacehere.\u00a0There.",
    }


def test_evidence_is_each_supporting_sentence_once(tmp_path: Path) -> None:
    facts = [["Breakwater", 1], ["Isolde Wren", 0], ["Breakwater", 1], ["Breakwater", 2]]
    made = draw(opened(tmp_path, [row("h", [BREAKWATER, WREN], facts)]), "smoke")
    assert cited(made) == {"h": [["Isolde Wren designed it."], ["Isolde Wren was born in Hollin."], ["(It leaks.)"]]}


@pytest.mark.parametrize(
    "fact", [["Breakwater", 3], ["Breakwater", 900], ["Breakwater", -1], ["Nobody", 0], ["Gap", 1]]
)
def test_supporting_fact_without_sentence_is_counted(tmp_path: Path, fact: list) -> None:
    gap = ["Gap", ["Before.", " ", " After."]]
    dataset = opened(tmp_path, [row("h", [BREAKWATER, WREN, gap], [fact, ["Isolde Wren", 0]])])
    assert cited(draw(dataset, "smoke")) == {"h": [["Isolde Wren was born in Hollin."]]}
    assert dataset.facts().notes["supporting facts without a sentence"] == 1


@pytest.mark.parametrize("paragraphs", [2, 4, 5, 10])
def test_a_row_may_have_few_paragraphs(tmp_path: Path, paragraphs: int) -> None:
    context = [BREAKWATER, *([f"T{number}", ["Text."]] for number in range(1, paragraphs))]
    dataset = opened(tmp_path, [row("h", context, [["Breakwater", 0]])])
    assert len(draw(dataset, "smoke").corpus.documents) == paragraphs
    assert dataset.facts().notes["rows with other than ten paragraphs"] == (paragraphs != 10)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [("yes", "yes/no"), ("no", "yes/no"), ("Yes", "yes/no"), ("No. 9", "comparison"), ("Norway", "comparison")],
)
def test_yes_and_no_are_a_kind_of_their_own(tmp_path: Path, answer: str, kind: str) -> None:
    dataset = opened(tmp_path, [row("h", [BREAKWATER], answer=answer, type="comparison")])
    assert [(one.text, one.kind) for one in draw(dataset, "smoke").corpus.questions] == [("What about h?", kind)]
    assert dataset.facts().notes["yes/no answers"] == (kind == "yes/no")


def test_a_row_may_lack_its_type(tmp_path: Path) -> None:
    plain = row("h", [BREAKWATER])
    del plain["type"]
    assert draw(opened(tmp_path, [plain]), "smoke").corpus.questions[0].kind == ""


def test_answer_that_is_not_in_context_is_asked_for_and_counted(tmp_path: Path) -> None:
    rows = [
        row("literal", [BREAKWATER], answer="1903"),
        row("across", [BREAKWATER], answer="1903. Isolde"),
        row("other", [BREAKWATER], answer=" nineteen hundred and three "),
        row("yes", [BREAKWATER], answer="yes"),
    ]
    dataset = sixteen(tmp_path, *rows, *(row(f"n{number}", [WREN]) for number in range(12)))
    references = {gold.question_id: gold.references for gold in draw(dataset, "small").gold}
    assert references["other"] == ("nineteen hundred and three",)
    assert dataset.facts().notes["answers not literally in the context"] == 1


def test_shared_paragraph_is_kept_once_as_evidence_for_each(tmp_path: Path) -> None:
    one = row("one", [BREAKWATER, WREN], [["Breakwater", 0]])
    two = row("two", [WREN, BREAKWATER], [["Breakwater", 1]])
    dataset = sixteen(tmp_path, one, two)
    made = draw(dataset, "small")
    ids = [document.id for document in made.corpus.documents]
    assert len(ids) == 2 + 14
    assert {"Breakwater", "Isolde Wren"} <= set(ids)
    assert {"one": [["It was opened in 1903."]], "two": [["Isolde Wren designed it."]]}.items() <= cited(made).items()
    facts = dataset.facts()
    assert (facts.documents, facts.questions, facts.notes["duplicate paragraphs"]) == (16, 16, 2)


def test_same_title_with_other_text_is_kept_apart(tmp_path: Path) -> None:
    one = row("one", [BREAKWATER], [["Breakwater", 0]])
    two = row("two", [["Breakwater", ["Another one."]]], [["Breakwater", 0]])
    made = draw(sixteen(tmp_path, one, two), "small")
    namesakes = [document for document in made.corpus.documents if document.title == "Breakwater"]
    assert {document.id for document in namesakes} == {"Breakwater", "Breakwater (2)"}
    assert {"one": [["It was opened in 1903."]], "two": [["Another one."]]}.items() <= cited(made).items()


def test_rows_of_one_id_are_refused_and_not_dropped(tmp_path: Path) -> None:
    rows = [row("a", [BREAKWATER]), row("a", [WREN])]
    told = ("", "question id 'a' stands twice", "make the ids unique")
    assert refusal(lambda: opened(tmp_path, rows), tmp_path / "hotpot_dev_distractor_v1.json") == told


def test_an_empty_paragraph_is_no_document(tmp_path: Path) -> None:
    made = draw(opened(tmp_path, [row("h", [BREAKWATER, ["Empty", []], ["Blank", [" ", ""]]])]), "smoke")
    assert [document.title for document in made.corpus.documents] == ["Breakwater"]


@pytest.mark.parametrize(("size", "count"), [("smoke", 1), ("small", 16), ("medium", 32), ("large", 64)])
def test_size_is_number_of_rows_with_all_paragraphs(tmp_path: Path, size: str, count: int) -> None:
    made = draw(opened(tmp_path, many(70)), size)
    asked = [question.id for question in made.corpus.questions]
    assert len(asked) == len(set(asked)) == count
    assert {document.title for document in made.corpus.documents} == {
        f"T{identity[1:]}.{place}" for identity in asked for place in range(10)
    }
    rows_in_order = [int(document.title[1:].split(".")[0]) for document in made.corpus.documents]
    assert count == 1 or rows_in_order != [int(identity[1:]) for identity in asked for _ in range(10)], "mixed"


def test_fewer_questions_leave_the_documents_as_they_are(tmp_path: Path) -> None:
    dataset = opened(tmp_path, many(20))
    whole, cut = draw(dataset, "small"), draw(dataset, "small", questions=5)
    assert cut.corpus.documents == whole.corpus.documents
    assert cut.corpus.questions == whole.corpus.questions[:5]


def test_too_few_rows_are_told_with_the_sizes_that_fit(tmp_path: Path) -> None:
    dataset = opened(tmp_path, many(31))
    assert refusal(lambda: draw(dataset, "medium"), Path("hotpot_dev_distractor_v1.json")) == (
        "",
        "size 'medium' needs 32 rows; there are 31",
        "use more data, or --size smoke or small",
    )


def test_a_draw_is_the_same_every_time_and_other_draws_differ(tmp_path: Path) -> None:
    check_same_draws_again(lambda: opened(tmp_path, many(40)), "small")


@pytest.mark.real
def test_real_rows_have_the_quirks_they_are_known_for(real_data: Path) -> None:
    facts = open_dataset("hotpotqa", real_data / "hotpotqa" / "hotpot_subset_distractor.json", {}).facts()
    assert facts.questions == 200
    assert 1_900 < facts.documents < 2_000
    assert facts.notes["duplicate paragraphs"] > 0
    assert 0 < facts.notes["rows with other than ten paragraphs"] < 5
    assert 10 <= facts.notes["yes/no answers"] <= 20, "about 7.5 %"
    assert facts.notes["answers not literally in the context"] <= 16, "about 4 % in the whole set"
    assert facts.notes["supporting facts without a sentence"] == 0


@pytest.mark.real
@pytest.mark.parametrize("number", range(3))
def test_real_draws_hold_whole_rows_and_exact_sentences(real_data: Path, number: int) -> None:
    path = real_data / "hotpotqa" / "hotpot_subset_distractor.json"
    rows = {row["_id"]: row for row in json.loads(path.read_text(encoding="utf-8"))}
    dataset = open_dataset("hotpotqa", path, {})
    for size, count in {"smoke": 1, "small": 16, "medium": 32, "large": 64}.items():
        made = draw(dataset, size, number)
        assert len(made.corpus.questions) == count
        texts = {(document.title, document.text) for document in made.corpus.documents}
        assert len(texts) == len(made.corpus.documents)
        assert texts == {
            (title, "".join(sentences))
            for question in made.corpus.questions
            for title, sentences in rows[question.id]["context"]
        }
        for identity, facts in cited(made).items():
            sentences = dict(rows[identity]["context"])
            wanted = [sentences[title][place].strip() for title, place in rows[identity]["supporting_facts"]]
            assert facts == [[sentence] for sentence in wanted]
        assert 600 * count < tokens(made) < 1_500 * count, "about 1.34k tokens a row, 1k words"
