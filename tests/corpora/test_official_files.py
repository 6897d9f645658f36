"""Official files that are not as they should be: file, row and field are named, and what to do."""

import json
from pathlib import Path

import pytest
from corpora_files import SCHEMA, draw, refusal, write

from rmtbench.corpora.open import open_dataset

OFFICIAL = "see docs/reference/data.md for the official format"
BLANK = "fill it in or remove the row"
AGAIN = "download the file again"
FILES = {
    "squad": "squad/dev-v1.1.json",
    "hotpotqa": "hotpotqa/hotpot_dev_distractor_v1.json",
    "triviaqa": "triviaqa/qa/wikipedia-dev.json",
}


def placed(folder: Path, name: str, data: bytes) -> Path:
    path = write(folder / FILES[name], "")
    path.write_bytes(data)
    write(folder / "triviaqa" / "evidence" / "wikipedia" / "Petrel.txt", "The Petrel began to run in 1858.")
    return path


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("data", "where", "what", "remedy"),
    [
        (b"", "", "the file is empty", "download it again"),
        (b" \r\n\t", "", "the file is empty", "download it again"),
        (
            b'{"data": [\n  {"title": }\n]}',
            ", line 2, column 13",
            "not JSON: Expecting value",
            "mend the file or download it again",
        ),
        (
            b'[{"_id": "h1"},\n',
            ", line 2, column 1",
            "not JSON: Expecting value",
            "mend the file or download it again",
        ),
        (
            b'{"Data": [\n{"a": "b"',
            ", line 2, column 10",
            "not JSON: Expecting ',' delimiter",
            "mend the file or download it again",
        ),
        (b'{\n"title": "Caf\xe9"}', ", line 2", "not UTF-8 text", "save it as UTF-8"),
    ],
)
def test_a_file_that_is_no_json_is_told_with_line_and_column(
    tmp_path: Path, name: str, data: bytes, where: str, what: str, remedy: str
) -> None:
    path = placed(tmp_path, name, data)
    assert refusal(lambda: open_dataset(name, path, {}), path) == (where, what, remedy)


@pytest.mark.parametrize("name", FILES)
def test_a_byte_order_mark_does_no_harm(tmp_path: Path, name: str) -> None:
    path = placed(tmp_path, name, b"\xef\xbb\xbf" + json.dumps(GOOD[name]).encode())
    assert open_dataset(name, path, {}).facts().questions == 1


QUESTION = {"id": "s1", "question": "When?", "answers": [{"text": "1642", "answer_start": 11}]}
PARAGRAPH = {"context": "Founded in 1642.", "qas": [QUESTION]}
HOTPOT = {
    "_id": "h1",
    "question": "Where?",
    "answer": "Hollin",
    "type": "bridge",
    "supporting_facts": [["Wren", 0]],
    "context": [["Wren", ["Born in Hollin."]]],
}
TRIVIA = {
    "QuestionId": "t1",
    "Question": "Which?",
    "EntityPages": [{"Filename": "Petrel.txt", "Title": "Petrel"}],
    "Answer": {"NormalizedAliases": ["petrel"]},
}
GOOD = {
    "squad": {"data": [{"title": "Port_Amaret", "paragraphs": [PARAGRAPH]}]},
    "hotpotqa": [HOTPOT],
    "triviaqa": {"Data": [TRIVIA]},
}


def lacking(row: dict, *names: str) -> dict:
    return {name: value for name, value in row.items() if name not in names}


def articles(*rows: object) -> dict:
    return {"data": [{"title": "First", "paragraphs": []}, *rows]}


def asked(**changes: object) -> dict:
    """A file whose one question is changed; None takes a field out."""
    row = {name: value for name, value in {**QUESTION, **changes}.items() if value is not None}
    return {"data": [{"title": "T_1", "paragraphs": [{"context": "Founded in 1642.", "qas": [QUESTION, row]}]}]}


