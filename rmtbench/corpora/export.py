"""Write a draw as files that `rmtbench` and other people's tools can read: in the official format of its data set.

Any other data set is written as an own folder. Documents, questions and references come back as they were, but for what
a draw does not keep (TriviaQA's urls, HotpotQA's levels and rows) and what a format has no place for: HotpotQA has one
reference a question; in SQuAD every reference has a place, and TriviaQA's evidence is wherever an answer stands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from rmtbench.core import Document, Draw, Gold, Question, Span
from rmtbench.corpora import hotpotqa, squad
from rmtbench.corpora.rows import TriviaDocument
from rmtbench.corpora.squad import SEPARATOR
from rmtbench.corpora.triviaqa import find_answers
from rmtbench.errors import UserError, disk_errors
from rmtbench.normalize import normalize_triviaqa
from rmtbench.options import flag

PARAGRAPHS_PER_ROW = 10


def export_draw(draw: Draw, folder: Path) -> list[Path]:
    """Write a draw in the official format of its data set, else as ``documents/`` and ``questions.jsonl``.

    Args:
        draw: What to write.
        folder: Where to; made if it is missing. Given as ``--data-dir`` it is read again; a TriviaQA draw of the same
            size may then leave out the last few documents, since it is full at 98 % of its budget.

    Returns:
        The files written.

    Raises:
        UserError: The folder is not empty or cannot be written, the draw asks no question, or a document's id would
            lie outside the folder.
    """
    if not draw.corpus.questions:
        raise UserError("no questions to export", where=draw.corpus.id, remedy="choose a larger size")
    writers = {"squad": _squad, "hotpotqa": _hotpotqa, "triviaqa": _triviaqa}
    files = writers.get(draw.corpus.dataset, _own)(draw)
    root = folder.resolve()
    for name in files:
        if not (root / name).resolve().is_relative_to(root):
            raise UserError(f"'{name}' would lie outside the folder", where=str(folder), remedy="rename that document")
    with disk_errors(folder, flag.out):
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UserError("the folder is not empty", where=str(folder), remedy=f"name a new one with {flag.out}")
        for name, data in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    return [folder / name for name in files]


def _squad(draw: Draw) -> dict[str, bytes]:
    """One article a document, cut at blank lines; all spans of a question stay within one paragraph."""
    asked: dict[str, list[tuple[Question, Gold]]] = {document.id: [] for document in draw.corpus.documents}
    for question, gold in zip(draw.corpus.questions, draw.gold, strict=True):
        asked[gold.evidence[0][0].document_id].append((question, gold))
    articles = []
    for document in draw.corpus.documents:
        pairs = [(question, gold, gold.evidence[0]) for question, gold in asked[document.id]]
        keep = [(min(span.start for span in spans), max(span.end for span in spans)) for _, _, spans in pairs]
        paragraphs = [
            {
                "context": document.text[start:end],
                "qas": [
                    {
                        "id": question.id,
                        "question": question.text,
                        "answers": _answers(gold, document.text[:end], start),
                    }
                    for question, gold, spans in pairs
                    if start <= spans[0].start < end
                ],
            }
            for start, end in _paragraphs(document.text, keep)
        ]
        # Titles are percent-encoded in official files: a bare percent sign would be read as the beginning of a code.
        articles.append({"title": document.title.replace("%", "%25"), "paragraphs": paragraphs})
    return {squad.FILES.names[0]: _json({"version": "1.1", "data": articles})}


def _paragraphs(text: str, keep: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """First and last character of each paragraph, not cut inside the stretches to keep whole."""
    start, cut = 0, text.find(SEPARATOR)
    while cut >= 0:
        after = cut + len(SEPARATOR)
        whole = cut > start and not any(first < after and cut < last for first, last in keep)
        if whole and text[start:cut].strip():
            yield start, cut
            start = after
        cut = text.find(SEPARATOR, after)
    yield start, len(text)


def _answers(gold: Gold, text: str, offset: int) -> list[dict[str, Any]]:
    """Each reference where it is evidence, else where it stands nearest; one that stands nowhere at the beginning."""
    spans = gold.evidence[0]
    answers = []
    for reference in gold.references:
        starts = [span.start for span in spans if text[span.start : span.end] == reference]
        if not starts:
            found = (match.start() for match in re.finditer(re.escape(reference), text[offset:]))
            starts = sorted((offset + start for start in found), key=lambda start: abs(start - spans[0].start))[:1]
        answers += [{"text": reference, "answer_start": start - offset} for start in starts or [offset]]
    return answers


def _hotpotqa(draw: Draw) -> dict[str, bytes]:
    """One row a question: its gold paragraphs, and others of the corpus to make ten.

    A draw does not keep which paragraphs stood in one row. The others are dealt out in the corpus's order, so that
    every paragraph is in at least one row; a row has more than ten where few questions share many paragraphs.
    Paragraphs are cut into sentences only where supporting sentences begin and end, so that these are exact.
    """
    corpus = draw.corpus
    spans = [span for gold in draw.gold for fact in gold.evidence for span in fact]
    sentences = {document.id: _sentences(document, spans) for document in corpus.documents}
    rows = []
    for question, gold, documents in zip(corpus.questions, draw.gold, _deal(draw), strict=True):
        titles = {document.id: document.title for document in documents}
        facts = [
            [titles[span.document_id], number]
            for fact in gold.evidence
            for span in fact
            for number, sentence in enumerate(sentences[span.document_id])
            if sentence.overlaps(span)
        ]
        row = {
            "_id": question.id,
            "question": question.text,
            "answer": gold.references[0],
            # Questions to be answered by yes or no are comparisons in HotpotQA.
            "type": "comparison" if question.kind == "yes/no" else question.kind,
            "supporting_facts": facts,
            "context": [
                [document.title, [document.text[span.start : span.end] for span in sentences[document.id]]]
                for document in documents
            ],
        }
        rows.append(row)
    return {hotpotqa.FILES.names[0]: _json(rows)}


def _sentences(document: Document, spans: Sequence[Span]) -> list[Span]:
    """The document in pieces: each span is one of them, with the white space before it."""
    cuts = {0, len(document.text)}
    for span in spans:
        if span.document_id == document.id:
            cuts |= {len(document.text[: span.start].rstrip()), span.end}
    ordered = sorted(cuts)
    return [Span(document.id, start, end) for start, end in pairwise(ordered)]


def _deal(draw: Draw) -> Iterator[list[Document]]:
    """The paragraphs of each question's row."""
    documents = draw.corpus.documents
    place = {document.id: number for number, document in enumerate(documents)}
    golden = [
        {place[span.document_id] for fact in gold.evidence for span in fact} for gold in draw.gold
    ]  # by number, so that rows can be put into the corpus's order
    rest = sorted(set(place.values()).difference(*golden))
    for number, own in enumerate(golden):
        rows_left = len(golden) - number
        wanted = max(PARAGRAPHS_PER_ROW - len(own), -(-len(rest) // rows_left))
        row, rest = own | set(rest[:wanted]), rest[wanted:]
        others = (other for other in place.values() if other not in row)
        row |= {other for other, _ in zip(others, range(PARAGRAPHS_PER_ROW - len(row)), strict=False)}
        titles = {documents[other].title for other in own}
        # Facts name a paragraph by its title, and the first of that title is meant: namesakes go last.
        yield [
            documents[other] for other in sorted(row, key=lambda n: (n not in own and documents[n].title in titles, n))
        ]


def _triviaqa(draw: Draw) -> dict[str, bytes]:
    """``qa/`` with one file, whose domain is Wikipedia if any evidence is, and ``evidence/``.

    Evidence that answers none of the questions is listed with one that it does not answer. A document whose id is no
    name of an evidence file (the miniature's) becomes a page of the web.
    """
    names = {document.id: _evidence_name(document.id) for document in draw.corpus.documents}
    documents = {names[document.id]: document for document in draw.corpus.documents}
    listed = [dict.fromkeys(names[span.document_id] for fact in gold.evidence for span in fact) for gold in draw.gold]
    for number, identity in enumerate(identity for identity in documents if not any(identity in row for row in listed)):
        document = TriviaDocument(identity, documents[identity].title, documents[identity].text)
        order = [(number + place) % len(listed) for place in range(len(listed))]
        silent = (place for place in order if not find_answers(draw.gold[place].references, document))
        listed[next(silent, order[0])][identity] = None
    rows = []
    for question, gold, files in zip(draw.corpus.questions, draw.gold, listed, strict=True):
        row = {
            "QuestionId": question.id,
            "Question": question.text,
            "Answer": _trivia_answer(gold.references),
            "EntityPages": _listing(files, "wikipedia/", documents),
            "SearchResults": _listing(files, "web/", documents),
        }
        rows.append(row)
    domain = "Wikipedia" if any(name.startswith("wikipedia/") for name in documents) else "Web"
    written = {f"qa/{domain.lower()}-dev.json": _json({"Domain": domain, "Version": 1.0, "Data": rows})}
    return written | {f"evidence/{name}": _utf8(document.text) for name, document in documents.items()}


def _evidence_name(identity: str) -> str:
    return identity if identity.startswith(("wikipedia/", "web/")) else f"web/{identity}.txt"


def _listing(names: Mapping[str, None], folder: str, documents: Mapping[str, Document]) -> list[dict[str, str]]:
    return [
        {"Filename": name.removeprefix(folder), "Title": documents[name].title}
        for name in names
        if name.startswith(folder)
    ]


def _trivia_answer(references: Sequence[str]) -> dict[str, Any]:
    normal = list(dict.fromkeys(normalize_triviaqa(reference) for reference in references))
    return {
        "Value": references[0],
        "NormalizedValue": normal[0],
        "Aliases": list(references),
        "NormalizedAliases": normal,
    }


def _own(draw: Draw) -> dict[str, bytes]:
    """The layout of own folders; of a fact's spans, which are alternatives, only the first is kept."""
    documents = {document.id: document for document in draw.corpus.documents}
    names = {name: name if name.endswith((".md", ".txt")) else f"{name}.md" for name in documents}
    files = {
        f"documents/{names[document.id]}": _utf8(f"# {document.title}\n\n{document.text.strip()}\n")
        for document in documents.values()
    }
    lines = []
    for question, gold in zip(draw.corpus.questions, draw.gold, strict=True):
        evidence = []
        for span in (fact[0] for fact in gold.evidence):
            text = documents[span.document_id].text
            before = len(text) - len(text.lstrip())
            start, end = max(span.start - before, 0), min(span.end - before, len(text.strip()))
            evidence.append({"document": names[span.document_id], "start": start, "end": end})
        row = {
            "id": question.id,
            "question": question.text,
            "answers": gold.references,
            "kind": question.kind,
            "evidence": evidence,
        }
        lines.append(json.dumps(row, ensure_ascii=False))
    return files | {"questions.jsonl": _utf8("\n".join(lines) + "\n")}


def _json(content: object) -> bytes:
    return _utf8(json.dumps(content, ensure_ascii=False, indent=1) + "\n")


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
