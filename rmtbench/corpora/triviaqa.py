"""TriviaQA (rc): evidence documents fill a token budget, and the questions are those that they answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from rmtbench.core import Document, Draw, Gold, Question, Source, Span
from rmtbench.corpora.base import BUDGETS, DatasetFacts, DatasetKind, DrawRequest, HubRows, OfficialFiles, TokenCounter
from rmtbench.corpora.draws import TOLERANCE, choose_budget, generator, make_draw, shuffled, too_small
from rmtbench.corpora.hub import triviaqa_rows
from rmtbench.corpora.official import read_triviaqa
from rmtbench.corpora.rows import TriviaDocument, TriviaRow
from rmtbench.normalize import normalize_triviaqa, triviaqa_words

MOST_SPANS = 10_000
"""Occurrences of an answer that are kept as evidence, a question: only a text of nothing else has more.

A chunk that holds one that is left out would count as not found.
"""


@dataclass(frozen=True)
class TriviaQA:
    """A `Dataset` over TriviaQA rows."""

    source: Source
    rows: Sequence[TriviaRow]
    name: str = "triviaqa"

    def facts(self) -> DatasetFacts:
        """Counts, and how often each quirk of the data set occurs; reads all evidence."""
        documents: set[str] = set()
        missing = without = ungraded = unanswered = 0
        for row in self.rows:  # once: each row's evidence is read when the row is asked for
            documents |= {document.id for document in row.documents}
            missing += len(row.missing)
            without += not row.documents
            ungraded += not row.gradable
            unanswered += row.gradable and not any(find_answers(row.references, one) for one in row.documents)
        notes = {
            "evidence files missing": missing,
            "rows without evidence": without,
            "rows marked as not gradable": ungraded,
            "rows whose evidence holds no answer": unanswered,
        }
        return DatasetFacts(len(documents), len(self.rows), notes)

    def draw(self, request: DrawRequest, count_tokens: TokenCounter) -> Draw:
        """Take rows in random order and their evidence documents, each once, while the budget holds.

        Raises:
            UserError: An unknown size, or less evidence than it needs.
        """
        budget = choose_budget(BUDGETS, request.size)
        chance = generator(self.name, request)
        order = shuffled(range(len(self.rows)), chance)
        visited, chosen, total = self._fill(order, budget, count_tokens)
        if total < budget * (1 - TOLERANCE):
            # Evidence that is too long for a smaller budget would not fill that one: the remedy names what was tried.
            fitting = [
                name
                for name, less in BUDGETS.items()
                if less < budget and self._fill(order, less, count_tokens)[2] >= less * (1 - TOLERANCE)
            ]
            raise too_small(BUDGETS, request.size, total, "tokens of fitting evidence", self.source, fitting)
        return make_draw(
            dataset=self.name,
            request=request,
            source=self.source,
            documents=shuffled([Document(entry.id, entry.title, entry.text) for entry in chosen.values()], chance),
            asked=list(_answered(visited, chosen)),
        )

    def _fill(
        self, order: Sequence[int], budget: int, count_tokens: TokenCounter
    ) -> tuple[list[TriviaRow], dict[str, TriviaDocument], int]:
        """The rows that were visited until the budget was met, the documents that fit, and their tokens."""
        chosen: dict[str, TriviaDocument] = {}
        passed_over: set[str] = set()
        visited: list[TriviaRow] = []
        total = 0
        for place in order:
            row = self.rows[place]
            visited.append(row)
            new = [entry for entry in row.documents if entry.id not in chosen and entry.id not in passed_over]
            counts = count_tokens([f"{entry.title}\n{entry.text}" for entry in new])
            for entry, count in zip(new, counts, strict=True):
                if total + count <= budget * (1 + TOLERANCE):
                    chosen[entry.id] = entry
                    total += count
                else:
                    passed_over.add(entry.id)
            if total >= budget * (1 - TOLERANCE):
                break
        return visited, chosen, total


def find_answers(references: Sequence[str], document: TriviaDocument) -> list[Span]:
    """Where a document states an answer, on word boundaries and in any case, else in normal form.

    Args:
        references: Accepted answers.
        document: Where to look.

    Returns:
        At most `MOST_SPANS` spans in the order of the text; none if no answer occurs.
    """
    longest_first = sorted({reference.strip() for reference in references if reference.strip()}, key=len, reverse=True)
    pattern = "|".join(re.escape(reference) for reference in longest_first)
    spans = []
    for match in re.finditer(rf"(?<!\w)(?:{pattern})(?!\w)", document.text, re.IGNORECASE):
        spans.append(Span(document.id, match.start(), match.end()))
        if len(spans) == MOST_SPANS:
            break
    if spans:
        return spans
    text = f" {normalize_triviaqa(document.text)} "
    forms = {normalize_triviaqa(reference) for reference in references} - {""}
    there = {form for form in forms if f" {form} " in text}
    return _find_normal(there, document)[:MOST_SPANS] if there else []


def _find_normal(forms: AbstractSet[str], document: TriviaDocument) -> list[Span]:
    """Where a document has one of the normal forms; all of it where an article within a word hides the place."""
    words = triviaqa_words(document.text)
    spans = []
    for parts in (tuple(form.split()) for form in forms):
        for first in range(len(words) - len(parts) + 1):
            taken = words[first : first + len(parts)]
            if tuple(word for word, _, _ in taken) == parts:
                spans.append(Span(document.id, taken[0][1], taken[-1][2]))
    return sorted(spans, key=lambda span: (span.start, span.end)) or [Span(document.id, 0, len(document.text))]


def _answered(rows: Sequence[TriviaRow], chosen: dict[str, TriviaDocument]) -> Iterator[tuple[Question, Gold]]:
    """Questions of the rows whose own evidence, as far as it was chosen, holds an answer."""
    given: set[str] = set()
    for row in rows:
        if not row.gradable or row.id in given:
            continue
        spans = [span for entry in row.documents if entry.id in chosen for span in find_answers(row.references, entry)]
        if spans:
            given.add(row.id)
            yield Question(row.id, row.question, "trivia"), Gold(row.id, row.references, (tuple(spans[:MOST_SPANS]),))


FILES = OfficialFiles(
    ("wikipedia-dev.json", "web-dev.json", "wikipedia-train.json", "web-train.json"),
    "{",
    read_triviaqa,
    TriviaQA,
    below="qa",
)

DATASET = DatasetKind(
    name="triviaqa",
    label="TriviaQA (rc)",
    order=3,
    official=FILES,
    hub=HubRows("mandarjoshi/trivia_qa", "rc", triviaqa_rows),
    miniature=True,
    normal_form="triviaqa",
)
