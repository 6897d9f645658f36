"""A folder of one's own: documents as they lie, questions a line each, evidence in four forms."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from corpora_files import SCHEMA, check_same_draws_again, cited, draw, refusal, tokens, write

from rmtbench.core import Span
from rmtbench.corpora.base import Dataset
from rmtbench.corpora.open import open_dataset
from rmtbench.corpora.own_documents import KINDS
from rmtbench.errors import UserError

DOCUMENTS = {
    "a.md": "# Port Amaret\n\nIt was founded in 1642. It burnt in 1688.\n",
    "deep/grey_pans.txt": "The Grey Pans closed in 1954.\n",
}


def opened(folder: Path, documents: Mapping[str, str | bytes], *lines: object) -> Dataset:
    """Writes the folder and opens it; a line is a row, or the bytes of one."""
    for name, text in documents.items():
        path = write(folder / "documents" / name, "")
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    data = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    (folder / "questions.jsonl").write_bytes(b"\n".join(data))
    return open_dataset(str(folder), None, {})


def asking(**more: object) -> dict:
    return {"question": "When was it founded?", "answers": ["1642"], **more}


def test_document_is_known_by_path_and_titled_by_heading_or_name(tmp_path: Path) -> None:
    documents = DOCUMENTS | {
        "b.md": "## No title\nText.",
        "c.TXT": b"\xef\xbb\xbf# Marked\r\nOne.\r\nTwo.",
        "d.png": "x",
    }
    made = draw(opened(tmp_path, documents, asking()), "all")
    assert {(one.id, one.title, one.text) for one in made.corpus.documents} == {
        ("a.md", "Port Amaret", "It was founded in 1642. It burnt in 1688."),
        ("deep/grey_pans.txt", "grey pans", "The Grey Pans closed in 1954."),
        ("b.md", "b", "## No title\nText."),
        ("c.TXT", "Marked", "One.\nTwo."),
    }


def test_question_has_answers_and_optional_id_and_kind(tmp_path: Path) -> None:
    dataset = opened(
        tmp_path,
        DOCUMENTS,
        b"\xef\xbb\xbf" + json.dumps(asking(answers="1642")).encode(),
        b"",
        {"question": " Who? ", "answer": "nobody", "kind": "single"},
        asking(answers=["1642", " ", "in 1642"], id="mine"),
        asking(id=7),
    )
    made = draw(dataset, "all")
    questions = {one.id: (one.text, one.kind) for one in made.corpus.questions}
    assert {gold.question_id: (*questions[gold.question_id], gold.references) for gold in made.gold} == {
        "q1": ("When was it founded?", "", ("1642",)),
        "q3": ("Who?", "single", ("nobody",)),
        "mine": ("When was it founded?", "", ("1642", "in 1642")),
        "7": ("When was it founded?", "", ("1642",)),
    }
    assert dataset.facts().notes == {"questions without evidence": 4}


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ("deep/grey_pans.txt", "The Grey Pans closed in 1954."),
        ({"document": "deep/grey_pans.txt"}, "The Grey Pans closed in 1954."),
        ({"document": "a.md", "text": "It burnt in 1688."}, "It burnt in 1688."),
        ({"document": "a.md", "start": 18, "end": 22}, "1642"),
    ],
)
def test_evidence_is_a_document_quotation_or_range_of_characters(tmp_path: Path, entry: object, text: str) -> None:
    made = draw(opened(tmp_path, DOCUMENTS, asking(evidence=[entry])), "all")
    assert cited(made) == {"q1": [[text]]}


def test_each_entry_of_evidence_is_a_fact_of_its_own(tmp_path: Path) -> None:
    entries = [{"document": "a.md", "text": "1688"}, "deep/grey_pans.txt"]
    made = draw(opened(tmp_path, DOCUMENTS, asking(evidence=entries)), "all")
    assert made.gold[0].evidence == ((Span("a.md", 36, 40),), (Span("deep/grey_pans.txt", 0, 29),))


def town(folder: Path) -> Dataset:
    """Forty documents of 600 words; each has a question, and one with its neighbour; one question names none."""
    documents = {f"d{number}.md": f"# D{number}\nFact {number}." + " word" * 597 for number in range(40)}
    rows = [asking(id=f"q{number}", evidence=[f"d{number}.md"]) for number in range(40)]
    pairs = [asking(id=f"p{number}", evidence=[f"d{number}.md", f"d{number + 1}.md"]) for number in range(39)]
    return opened(folder, documents, *rows, *pairs, asking(id="open"))


@pytest.mark.parametrize(("size", "budget"), [("smoke", 1_000), ("small", 21_000)])
def test_size_is_budget_and_only_what_documents_answer_is_asked(tmp_path: Path, size: str, budget: int) -> None:
    for number in range(4):
        made = draw(town(tmp_path), size, number)
        there = {document.id.removesuffix(".md") for document in made.corpus.documents}
        assert budget - 600 < tokens(made) <= budget * 1.02
        asked = {question.id for question in made.corpus.questions}
        pairs = {f"p{number}" for number in range(39) if {f"d{number}", f"d{number + 1}"} <= there}
        assert asked == {f"q{name[1:]}" for name in there} | pairs
        assert all(texts[0][0].startswith("Fact ") for texts in cited(made).values())


def test_unanswerable_question_is_asked_with_its_document(tmp_path: Path) -> None:
    documents = {f"d{number}.md": f"Fact {number}." + " word" * 398 for number in range(10)}
    unanswered = [asking(id=f"u{number}", answers="unknown", about=[f"d{number}.md"]) for number in range(10)]
    both = asking(id="both", evidence=["d0.md"], about=["d1.md"])
    dataset = opened(tmp_path, documents, *unanswered, both)
    asked_both = set()
    for number in range(20):
        made = draw(dataset, "2k", number)
        there = {document.id.removesuffix(".md") for document in made.corpus.documents}
        asked = {question.id for question in made.corpus.questions}
        assert len(there) == 5
        assert asked - {"both"} == {f"u{name[1:]}" for name in there}
        assert ("both" in asked) == ({"d0", "d1"} <= there)
        asked_both.add("both" in asked)
    assert asked_both == {True, False}


def test_documents_that_share_a_question_are_drawn_together(tmp_path: Path) -> None:
    documents = {f"d{number}.md": f"Fact {number}." + " word" * 398 for number in range(40)}
    pairs = [asking(id=f"p{n}", evidence=[f"d{n}.md", f"d{n + 1}.md"]) for n in range(0, 40, 2)]
    dataset = opened(tmp_path, documents, *pairs)
    for number in range(20):
        made = draw(dataset, "4k", number)
        assert (len(made.corpus.documents), len(made.corpus.questions)) == (10, 5)


def test_a_document_with_many_partners_is_not_in_every_draw(tmp_path: Path) -> None:
    documents = {f"d{number}.md": f"Fact {number}." + " word" * 398 for number in range(40)}
    chain = [asking(id=f"c{n}", evidence=[f"d{n}.md", f"d{n + 1}.md"]) for n in range(1, 39)]
    star = [asking(id=f"s{n}", evidence=["d0.md", f"d{n}.md"]) for n in range(1, 40)]
    dataset = opened(tmp_path, documents, *chain, *star)
    holding = ["d0.md" in {document.id for document in draw(dataset, "2k", n).corpus.documents} for n in range(40)]
    assert 8 <= sum(holding) <= 32


def test_all_is_every_document_and_every_question(tmp_path: Path) -> None:
    made = draw(town(tmp_path), "all")
    assert (len(made.corpus.documents), len(made.corpus.questions)) == (40, 80)
    assert [document.id for document in made.corpus.documents] != sorted(one.id for one in made.corpus.documents)
    assert len(draw(town(tmp_path), "all", questions=3).corpus.questions) == 3


def test_too_little_text_is_told_with_the_sizes_that_fit(tmp_path: Path) -> None:
    dataset = town(tmp_path)
    assert refusal(lambda: draw(dataset, "medium"), Path(tmp_path.name)) == (
        "",
        "size 'medium' needs 43,000 tokens; there are 24,000",
        "use more data, or --size all or smoke or small",
    )


def test_a_draw_is_the_same_every_time_and_other_draws_differ(tmp_path: Path) -> None:
    town(tmp_path)
    check_same_draws_again(lambda: open_dataset(str(tmp_path), None, {}), "small")


def test_the_hash_covers_names_documents_and_questions(tmp_path: Path) -> None:
    variants = [
        (DOCUMENTS, asking()),
        (DOCUMENTS, asking(answers="1643")),
        (DOCUMENTS | {"a.md": DOCUMENTS["a.md"] + "More."}, asking()),
        ({"b.md": DOCUMENTS["a.md"], "deep/grey_pans.txt": DOCUMENTS["deep/grey_pans.txt"]}, asking()),
    ]
    hashes = [opened(tmp_path / str(number), *one).source.sha256 for number, one in enumerate(variants)]
    assert len(set(hashes)) == len(variants)
    assert opened(tmp_path / "again", *variants[0]).source.sha256 == hashes[0]


ANSWERS = "field 'answers' must be a text or a list of texts"
FIRST = ", line 2, evidence 0"
BAD_ROWS = [
    (
        b'{"question": "Who?"',
        ", line 2, column 20",
        "not JSON: Expecting ',' delimiter",
        "mend the file or download it again",
    ),
    (b'{"question": "Caf\xe9?"}', ", line 2", "not UTF-8 text", "save it as UTF-8"),
    ([], ", line 2", "not an object", SCHEMA),
    ({"answers": "x"}, ", line 2", "field 'question' is missing", SCHEMA),
    (asking(question=" "), ", line 2", "field 'question' is blank", "fill it in or remove the row"),
    ({"question": "Who?"}, ", line 2", "field 'answers' is missing (it has: question)", "see docs/reference/data.md"),
    (asking(answers=[1642]), ", line 2", ANSWERS, "see docs/reference/data.md"),
    (asking(answers=[]), ", line 2", "question without a reference answer", "fill in 'answers'"),
    (asking(answers=["", " "]), ", line 2", "question without a reference answer", "fill in 'answers'"),
    (asking(id=" "), ", line 2", "field 'id' is blank", "fill it in or leave it out"),
    (asking(id="q1"), "", "question id 'q1' stands twice", "make the ids unique"),
    (asking(evidence="a.md"), ", line 2", "field 'evidence' must be a list, not a text", SCHEMA),
    (asking(evidence=["b.md"]), FIRST, "no document 'b.md'", "name a file as it lies under documents/"),
    (
        asking(evidence=["a.md", "A.md"]),
        ", line 2, evidence 1",
        "no document 'A.md'",
        "name a file as it lies under documents/",
    ),
    (asking(about="a.md"), ", line 2", "field 'about' must be a list, not a text", SCHEMA),
    (asking(about=[7]), ", line 2", "field 'about' must be a text, not a whole number", SCHEMA),
    (asking(about=["b.md"]), ", line 2, about 0", "no document 'b.md'", "name a file as it lies under documents/"),
    (asking(evidence=[7]), FIRST, "not an object", SCHEMA),
    (asking(evidence=[{"text": "1642"}]), FIRST, "field 'document' is missing", SCHEMA),
    (
        asking(evidence=[{"document": "a.md", "text": "in 1643"}]),
        FIRST,
        "the text does not stand in that document",
        "copy it verbatim",
    ),
    (asking(evidence=[{"document": "a.md", "start": 3}]), FIRST, "field 'end' is missing", SCHEMA),
    (
        asking(evidence=[{"document": "a.md", "start": 9, "end": 9}]),
        FIRST,
        "9..9 is not within its 41 characters",
        "mend it",
    ),
    (
        asking(evidence=[{"document": "a.md", "start": 0, "end": 42}]),
        FIRST,
        "0..42 is not within its 41 characters",
        "mend it",
    ),
    (asking(evidence=[{"document": "a.md", "end": 9}]), FIRST, "field 'start' is missing", SCHEMA),
    (
        asking(evidence=[{"document": "a.md", "text": "1642", "start": 0, "end": 4}]),
        FIRST,
        "both 'text' and 'start' or 'end'",
        "narrow it down in one way",
    ),
    (asking(id=None), ", line 2", "field 'id' must be a text or a whole number", "mend it or leave it out"),
    (asking(id=True), ", line 2", "field 'id' must be a text or a whole number", "mend it or leave it out"),
    (asking(kind=None), ", line 2", "field 'kind' must be a text, not null", SCHEMA),
    (b'{"question": "a", "question": "b", "answers": "c"}', ", line 2", "key 'question' stands twice", "keep one"),
    (b"[" * 200_000, ", line 2", "nested too deeply", "mend the file"),
    (
        b'{"question": "a", "answers": "b", "id": %b}' % (b"9" * 6000),
        ", line 2",
        "a number is too long",
        "mend the file",
    ),
]


@pytest.mark.parametrize(("line", "where", "what", "remedy"), BAD_ROWS)
def test_a_bad_row_is_told_with_line_and_field(
    tmp_path: Path, line: object, where: str, what: str, remedy: str
) -> None:
    action = lambda: opened(tmp_path, DOCUMENTS, asking(), line)  # noqa: E731 - it is two arguments away from its use
    assert refusal(action, tmp_path / "questions.jsonl") == (where, what, remedy)


@pytest.mark.parametrize(
    ("documents", "lines", "where", "what", "remedy"),
    [
        ({}, [asking()], "documents", "no document", f"put the documents there: {KINDS}"),
        (
            {"a.png": "x"},
            [asking()],
            "documents",
            "no document",
            "it holds 1 file of other kinds, such as a.png: save their text as .txt",
        ),
        ({"a.md": " \n"}, [asking()], "documents/a.md", "the document is empty", "fill it in or remove it"),
        (
            {"a.md": "# Only a title\n"},
            [asking()],
            "documents/a.md",
            "the document is empty",
            "fill it in or remove it",
        ),
        ({"a.md": b"Caf\xe9"}, [asking()], "documents/a.md, line 1", "not UTF-8 text", "save it as UTF-8"),
        (DOCUMENTS, [b" ", b""], "questions.jsonl", "no questions", "write one JSON object a line: question, answers"),
    ],
)
def test_a_folder_that_lacks_something_is_told_with_the_file(
    tmp_path: Path, documents: dict, lines: list, where: str, what: str, remedy: str
) -> None:
    assert refusal(lambda: opened(tmp_path, documents, *lines), tmp_path / where) == ("", what, remedy)


def test_evidence_is_found_whichever_way_its_name_spells_accents(tmp_path: Path) -> None:
    composed, apart = "caf\u00e9.md", "cafe\u0301.md"
    for number, (name, said) in enumerate([(composed, apart), (apart, composed)]):
        made = draw(opened(tmp_path / str(number), {name: "It opened in 1642."}, asking(evidence=[said])), "all")
        assert cited(made) == {"q1": [["It opened in 1642."]]}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["Unix", "Windows", "old Mac"])
def test_any_line_end_gives_the_same_folder(tmp_path: Path, end: str) -> None:
    text = end.join(["# Port Amaret", "It was founded in 1642.", "It burnt in 1688."])
    rows = end.join([json.dumps(asking(evidence=["a.md"])), "", json.dumps(asking(answers="1688"))])
    folder = tmp_path / "own"
    opened(folder, {"a.md": text.encode()}, rows.encode())
    made = draw(open_dataset(str(folder), None, {}), "all")
    [document] = made.corpus.documents
    assert (document.title, document.text) == ("Port Amaret", "It was founded in 1642.\nIt burnt in 1688.")
    assert {question.id for question in made.corpus.questions} == {"q1", "q3"}


def test_a_name_that_is_not_utf_8_is_told(tmp_path: Path) -> None:
    opened(tmp_path, DOCUMENTS, asking())
    (tmp_path / "documents" / os.fsdecode(b"caf\xe9.md")).write_text("Text.")
    with pytest.raises(UserError) as caught:
        open_dataset(str(tmp_path), None, {})
    assert (caught.value.what, caught.value.remedy) == ("the file's name is not UTF-8", "give it another name")
    assert caught.value.where == f"{tmp_path}/documents/caf\ufffd.md"


def test_missing_questions_are_told(tmp_path: Path) -> None:
    write(tmp_path / "documents" / "a.md", "Text.")
    remedy = "write one JSON object a line: question, answers; or questions.csv with columns question, answer"
    assert refusal(lambda: open_dataset(str(tmp_path), None, {}), tmp_path / "questions.jsonl") == (
        "",
        "missing",
        remedy,
    )


def test_a_file_of_questions_by_another_name_is_named(tmp_path: Path) -> None:
    write(tmp_path / "documents" / "a.md", "Text.")
    write(tmp_path / "Questions.json", "[]")
    with pytest.raises(UserError, match=r"questions\.jsonl: missing \(there is Questions\.json\)"):
        open_dataset(str(tmp_path), None, {})


def test_a_quote_with_the_files_own_ends_of_lines_is_found(tmp_path: Path) -> None:
    quote = {"document": "c.md", "text": "One.\r\nTwo."}
    made = draw(opened(tmp_path, {"c.md": b"# C\r\nOne.\r\nTwo.\r\n"}, asking(evidence=[quote])), "all")
    assert made.gold[0].evidence == ((Span("c.md", 0, 9),),)


def refused(folder: Path) -> tuple[str, str, str]:
    """Where (below the folder), what and remedy."""
    return refusal(lambda: open_dataset(str(folder), None, {}), folder)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_questions_may_stand_in_a_table_as_spreadsheets_write_it(tmp_path: Path, separator: str) -> None:
    opened(tmp_path, DOCUMENTS, asking())
    (tmp_path / "questions.jsonl").unlink()
    lines = [
        ("Question", "answer", "answers", "document"),
        ("When?", "1642", "", "a.md"),
        ("", "", "", ""),
        ('"Who, when; and ""why""?"', "", "in 1642 | 1642", ""),
    ]
    text = "\r\n".join(separator.join(cells) for cells in lines)
    (tmp_path / "questions.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    made = draw(open_dataset(str(tmp_path), None, {}), "all")
    texts = {question.id: question.text for question in made.corpus.questions}
    assert {gold.question_id: (texts[gold.question_id], gold.references) for gold in made.gold} == {
        "q2": ("When?", ("1642",)),
        "q4": ('Who, when; and "why"?', ("in 1642", "1642")),
    }
    assert cited(made) == {"q2": [["It was founded in 1642. It burnt in 1688."]], "q4": []}


def test_a_table_names_the_topic_of_an_unanswered_question(tmp_path: Path) -> None:
    documents = {f"d{number}.md": f"Fact {number}." + " word" * 398 for number in range(10)}
    opened(tmp_path, documents, asking())
    (tmp_path / "questions.jsonl").unlink()
    lines = ["question,answer,about", *(f"Who {number}?,unknown,d{number}.md" for number in range(10))]
    (tmp_path / "questions.csv").write_text("\n".join(lines) + "\n")
    made = draw(open_dataset(str(tmp_path), None, {}), "2k")
    there = {document.id for document in made.corpus.documents}
    assert {f"d{question.text[4]}.md" for question in made.corpus.questions} == there


@pytest.mark.parametrize("head", ["sep=;\nquestion;answer", "question;answer;", "question;answer;;"])
def test_what_spreadsheets_add_to_a_table_is_passed_over(tmp_path: Path, head: str) -> None:
    opened(tmp_path, DOCUMENTS, asking())
    (tmp_path / "questions.jsonl").unlink()
    (tmp_path / "questions.csv").write_text(f"{head}\nWhen?;1642;;\nWho, then?;nobody;\n")
    made = draw(open_dataset(str(tmp_path), None, {}), "all")
    assert {question.text for question in made.corpus.questions} == {"When?", "Who, then?"}


def test_a_blank_may_stand_before_quotes_in_a_table(tmp_path: Path) -> None:
    opened(tmp_path, DOCUMENTS, asking())
    (tmp_path / "questions.jsonl").unlink()
    (tmp_path / "questions.csv").write_text('question, answer\nWhere was it founded?, "Ulm, Danube"\nWhen?, "1642"\n')
    made = draw(open_dataset(str(tmp_path), None, {}), "all")
    assert {gold.references for gold in made.gold} == {("Ulm, Danube",), ("1642",)}


NAMES = "name the columns there: question, answer; and if you like id, kind, document, about"


@pytest.mark.parametrize(
    ("table", "where", "what", "remedy"),
    [
        ("Frage,answer\nWho?,x\n", "", "no column 'question' in the first line (it has: frage, answer)", NAMES),
        ("question\nWho?\n", "", "no column 'answer' in the first line (it has: question)", NAMES),
        ("question_id,question,answer\n", "", "no column 'question_id' is known",
         "Known: about, answers, document, id, kind"),
        ("question,answer,answer\n", "", "column 'answer' stands twice", "leave one of both out"),
        ("question,answer,\nWho?,a,b\n", ", line 2", "a field in a column without a name", "name it or empty it"),
        ("question,answer\nWho?,a,b\n", ", line 2", "3 fields in 2 columns",
         'put texts that hold the separator between double quotes: "..."'),
        ("question,answer\nWho?,\n", ", line 2", "question without a reference answer", "fill in 'answers'"),
        ('question,answer\n"Who?,x\n', ", line 2", "not CSV: unexpected end of data", "mend the file"),
        ("question,answer\n", "", "no questions", "write one question a line below the names of the columns"),
        ("", "", "no questions", "write one question a line below the names of the columns"),
    ],
)  # fmt: skip
def test_a_bad_table_is_told_with_its_line(tmp_path: Path, table: str, where: str, what: str, remedy: str) -> None:
    opened(tmp_path, DOCUMENTS, asking())
    (tmp_path / "questions.jsonl").unlink()
    (tmp_path / "questions.csv").write_text(table)
    assert refused(tmp_path) == (f"/questions.csv{where}", what, remedy)


def test_questions_file_holds_one_object_a_line(tmp_path: Path) -> None:
    opened(tmp_path, DOCUMENTS, asking())
    (tmp_path / "questions.jsonl").write_text('[{"question": "Who?",\n"answer": "x"}]')
    assert refused(tmp_path)[:2] == ("/questions.jsonl", "a list, and not one JSON object a line")
    (tmp_path / "questions.csv").write_text("question,answer\n")
    assert refused(tmp_path)[1] == "both questions.jsonl and questions.csv are here"


@pytest.mark.parametrize(
    ("name", "data", "what"),
    [
        ("scan.txt", b"%PDF-1.4 text", "no text, whatever its name says"),
        ("nul.txt", b"a\0b", "no text, whatever its name says"),
        ("wide.txt", "Text.".encode("utf-16"), "UTF-16, not UTF-8 text"),
    ],
)
def test_document_that_cannot_be_read_is_refused_and_not_skipped(
    tmp_path: Path, name: str, data: bytes, what: str
) -> None:
    action = lambda: opened(tmp_path, DOCUMENTS | {name: data}, asking())  # noqa: E731 - it is one argument of two
    assert refusal(action, tmp_path / "documents" / name)[:2] == ("", what)


def test_linked_documents_are_read_and_loops_end(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "linked.markdown", "Text.")
    opened(tmp_path / "own", DOCUMENTS | {"picture.png": b"\x89PNG", ".hidden": b"x"}, asking())
    (tmp_path / "own" / "documents" / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "own" / "documents")
    (tmp_path / "own" / "documents" / "a-second-way").symlink_to(tmp_path / "own" / "documents" / "deep")
    made = draw(open_dataset(str(tmp_path / "own"), None, {}), "all")
    assert {document.id for document in made.corpus.documents} == {*DOCUMENTS, "more/linked.markdown"}


def test_a_misspelt_key_is_refused_and_another_is_counted(tmp_path: Path) -> None:
    dataset = opened(tmp_path / "a", DOCUMENTS, asking(source="web"), asking(id="b", source="book"))
    assert dataset.facts().notes["rows with 'source', which is not read"] == 2
    misspelt = lambda: opened(tmp_path / "b", DOCUMENTS, asking(evidnece=["a.md"]))  # noqa: E731 - one argument of two
    found = refusal(misspelt, tmp_path / "b" / "questions.jsonl")
    assert found == (", line 1", "no key 'evidnece'", "did you mean 'evidence'?")
    narrowed = lambda: opened(tmp_path / "c", DOCUMENTS, asking(evidence=[{"document": "a.md", "txt": "x"}]))  # noqa: E731
    found = refusal(narrowed, tmp_path / "c" / "questions.jsonl")
    assert found == (", line 1, evidence 0", "no key 'txt'", "did you mean 'text'?")


def test_answers_may_be_null_where_an_answer_is_given(tmp_path: Path) -> None:
    made = draw(opened(tmp_path, DOCUMENTS, asking(answers=None, answer="1642")), "all")
    assert made.gold[0].references == ("1642",)


def test_a_key_that_only_begins_like_a_present_one_is_counted(tmp_path: Path) -> None:
    dataset = opened(tmp_path, DOCUMENTS, asking(question_id="nq-7", question_type="who"))
    notes = dataset.facts().notes
    assert notes["rows with 'question_id', which is not read"] == 1
    assert notes["rows with 'question_type', which is not read"] == 1


def test_half_a_character_is_refused_by_its_line(tmp_path: Path) -> None:
    opened(tmp_path, DOCUMENTS, asking(), asking(id="b"))
    rows = (tmp_path / "questions.jsonl").read_text().splitlines()
    (tmp_path / "questions.jsonl").write_text("\n".join([rows[0], rows[1].replace("When", "When \\ud83d")]) + "\n")
    assert refused(tmp_path)[:2] == ("/questions.jsonl, line 2", "half a character (\\ud83d)")


def test_documents_beyond_budget_name_what_draw_came_to(tmp_path: Path) -> None:
    long = {f"long{number}.md": "word " * 1100 for number in range(4)} | {"short.md": "word " * 12}
    dataset = opened(tmp_path, long, asking())
    where, what, _ = refusal(lambda: draw(dataset, "1k"), Path("--size 1k"))
    assert (where, what) == ("", "documents are too long for 1,000 tokens: a draw of them came to 13")


def test_questions_in_another_encoding_are_refused_by_its_name(tmp_path: Path) -> None:
    opened(tmp_path, DOCUMENTS, asking())
    (tmp_path / "questions.jsonl").write_bytes(json.dumps(asking()).encode("utf-16"))
    assert refused(tmp_path) == ("/questions.jsonl", "UTF-16, not UTF-8 text", "save it as UTF-8")


def test_texts_beside_folder_for_documents_are_told_where_to_go(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("Text.")
    assert refused(tmp_path) == ("/documents", "no document", "move the 1 that lie beside it into it")


def test_a_file_is_no_folder_of_documents(tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text("{}")
    with pytest.raises(UserError, match="a file, and not a folder") as caught:
        open_dataset(str(path), None, {})
    assert caught.value.remedy == "give the folder that holds documents/ and questions.jsonl or questions.csv"
