"""Official files of SQuAD v1.1, HotpotQA (distractor) and TriviaQA (rc) to rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from rmtbench.corpora.jsonfiles import MadeRows, check_ids, field, listed, load_json, text_field
from rmtbench.corpora.rows import HotpotRow, SquadArticle, SquadParagraph, SquadQuestion, TriviaDocument, TriviaRow
from rmtbench.errors import UserError
from rmtbench.normalize import normalize_triviaqa

_SCHEMA = "see docs/reference/data.md for the official format"


def clean_title(title: str) -> str:
    """A title for reading: underscores are spaces, percent-encoding is undone."""
    return unquote(title).replace("_", " ").strip()


def mend_quotes(text: str) -> str:
    """A question for reading: quotes doubled by a CSV round trip are single again, white space at the ends is gone."""
    return text.replace('""', '"').strip()


def read_squad(path: Path) -> tuple[SquadArticle, ...]:
    """Parse an official SQuAD v1.1 file.

    Raises:
        UserError: The file is missing, not JSON or not in the format; a question has no answer, or another one's id.
    """
    top = load_json(path)
    articles = []
    for number, article in enumerate(field(top, "data", list, str(path))):
        where = f"{path}, article {number}"
        title = clean_title(text_field(article, "title", where))
        where = f"{where} ({title})"
        paragraphs = [
            _squad_paragraph(paragraph, f"{where}, paragraph {place}")
            for place, paragraph in enumerate(field(article, "paragraphs", list, where))
        ]
        articles.append(SquadArticle(title, tuple(paragraphs)))
    if not articles:
        raise UserError("no articles", where=str(path), remedy="download the file again")
    asked = (question for one in articles for paragraph in one.paragraphs for question in paragraph.questions)
    check_ids((question.id for question in asked), str(path))
    return tuple(articles)


def _squad_paragraph(paragraph: object, where: str) -> SquadParagraph:
    questions = []
    for number, row in enumerate(field(paragraph, "qas", list, where)):
        place = f"{where}, question {number}"
        if isinstance(row, dict) and "id" in row:
            place = f"{place} (id {row['id']})"
        answers = tuple(
            (text_field(answer, "text", place), field(answer, "answer_start", int, place))
            for answer in field(row, "answers", list, place)
        )
        if not answers:
            raise UserError(
                "question without a reference answer", where=place, remedy="use SQuAD v1.1, or remove the question"
            )
        questions.append(
            SquadQuestion(text_field(row, "id", place), text_field(row, "question", place).strip(), answers)
        )
    return SquadParagraph(text_field(paragraph, "context", where), tuple(questions))


def read_hotpotqa(path: Path) -> tuple[HotpotRow, ...]:
    """Parse an official HotpotQA distractor file.

    Raises:
        UserError: The file is missing, not JSON or not in the format; a question has no answer, or another one's id.
    """
    rows = load_json(path)
    if not isinstance(rows, list):
        raise UserError("must be a list of rows", where=str(path), remedy=_SCHEMA)
    if not rows:
        raise UserError("no rows", where=str(path), remedy="download the file again")
    made = tuple(_hotpot_row(row, f"{path}, row {number}") for number, row in enumerate(rows))
    check_ids((row.id for row in made), str(path))
    return made


def _hotpot_row(row: object, where: str) -> HotpotRow:
    identity = text_field(row, "_id", where)
    where = f"{where} (_id {identity})"
    paragraphs = []
    for number, pair in enumerate(field(row, "context", list, where)):
        place = f"{where}, context {number}"
        if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str):
            raise UserError("must be [title, sentences]", where=place, remedy=_SCHEMA)
        paragraphs.append((pair[0], tuple(listed(pair[1], str, place))))
    facts = []
    for number, pair in enumerate(field(row, "supporting_facts", list, where)):
        if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str) or type(pair[1]) is not int:
            raise UserError(
                "must be [title, sentence number]", where=f"{where}, supporting_facts {number}", remedy=_SCHEMA
            )
        facts.append((pair[0], pair[1]))
    if not paragraphs:
        raise UserError("no paragraphs", where=where, remedy="remove the row")
    kind = row.get("type", "") if isinstance(row, dict) else ""
    return HotpotRow(
        id=identity,
        question=text_field(row, "question", where).strip(),
        answer=text_field(row, "answer", where).strip(),
        kind=str(kind),
        paragraphs=tuple(paragraphs),
        facts=tuple(facts),
    )


class TriviaRows(MadeRows[TriviaRow]):
    """Rows of one TriviaQA file; evidence is read when a row is asked for, since all of it can be gigabytes."""

    def __init__(self, path: Path, evidence: Path) -> None:
        top = load_json(path)
        self._path, self._evidence = path, evidence
        self._rows: Sequence[Any] = field(top, "Data", list, str(path))
        if not self._rows:
            raise UserError("no rows", where=str(path), remedy="download the file again")
        super().__init__(len(self._rows), lru_cache(maxsize=4096)(self._row))

    def _row(self, number: int) -> TriviaRow:
        where = f"{self._path}, row {number}"
        row = self._rows[number]
        identity = text_field(row, "QuestionId", where)
        where = f"{where} (QuestionId {identity})"
        documents, missing = {}, []
        for name, title in _evidence_names(row, where):
            text = self._text(name)
            if text is None:
                missing.append(name)
            elif text.strip():
                documents[name] = TriviaDocument(name, title, text)
        if missing and not documents:
            raise UserError(
                f"evidence file missing: {missing[0]}",
                where=where,
                remedy=f"unpack the evidence into {self._evidence.name}/ beside the qa folder",
            )
        return TriviaRow(
            id=identity,
            question=mend_quotes(text_field(row, "Question", where)),
            references=trivia_references(field(row, "Answer", dict, where), where),
            documents=tuple(documents.values()),
            missing=tuple(missing),
            gradable=_gradable(row),
        )

    def _text(self, name: str) -> str | None:
        try:
            return (self._evidence / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None


def read_triviaqa(path: Path) -> TriviaRows:
    """Rows of an official TriviaQA file, whose evidence lies in ``evidence/`` beside it or beside its folder.

    Raises:
        UserError: The file is missing or not in the format, or there is no such folder.
    """
    return TriviaRows(path, _evidence_folder(path))


def _evidence_folder(path: Path) -> Path:
    parent = path.absolute().parent
    for base in (parent.parent, parent):
        if (base / "evidence").is_dir():
            return base / "evidence"
    raise UserError(
        "no evidence folder beside it", where=str(path), remedy="unpack evidence/ beside the folder that holds the file"
    )


def trivia_references(answer: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """Accepted answers of a TriviaQA row, whose normal forms are exactly the official ground truths.

    Args:
        answer: The row's `Answer` object; `Value` may be missing.
        where: File and row, for messages.

    Returns:
        First the value, then aliases as they are written, then normal forms that none of those has.

    Raises:
        UserError: There is none, or a list of aliases is not one of texts.
    """
    normal, aliases, human = (
        listed(answer.get(name) or [], str, f"{where}, field '{name}'")
        for name in ("NormalizedAliases", "Aliases", "HumanAnswers")
    )
    truths = {*normal, *map(normalize_triviaqa, human)}
    # A blank text is no answer, though its normal form is that of "The", which may be a ground truth.
    written = [alias for alias in (str(answer.get("Value") or ""), *aliases, *human) if alias.strip()]
    kept = [alias for alias in written if normalize_triviaqa(alias) in truths]
    covered = {normalize_triviaqa(alias) for alias in kept}
    kept += sorted(truth for truth in truths if truth.strip() and normalize_triviaqa(truth) not in covered)
    if not kept:
        raise UserError(
            "question without a reference answer", where=where, remedy="remove the row: it has no NormalizedAliases"
        )
    return tuple(dict.fromkeys(kept))


def _evidence_names(row: Mapping[str, Any], where: str) -> Iterator[tuple[str, str]]:
    """File below the evidence folder and title of each listed document; both lists may be empty or absent."""
    for listing, folder in (("EntityPages", "wikipedia"), ("SearchResults", "web")):
        for entry in listed(row.get(listing) or [], dict, f"{where}, field '{listing}'"):
            name = entry.get("Filename")
            if name and (not isinstance(name, str) or "\0" in name):
                raise UserError("field 'Filename' is no file's name", where=where, remedy="mend it or remove the row")
            if name:
                yield f"{folder}/{name}", str(entry.get("Title") or Path(name).stem).strip()


def _gradable(row: Mapping[str, Any]) -> bool:
    marks = [row[name] for name in ("AliasInEvidence", "AliasesComplete") if name in row]
    return not marks or any(marks)
