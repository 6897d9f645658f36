"""TriviaQA: a budget of evidence documents, and the questions that they can answer."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from corpora_files import check_same_draws_again, cited, draw, refusal, tokens, write, write_json

from rmtbench.corpora.base import Dataset
from rmtbench.corpora.official import TriviaRows
from rmtbench.corpora.open import open_dataset
from rmtbench.corpora.rows import TriviaRow
from rmtbench.corpora.triviaqa import BUDGETS
from rmtbench.normalize import normalize_triviaqa

PETREL = "The Petrel began to run in 1858. It was sold."
FARES = "Fares of the Vessay ferry. The petrel took a shilling."


def answer(*aliases: str, **more) -> dict:
    return {"Aliases": list(aliases), "NormalizedAliases": [normalize_triviaqa(one) for one in aliases], **more}


def row(identity: str, pages: Sequence[str] = (), results: Sequence[str] = (), **more) -> dict:
    return {
        "QuestionId": identity,
        "Question": "Which steamer began to run in 1858?",
        "EntityPages": [{"Filename": name, "Title": Path(name).stem} for name in pages],
        "SearchResults": [{"Filename": name, "Title": Path(name).stem} for name in results],
        "Answer": answer("Petrel"),
        **more,
    }


def without(given: dict, *names: str) -> dict:
    return {name: value for name, value in given.items() if name not in names}


def opened(folder: Path, rows: Sequence[dict], evidence: Mapping[str, str]) -> Dataset:
    for name, text in evidence.items():
        write(folder / "evidence" / name, text)
    (folder / "evidence").mkdir(exist_ok=True)
    return open_dataset("triviaqa", write_json(folder / "qa" / "wikipedia-dev.json", {"Data": rows}), {})


def padded(text: str, total: int) -> str:
    """The text with so many words in all that its document, whose title is one word, counts `total`."""
    return text + " word" * (total - 1 - len(text.split()))


def first_row(folder: Path, given: dict, evidence: Mapping[str, str]) -> TriviaRow:
    opened(folder, [given], evidence)
    return TriviaRows(folder / "qa" / "wikipedia-dev.json", folder / "evidence")[0]


@pytest.mark.parametrize("nothing", [[], None, "absent"])
@pytest.mark.parametrize(
    ("listing", "kept"), [("EntityPages", "web/10/10_1.txt"), ("SearchResults", "wikipedia/Petrel.txt")]
)
def test_either_list_of_evidence_may_be_empty_or_absent(
    tmp_path: Path, listing: str, kept: str, nothing: object
) -> None:
    given = without(row("t", ["Petrel.txt"], ["10/10_1.txt"]), listing)
    given |= {} if nothing == "absent" else {listing: nothing}
    read = first_row(tmp_path, given, {"wikipedia/Petrel.txt": PETREL, "web/10/10_1.txt": FARES})
    assert [document.id for document in read.documents] == [kept]


def test_a_row_without_any_evidence_is_counted_and_never_asked(tmp_path: Path) -> None:
    rows = [without(row("bare"), "EntityPages", "SearchResults"), row("t", ["Petrel.txt"])]
    dataset = opened(tmp_path, rows, {"wikipedia/Petrel.txt": padded(PETREL, 1000)})
    assert dataset.facts().notes["rows without evidence"] == 1
    assert [question.id for question in draw(dataset, "smoke").corpus.questions] == ["t"]


def test_value_type_and_source_may_be_missing(tmp_path: Path) -> None:
    read = first_row(tmp_path, row("t", ["Petrel.txt"]), {"wikipedia/Petrel.txt": PETREL})
    assert not {"Value", "Type", "QuestionSource"} & (row("t") | row("t")["Answer"]).keys()
    assert (read.question, read.references) == ("Which steamer began to run in 1858?", ("Petrel",))


def test_titles_come_from_the_listing_or_else_from_the_file(tmp_path: Path) -> None:
    given = row("t", ["Petrel.txt"]) | {"SearchResults": [{"Filename": "10/10_1.txt", "Title": ""}]}
    read = first_row(tmp_path, given, {"wikipedia/Petrel.txt": PETREL, "web/10/10_1.txt": FARES})
    assert [document.title for document in read.documents] == ["Petrel", "10_1"]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ('Who wrote ""The Wide Road""?', 'Who wrote "The Wide Road"?'),
        (' Who said "no"? ', 'Who said "no"?'),
        ('What is the 5"" rule?', 'What is the 5" rule?'),
    ],
)
def test_doubled_quotes_of_a_question_are_single_again(tmp_path: Path, written: str, read: str) -> None:
    given = row("t", ["Petrel.txt"]) | {"Question": written}
    assert first_row(tmp_path, given, {"wikipedia/Petrel.txt": PETREL}).question == read


@pytest.mark.parametrize(
    ("marks", "graded"),
    [
        ({}, True),
        ({"AliasInEvidence": True, "AliasesComplete": False}, True),
        ({"AliasInEvidence": False, "AliasesComplete": True}, True),
        ({"AliasInEvidence": False, "AliasesComplete": False}, False),
        ({"AliasInEvidence": False}, False),
    ],
)
def test_a_row_is_graded_unless_it_says_itself_that_it_cannot_be(
    tmp_path: Path, marks: Mapping[str, bool], graded: bool
) -> None:
    dataset = opened(tmp_path, [row("t", ["Petrel.txt"], **marks)], {"wikipedia/Petrel.txt": padded(PETREL, 1000)})
    made = draw(dataset, "smoke")
    assert len(made.corpus.documents) == 1, "its evidence is there either way"
    assert len(made.corpus.questions) == graded
    assert dataset.facts().notes["rows marked as not gradable"] == (not graded)


def test_shared_wikipedia_page_stands_once_and_answers_each(tmp_path: Path) -> None:
    rows = [row("t1", ["Petrel.txt"]), row("t2", ["Petrel.txt", "Ferry.txt"], Answer=answer("1858"))]
    evidence = {"wikipedia/Petrel.txt": padded(PETREL, 500), "wikipedia/Ferry.txt": padded("Ferries.", 500)}
    made = draw(opened(tmp_path, rows, evidence), "smoke")
    assert Counter(document.id for document in made.corpus.documents) == Counter(evidence.keys())
    assert cited(made) == {"t1": [["Petrel"]], "t2": [["1858"]]}


def test_web_question_is_asked_once_with_any_of_its_files(tmp_path: Path) -> None:
    # The official evaluator of the Web domain keeps a question's files apart; here they lie in one corpus.
    rows = [row("t", [], ["10/10_1.txt", "10/10_2.txt"]), row("t", [], ["10/10_2.txt", "10/10_3.txt"])]
    evidence = {
        "web/10/10_1.txt": padded(FARES, 400),
        "web/10/10_2.txt": padded(PETREL, 400),
        "web/10/10_3.txt": padded("Nothing about it.", 200),
    }
    made = draw(opened(tmp_path, rows, evidence), "smoke")
    assert [question.id for question in made.corpus.questions] == ["t"]
    assert {document.id for document in made.corpus.documents} == set(evidence)
    [fact] = made.gold[0].evidence
    assert {span.document_id for span in fact} <= {"web/10/10_1.txt", "web/10/10_2.txt"}


def stock(folder: Path) -> Dataset:
    """Evidence of 105k words in documents of very different lengths; every third row's holds no answer."""
    rows, evidence = [], {}
    for number in range(240):
        length = (60, 150, 400, 1_400)[number % 4]
        text = f"Nothing in {number}." if number % 3 == 0 else PETREL
        evidence[f"wikipedia/P{number}.txt"] = padded(text, length)
        evidence[f"web/{number}/1.txt"] = padded("Nothing either.", 50)
        rows.append(row(f"t{number}", [f"P{number}.txt"], [f"{number}/1.txt"]))
    evidence["wikipedia/Huge.txt"] = padded(PETREL, 90_000)
    return opened(folder, [*rows, row("huge", ["Huge.txt"])], evidence)


