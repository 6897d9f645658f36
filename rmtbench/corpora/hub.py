"""SQuAD, HotpotQA and TriviaQA from the Hugging Face hub, through `datasets`, to the same rows as official files give.

Only `load_hub` reaches out; the rest turns a `datasets.Dataset` with the hub's features into rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from rmtbench.core import Source
from rmtbench.corpora.base import HubRows
from rmtbench.corpora.jsonfiles import MadeRows, check_ids, field, text_field
from rmtbench.corpora.official import clean_title, mend_quotes, trivia_references
from rmtbench.corpora.rows import HotpotRow, SquadArticle, SquadParagraph, SquadQuestion, TriviaDocument, TriviaRow
from rmtbench.errors import MissingError, UserError
from rmtbench.hub import look_for_hub
from rmtbench.options import flag

if TYPE_CHECKING:
    from datasets import Dataset

SPLIT = "validation"
_TRIVIAQA = "mandarjoshi/trivia_qa"

_EVIDENCE = (("entity_pages", "wikipedia", "wiki_context"), ("search_results", "web", "search_context"))
"""TriviaQA's evidence columns, the folder below ``evidence/`` that each stands for, and where its text is."""


def load_hub(name: str, hub: HubRows) -> tuple[Source, Any]:
    """Load a data set's validation split from the hub or its local cache.

    Args:
        name: What the data set is called, for the message.
        hub: Where it is there, and how its rows are read.

    Returns:
        What was loaded, and its rows.

    Raises:
        UserError: The hub cannot be reached and nothing is cached, or the rows are not in the expected format.
    """
    import httpx
    from datasets import load_dataset

    look_for_hub()
    try:
        dataset = load_dataset(hub.repository, hub.configuration, split=SPLIT)
    except (OSError, ValueError, httpx.HTTPError) as error:
        raise MissingError(
            f"the hub cannot be reached for '{name}' ({type(error).__name__}), and it is not cached here",
            where=hub.repository,
            remedy=f"give official files with {flag.data_dir} or RMTBENCH_DATA",
        ) from error
    return Source("hub", f"{hub.repository} {SPLIT}", content_hash(dataset)), hub.rows(dataset)


def content_hash(dataset: Dataset) -> str:
    """SHA-256 over the rows, which is the same on every machine, as the fingerprint of `datasets` need not be.

    TriviaQA's evidence is left out, as for official files: it is gigabytes, and every draw's own hash covers what it
    holds.
    """
    evidence = {column for column, _, _ in _EVIDENCE}
    digest = hashlib.sha256()
    for row in dataset.select_columns([column for column in dataset.column_names if column not in evidence]):
        line = json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n"
        digest.update(line.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def squad_rows(dataset: Dataset) -> tuple[SquadArticle, ...]:
    """Put SQuAD's rows, which are one a question there, together again as articles and paragraphs, in order.

    Paragraphs without questions are not on the hub, so they are missing here.

    Raises:
        UserError: A column is missing or of another type; a question has no answer, or another one's id.
    """
    articles: dict[str, list[tuple[str, SquadQuestion]]] = {}
    for where, row in _numbered(dataset, "rajpurkar/squad"):
        pair = text_field(row, "context", where), _squad_question(row, where)
        articles.setdefault(clean_title(text_field(row, "title", where)), []).append(pair)
    check_ids((question.id for pairs in articles.values() for _, question in pairs), "rajpurkar/squad")
    return tuple(
        SquadArticle(
            title,
            tuple(
                SquadParagraph(context, tuple(question for _, question in group))
                for context, group in groupby(pairs, key=lambda pair: pair[0])
            ),
        )
        for title, pairs in articles.items()
    )


def _squad_question(row: Mapping[str, Any], where: str) -> SquadQuestion:
    answers = field(row, "answers", dict, where)
    texts, starts = field(answers, "text", list, where), field(answers, "answer_start", list, where)
    if not texts:
        raise UserError("question without a reference answer", where=where, remedy="use SQuAD v1.1")
    return SquadQuestion(
        text_field(row, "id", where),
        text_field(row, "question", where).strip(),
        tuple(zip(texts, starts, strict=True)),
    )


def hotpotqa_rows(dataset: Dataset) -> tuple[HotpotRow, ...]:
    """Turn HotpotQA's rows, whose lists of pairs are pairs of lists there, into ours.

    Raises:
        UserError: A column is missing or of another type, or two rows have one id.
    """
    made = tuple(_hotpot_row(row, where) for where, row in _numbered(dataset, "hotpotqa/hotpot_qa"))
    check_ids((row.id for row in made), "hotpotqa/hotpot_qa")
    return made


def _hotpot_row(row: Mapping[str, Any], where: str) -> HotpotRow:
    context, facts = field(row, "context", dict, where), field(row, "supporting_facts", dict, where)
    paragraphs = zip(field(context, "title", list, where), field(context, "sentences", list, where), strict=True)
    return HotpotRow(
        id=text_field(row, "id", where),
        question=text_field(row, "question", where).strip(),
        answer=text_field(row, "answer", where).strip(),
        kind=str(row.get("type") or ""),
        paragraphs=tuple((title, tuple(sentences)) for title, sentences in paragraphs),
        facts=tuple(zip(field(facts, "title", list, where), field(facts, "sent_id", list, where), strict=True)),
    )


def triviaqa_rows(dataset: Dataset) -> Sequence[TriviaRow]:
    """TriviaQA's rows, each made when it is asked for: their evidence together is gigabytes.

    Raises:
        UserError: A column is missing; when a row is asked for: a field is of another type, or it has no answer.
    """
    needed = ("question_id", "question", "answer", *(column for column, _, _ in _EVIDENCE))
    for column in needed:
        if column not in dataset.column_names:
            raise UserError(f"column '{column}' is missing", where=_TRIVIAQA, remedy="use config rc")
    return MadeRows(len(dataset), lambda number: _trivia_row(dataset[number], _where(_TRIVIAQA, number)))


def _trivia_row(row: Mapping[str, Any], where: str) -> TriviaRow:
    where = f"{where} (question_id {row['question_id']})"
    answer = field(row, "answer", dict, where)
    official = {
        "Value": answer.get("value"),
        "Aliases": answer.get("aliases"),
        "NormalizedAliases": answer.get("normalized_aliases"),
    }
    documents: dict[str, TriviaDocument] = {}
    missing = []
    for name, title, text in _evidence(row, where):
        if text is None:
            missing.append(name)
        elif text.strip():
            documents[name] = TriviaDocument(name, title, text)
    return TriviaRow(
        id=text_field(row, "question_id", where),
        question=mend_quotes(text_field(row, "question", where)),
        references=trivia_references(official, where),
        documents=tuple(documents.values()),
        missing=tuple(missing),
    )


def _evidence(row: Mapping[str, Any], where: str) -> Iterator[tuple[str, str, str | None]]:
    """File below the official evidence folder, title and text of each document."""
    for column, folder, context in _EVIDENCE:
        listing = field(row, column, dict, where)
        columns = [field(listing, name, list, where) for name in ("filename", "title", context)]
        for filename, title, text in zip(*columns, strict=True):
            if filename:
                yield f"{folder}/{filename}", (title or PurePosixPath(filename).stem).strip(), text


def _numbered(dataset: Dataset, repository: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, row in enumerate(dataset):
        yield _where(repository, number), row


def _where(repository: str, number: int) -> str:
    return f"{repository} {SPLIT}, row {number}"