IN_ARTICLE = ", article 1 (T)"
IN_QUESTION = ", article 0 (T 1), paragraph 0, question 1"
SQUAD = [
    ([], "", "not an object", SCHEMA),
    ({}, "", "field 'data' is missing", SCHEMA),
    ({"data": {}}, "", "field 'data' must be a list, not an object", SCHEMA),
    ({"data": []}, "", "no articles", AGAIN),
    (articles("T"), ", article 1", "not an object", SCHEMA),
    (articles({"paragraphs": []}), ", article 1", "field 'title' is missing", SCHEMA),
    (articles({"title": " ", "paragraphs": []}), ", article 1", "field 'title' is blank", BLANK),
    (articles({"title": "T"}), IN_ARTICLE, "field 'paragraphs' is missing", SCHEMA),
    (articles({"title": "T", "paragraphs": [7]}), f"{IN_ARTICLE}, paragraph 0", "not an object", SCHEMA),
    (
        articles({"title": "T", "paragraphs": [PARAGRAPH, {"qas": []}]}),
        f"{IN_ARTICLE}, paragraph 1",
        "field 'context' is missing",
        SCHEMA,
    ),
    (
        articles({"title": "T", "paragraphs": [{"context": "Text."}]}),
        f"{IN_ARTICLE}, paragraph 0",
        "field 'qas' is missing",
        SCHEMA,
    ),
    (asked(id=None), IN_QUESTION, "field 'id' is missing", SCHEMA),
    (asked(id=7), f"{IN_QUESTION} (id 7)", "field 'id' must be a text, not a whole number", SCHEMA),
    (asked(question=""), f"{IN_QUESTION} (id s1)", "field 'question' is blank", BLANK),
    (asked(answers=None), f"{IN_QUESTION} (id s1)", "field 'answers' is missing", SCHEMA),
    (
        asked(answers=[]),
        f"{IN_QUESTION} (id s1)",
        "question without a reference answer",
        "use SQuAD v1.1, or remove the question",
    ),
    (asked(answers=["1642"]), f"{IN_QUESTION} (id s1)", "not an object", SCHEMA),
    (asked(answers=[{"text": " ", "answer_start": 1}]), f"{IN_QUESTION} (id s1)", "field 'text' is blank", BLANK),
    (asked(answers=[{"text": "1642"}]), f"{IN_QUESTION} (id s1)", "field 'answer_start' is missing", SCHEMA),
    (
        asked(answers=[{"text": "1642", "answer_start": "11"}]),
        f"{IN_QUESTION} (id s1)",
        "field 'answer_start' must be a whole number, not a text",
        SCHEMA,
    ),
    (
        asked(answers=[{"text": "1642", "answer_start": True}]),
        f"{IN_QUESTION} (id s1)",
        "field 'answer_start' must be a whole number, not a truth value",
        SCHEMA,
    ),
]
IN_ROW = ", row 1 (_id h1)"
PAIR = "must be [title, sentences]"
FACT = "must be [title, sentence number]"
HOTPOTQA = [
    ({}, "", "must be a list of rows", OFFICIAL),
    ([], "", "no rows", AGAIN),
    ([HOTPOT, "row"], ", row 1", "not an object", SCHEMA),
    ([HOTPOT, lacking(HOTPOT, "_id")], ", row 1", "field '_id' is missing", SCHEMA),
    ([HOTPOT, lacking(HOTPOT, "answer")], IN_ROW, "field 'answer' is missing", SCHEMA),
    ([HOTPOT, HOTPOT | {"answer": " "}], IN_ROW, "field 'answer' is blank", BLANK),
    ([HOTPOT, HOTPOT | {"answer": ["Hollin"]}], IN_ROW, "field 'answer' must be a text, not a list", SCHEMA),
    ([HOTPOT, lacking(HOTPOT, "question")], IN_ROW, "field 'question' is missing", SCHEMA),
    ([HOTPOT, lacking(HOTPOT, "context")], IN_ROW, "field 'context' is missing", SCHEMA),
    ([HOTPOT, lacking(HOTPOT, "supporting_facts")], IN_ROW, "field 'supporting_facts' is missing", SCHEMA),
    ([HOTPOT, HOTPOT | {"context": {"title": []}}], IN_ROW, "field 'context' must be a list, not an object", SCHEMA),
    ([HOTPOT, HOTPOT | {"context": []}], IN_ROW, "no paragraphs", "remove the row"),
    ([HOTPOT, HOTPOT | {"context": [["Wren", []], ["Wren"]]}], f"{IN_ROW}, context 1", PAIR, OFFICIAL),
    ([HOTPOT, HOTPOT | {"context": [[1, []]]}], f"{IN_ROW}, context 0", PAIR, OFFICIAL),
    ([HOTPOT, HOTPOT | {"context": [["Wren", "Born."]]}], f"{IN_ROW}, context 0", "must be a list of texts", SCHEMA),
    ([HOTPOT, HOTPOT | {"context": [["Wren", [None]]]}], f"{IN_ROW}, context 0", "must be a list of texts", SCHEMA),
    ([HOTPOT, HOTPOT | {"supporting_facts": [["Wren", "0"]]}], f"{IN_ROW}, supporting_facts 0", FACT, OFFICIAL),
    ([HOTPOT, HOTPOT | {"supporting_facts": ["Wren"]}], f"{IN_ROW}, supporting_facts 0", FACT, OFFICIAL),
]