@pytest.mark.parametrize(
    ("size", "budget"), [("smoke", 1_000), ("small", 21_000), ("medium", 43_000), ("large", 85_000)]
)
def test_a_size_is_a_token_budget_met_within_two_percent(tmp_path: Path, size: str, budget: int) -> None:
    dataset = stock(tmp_path)
    for number in range(3):
        made = draw(dataset, size, number)
        assert budget * 0.98 <= tokens(made) <= budget * 1.02
        there = {document.id for document in made.corpus.documents}
        assert "wikipedia/Huge.txt" not in there, "what does not fit is passed over"
        for question in made.corpus.questions:
            assert f"wikipedia/P{question.id[1:]}.txt" in there
            assert int(question.id[1:]) % 3 != 0, "its evidence holds no answer"
        assert {spans[0][0] for spans in cited(made).values()} <= {"Petrel"}


def test_fewer_questions_leave_the_documents_as_they_are(tmp_path: Path) -> None:
    dataset = stock(tmp_path)
    whole, cut = draw(dataset, "small"), draw(dataset, "small", questions=2)
    assert cut.corpus.documents == whole.corpus.documents
    assert cut.corpus.questions == whole.corpus.questions[:2]


def test_a_draw_is_the_same_every_time_and_other_draws_differ(tmp_path: Path) -> None:
    stock(tmp_path)
    check_same_draws_again(lambda: open_dataset("triviaqa", tmp_path, {}), "small")


