"""A user's own folder: ``documents/``, and questions in JSON lines or CSV. The embedded handbook is one too.

Size `all` is every document. The other sizes are token budgets: a seeded choice of documents that fits, in which
documents that share a question stand together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from unicodedata import normalize

from rmtbench.core import Document, Draw, Gold, Question, Source, SourceKind, Span
from rmtbench.corpora.base import BUDGETS, DatasetFacts, DrawRequest, TokenCounter
from rmtbench.corpora.draws import choose_budget, generator, make_draw, shuffled, too_small
from rmtbench.corpora.jsonfiles import check_ids, decode, field, text_field
from rmtbench.corpora.own_csv import table_rows
from rmtbench.corpora.own_documents import describe_unread, plain_text, read_documents
from rmtbench.errors import UserError
from rmtbench.options import flag

SIZES = {"all": 0, **BUDGETS}
"""Tokens of the named sizes; 0 for every document."""
LEAST_SHARE = 0.5
"""Of a budget, that whole documents must fill."""
QUESTIONS = ("questions.jsonl", "questions.csv")
KEYS = ("question", "answers", "answer", "id", "kind", "evidence", "about")
"""Of a row of questions."""
SPAN_KEYS = ("document", "text", "start", "end")
"""Of an entry of its evidence."""
JSON_LINES = "write one JSON object a line: question, answers"


@dataclass(frozen=True)
class GoldQuestion:
    """A question with its gold.

    Attributes:
        question: What is asked.
        gold: References and evidence.
        about: Ids of documents that must be in a draw besides the evidence, such as the topic of a question that no
            document answers.
    """

    question: Question
    gold: Gold
    about: tuple[str, ...] = ()

    @property
    def needs(self) -> frozenset[str]:
        """Ids of the documents without which the question is not asked; empty if it names none."""
        return frozenset(self.about) | {span.document_id for fact in self.gold.evidence for span in fact}


@dataclass(frozen=True)
class OwnFolder:
    """A `Dataset` over a folder's documents and questions."""

    name: str
    source: Source
    documents: Sequence[Document]
    asked: Sequence[GoldQuestion]
    ignored: Mapping[str, int]
    remark: str

    def facts(self) -> DatasetFacts:
        """Counts of documents and questions, and of those that a person may want to mend."""
        repeated = len(self.documents) - len({document.text for document in self.documents})
        notes = {"documents that repeat another one": repeated} if repeated else {}
        notes["questions without evidence"] = sum(not one.gold.evidence for one in self.asked)
        notes |= {f"rows with '{key}', which is not read": count for key, count in self.ignored.items()}
        return DatasetFacts(len(self.documents), len(self.asked), notes, self.remark)

    def draw(self, request: DrawRequest, count_tokens: TokenCounter) -> Draw:
        """Every document for `all`, else as many as the budget holds, with the questions about them.

        A question is asked if all documents of its evidence and all that it is about are in the draw. A question that
        names no document is asked only of a draw that holds every document.

        Raises:
            UserError: An unknown size, fewer tokens than it needs, or documents too long to fill it.
        """
        budget = choose_budget(SIZES, request.size)
        chance = generator(self.name, request)
        documents = shuffled(self.documents, chance)
        if budget:
            documents = self._within(_paired(documents, self.asked), budget, request.size, count_tokens)
        there = {document.id for document in documents}
        asked = [
            (one.question, one.gold)
            for one in self.asked
            if len(there) == len(self.documents) or (one.needs and one.needs <= there)
        ]
        return make_draw(
            dataset=self.name,
            request=request,
            source=self.source,
            documents=documents,
            asked=shuffled(asked, chance),
        )

    def _within(
        self, documents: Sequence[Document], budget: int, size: str, count_tokens: TokenCounter
    ) -> list[Document]:
        counts = count_tokens([f"{document.title}\n{document.text}" for document in documents])
        if sum(counts) < budget * 0.98:
            raise too_small(SIZES, size, sum(counts), "tokens", self.source)
        kept, total = [], 0
        for document, count in zip(documents, counts, strict=True):
            if total + count <= budget * 1.02:
                kept.append(document)
                total += count
        if total < budget * LEAST_SHARE:
            raise UserError(
                f"documents are too long for {budget:,} tokens: a draw of them came to {total:,}",
                where=f"{flag.size} {size}",
                remedy="choose a larger size or `all`, or part the documents",
            )
        return kept


def read_folder(folder: Path, name: str, kind: SourceKind) -> OwnFolder:
    """Read a folder of documents and questions.

    Args:
        folder: Holds ``documents/`` and ``questions.jsonl`` or ``questions.csv``.
        name: What the data set is called.
        kind: Whether it is the user's own or embedded in the package.

    Raises:
        UserError: Something is missing, empty or not in the format: which file, line and field.
    """
    documents = read_documents(folder / "documents")
    path = _questions_file(folder)
    data = path.read_bytes()
    texts = {document.id: document.text for document in documents.read}
    text = plain_text(data, path)
    rows = [*(table_rows(text, str(path)) if path.suffix == ".csv" and text.strip() else _json_rows(text, path))]
    asked = [_read_question(row, f"{path}, line {number}", number, texts) for number, row in rows]
    if not asked:
        below = "write one question a line below the names of the columns"
        remedy = below if path.suffix == ".csv" else JSON_LINES
        raise UserError("no questions", where=str(path), remedy=remedy)
    check_ids((one.question.id for one in asked), str(path))
    digest = documents.digest.copy()
    digest.update(data)
    remark = describe_unread(documents.unread, folder / "documents")
    ignored = Counter(key for _, row in rows for key in row if key not in KEYS and kind == "own")
    return OwnFolder(name, Source(kind, name, digest.hexdigest()), documents.read, asked, ignored, remark)