def trivia(**changes: object) -> dict:
    return {"Data": [TRIVIA, {**TRIVIA, "QuestionId": "t2", **changes}]}


IN_TRIVIA = ", row 1 (QuestionId t2)"
NO_ALIAS = "remove the row: it has no NormalizedAliases"
TRIVIAQA = [
    ([], "", "not an object", SCHEMA),
    ({"data": []}, "", "field 'Data' is missing", SCHEMA),
    ({"Data": []}, "", "no rows", AGAIN),
    ({"Data": [TRIVIA, None]}, ", row 1", "not an object", SCHEMA),
    ({"Data": [TRIVIA, lacking(TRIVIA, "QuestionId")]}, ", row 1", "field 'QuestionId' is missing", SCHEMA),
    (trivia(Question=" "), IN_TRIVIA, "field 'Question' is blank", BLANK),
    (trivia(Answer="petrel"), IN_TRIVIA, "field 'Answer' must be an object, not a text", SCHEMA),
    (trivia(Answer={}), IN_TRIVIA, "question without a reference answer", NO_ALIAS),
    (trivia(Answer={"Value": "Petrel"}), IN_TRIVIA, "question without a reference answer", NO_ALIAS),
    (trivia(Answer={"NormalizedAliases": [""]}), IN_TRIVIA, "question without a reference answer", NO_ALIAS),
    (
        trivia(Answer={"NormalizedAliases": "petrel"}),
        f"{IN_TRIVIA}, field 'NormalizedAliases'",
        "must be a list of texts",
        SCHEMA,
    ),
    (trivia(EntityPages=["Petrel.txt"]), f"{IN_TRIVIA}, field 'EntityPages'", "must be a list of objects", SCHEMA),
    (
        trivia(EntityPages=[{"Filename": "Pet\0rel.txt"}]),
        IN_TRIVIA,
        "field 'Filename' is no file's name",
        "mend it or remove the row",
    ),
    (trivia(SearchResults=7), f"{IN_TRIVIA}, field 'SearchResults'", "must be a list of objects", SCHEMA),
    (
        trivia(EntityPages=[{"Filename": "Gone.txt"}]),
        IN_TRIVIA,
        "evidence file missing: wikipedia/Gone.txt",
        "unpack the evidence into evidence/ beside the qa folder",
    ),
]
TABLE = [
    (name, *case)
    for name, cases in (("squad", SQUAD), ("hotpotqa", HOTPOTQA), ("triviaqa", TRIVIAQA))
    for case in cases
]


@pytest.mark.parametrize(("name", "content", "where", "what", "remedy"), TABLE)
def test_a_file_in_another_format_is_told_with_row_and_field(
    tmp_path: Path, name: str, content: object, where: str, what: str, remedy: str
) -> None:
    path = placed(tmp_path, name, json.dumps(content).encode())
    # TriviaQA's rows are read when they are asked for; a size that no file here fills asks for all.
    assert refusal(lambda: draw(open_dataset(name, path, {}), "large"), path) == (where, what, remedy)


@pytest.mark.parametrize("name", FILES)
def test_the_rows_that_the_tables_spoil_are_good_before(tmp_path: Path, name: str) -> None:
    facts = open_dataset(name, placed(tmp_path, name, json.dumps(GOOD[name]).encode()), {}).facts()
    assert (facts.documents, facts.questions) == (1, 1)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_vanishes_is_told_with_what_the_system_says(tmp_path: Path, name: str) -> None:
    path = tmp_path / FILES[name]
    remedy = "check --data-dir or RMTBENCH_DATA"
    assert refusal(lambda: open_dataset(name, path, {}), path) == ("", "no such file or folder", remedy)