@pytest.mark.parametrize(
    ("lengths", "there", "remedy"),
    [
        ([500, 500, 500], "1,500", "use more data, or --size smoke"),
        ([1_100, 1_100], "2,200", "use more data: no size fits"),  # each is too long for smoke
    ],
)
def test_too_little_evidence_is_told_with_sizes_that_it_fills(
    tmp_path: Path, lengths: list[int], there: str, remedy: str
) -> None:
    rows = [row(f"t{number}", [f"P{number}.txt"]) for number in range(len(lengths))]
    evidence = {f"wikipedia/P{number}.txt": padded(PETREL, length) for number, length in enumerate(lengths)}
    dataset = opened(tmp_path, rows, evidence)
    what = f"size 'small' needs 21,000 tokens of fitting evidence; there are {there}"
    assert refusal(lambda: draw(dataset, "small"), Path("wikipedia-dev.json")) == ("", what, remedy)


def test_some_evidence_may_be_missing_or_blank_and_is_counted(tmp_path: Path) -> None:
    given = row("t", ["Petrel.txt", "Gone.txt", "Blank.txt"])
    dataset = opened(tmp_path, [given], {"wikipedia/Petrel.txt": PETREL, "wikipedia/Blank.txt": " \n"})
    facts = dataset.facts()
    assert (facts.documents, facts.notes["evidence files missing"]) == (1, 1)


@pytest.mark.real
def test_real_longbench_rows_draw_at_every_size(real_data: Path) -> None:
    folder = real_data / "triviaqa" / "longbench"
    top = json.loads((folder / "qa" / "web-longbench.json").read_text(encoding="utf-8"))
    graded = {one["QuestionId"] for one in top["Data"] if one["AliasInEvidence"] or one["AliasesComplete"]}
    dataset = open_dataset("triviaqa", folder, {})
    facts = dataset.facts()
    assert (facts.documents, facts.questions) == (202, 205)
    assert facts.notes["rows marked as not gradable"] == 205 - len(graded) > 0
    assert facts.notes["evidence files missing"] == facts.notes["rows whose evidence holds no answer"] == 0
    for size, budget in BUDGETS.items():
        for number in range(3):
            made = draw(dataset, size, number)
            assert budget * 0.98 <= tokens(made) <= budget * 1.02
            assert {question.id for question in made.corpus.questions} <= graded
            spans = cited(made)
            for gold in made.gold:
                forms = {normalize_triviaqa(reference) for reference in gold.references}
                assert all(
                    any(f" {form} " in f" {normalize_triviaqa(text)} " for form in forms)
                    for text in spans[gold.question_id][0]
                )
            assert size == "smoke" or budget / 3_000 < len(made.gold) < budget / 500


@pytest.mark.real
@pytest.mark.parametrize(
    ("file", "questions", "documents"),
    [("web-dev", 2, 5), ("web-train", 3, 7), ("wikipedia-dev", 2, 3), ("wikipedia-train", 4, 7)],
)
def test_real_full_evidence_is_read_and_holds_every_answer(
    real_data: Path, file: str, questions: int, documents: int
) -> None:
    facts = open_dataset("triviaqa", real_data / "triviaqa" / "allennlp-sample" / "qa" / f"{file}.json", {}).facts()
    assert (facts.questions, facts.documents) == (questions, documents)
    assert set(facts.notes.values()) == {0}