def _questions_file(folder: Path) -> Path:
    found = [folder / name for name in QUESTIONS if (folder / name).is_file()]
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"both {' and '.join(QUESTIONS)} are here", where=str(folder), remedy="keep one of them")
    remedy = f"{JSON_LINES}; or questions.csv with columns question, answer"
    others = ", ".join(sorted(path.name for path in folder.iterdir() if path.stem.lower() == "questions"))
    what = f"missing (there is {others})" if others else "missing"
    raise UserError(what, where=str(folder / QUESTIONS[0]), remedy=remedy)


def _json_rows(text: str, path: Path) -> Iterator[tuple[int, Any]]:
    if text.lstrip().startswith("["):
        raise UserError(
            "a list, and not one JSON object a line", where=str(path), remedy="write each object on a line of its own"
        )
    for number, line in enumerate(text.encode().splitlines(), start=1):
        if line.strip():
            yield number, decode(line, str(path), number, once=True)


def _read_question(row: Any, where: str, number: int, texts: Mapping[str, str]) -> GoldQuestion:  # noqa: ANN401
    text = text_field(row, "question", where)
    _check_keys(row, KEYS, where)
    # Tables that were joined have both, and null in one.
    answers = next((row[name] for name in ("answers", "answer") if row.get(name) is not None), None)
    if answers is None:
        has = ", ".join(map(str, row))
        raise UserError(f"field 'answers' is missing (it has: {has})", where=where, remedy="see docs/reference/data.md")
    references = [answers] if isinstance(answers, str) else answers
    if not isinstance(references, list) or not all(isinstance(item, str) for item in references):
        raise UserError(
            "field 'answers' must be a text or a list of texts", where=where, remedy="see docs/reference/data.md"
        )
    references = [reference for reference in references if reference.strip()]
    if not references:
        raise UserError("question without a reference answer", where=where, remedy="fill in 'answers'")
    identity = row.get("id", f"q{number}")
    if isinstance(identity, bool) or not isinstance(identity, str | int):
        raise UserError("field 'id' must be a text or a whole number", where=where, remedy="mend it or leave it out")
    identity = str(identity)
    if not identity.strip():
        raise UserError("field 'id' is blank", where=where, remedy="fill it in or leave it out")
    evidence = [
        (_span(entry, texts, f"{where}, evidence {place}"),)
        for place, entry in enumerate(field({"evidence": [], **row}, "evidence", list, where))
    ]
    evidence = list(dict.fromkeys(evidence))  # a fact named twice is one fact
    kind = field({"kind": "", **row}, "kind", str, where)
    about = tuple(
        _span(text_field({"about": name}, "about", where), texts, f"{where}, about {place}").document_id
        for place, name in enumerate(field({"about": [], **row}, "about", list, where))
    )
    return GoldQuestion(
        Question(identity, text.strip(), kind), Gold(identity, tuple(references), tuple(evidence)), about
    )


def _span(entry: object, texts: Mapping[str, str], where: str) -> Span:
    """A document's name stands for all of it; an object narrows it by `text`, or by `start` and `end`."""
    name = entry if isinstance(entry, str) else text_field(entry, "document", where)
    if name not in texts:  # file systems spell accents in one way or the other
        name = next((one for one in texts if normalize("NFC", one) == normalize("NFC", name)), name)
    if name not in texts:
        raise UserError(f"no document '{name}'", where=where, remedy="name a file as it lies under documents/")
    if isinstance(entry, dict):
        _check_keys(entry, SPAN_KEYS, where)
    text = texts[name]
    if isinstance(entry, dict) and "text" in entry and {"start", "end"} & entry.keys():
        raise UserError("both 'text' and 'start' or 'end'", where=where, remedy="narrow it down in one way")
    if isinstance(entry, dict) and "text" in entry:
        quote = text_field(entry, "text", where).replace("\r\n", "\n")
        start = text.find(quote)
        if start < 0:
            raise UserError("the text does not stand in that document", where=where, remedy="copy it verbatim")
        return Span(name, start, start + len(quote))
    if isinstance(entry, dict) and {"start", "end"} & entry.keys():
        start, end = field(entry, "start", int, where), field(entry, "end", int, where)
        if not 0 <= start < end <= len(text):
            raise UserError(f"{start}..{end} is not within its {len(text)} characters", where=where, remedy="mend it")
        return Span(name, start, end)
    return Span(name, 0, len(text))


def _check_keys(row: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    """Refuse a key that is nearly one that is read and is not there: it would be passed over in silence."""
    for key in row:
        near = get_close_matches(key, known, n=1, cutoff=0.75)
        if key not in known and near and near[0] not in row:  # beside `question`, `question_id` is not misspelt
            raise UserError(f"no key '{key}'", where=where, remedy=f"did you mean '{near[0]}'?")


def _paired(documents: Sequence[Document], asked: Sequence[GoldQuestion]) -> list[Document]:
    """The same documents in their order, but each one is followed by the first left that shares a question with it.

    Without this, a draw of a few documents among many would hardly ever hold both documents of a question that needs
    two. One follower each, and not all, so that a document with many partners (a list of names) is not in every draw.
    """
    partners: dict[str, set[str]] = {document.id: set() for document in documents}
    for one in asked:
        for name in one.needs:
            partners[name] |= one.needs - {name}
    places = {document.id: place for place, document in enumerate(documents)}
    ordered: dict[str, Document] = {}
    for document in documents:
        if document.id not in ordered:
            ordered[document.id] = document
            waiting = [places[name] for name in partners[document.id] if name not in ordered]
            if waiting:
                follower = documents[min(waiting)]
                ordered[follower.id] = follower
    return list(ordered.values())
