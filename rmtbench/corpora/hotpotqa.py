"""HotpotQA (distractor): a draw is k rows; the corpus is their paragraphs, the questions are theirs.

As in "Don't Do RAG" (arXiv 2412.15605v1): 16, 32 and 64 rows are about 21k, 43k and 85k tokens. A size in tokens is as
many rows as fit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from rmtbench.core import Document, Draw, Gold, Question, Source, Span, token_budget
from rmtbench.corpora.base import DatasetFacts, DatasetKind, DrawRequest, HubRows, OfficialFiles, TokenCounter
from rmtbench.corpora.draws import TOLERANCE, DocumentIds, choose_size, generator, make_draw, shuffled, too_small
from rmtbench.corpora.hub import hotpotqa_rows
from rmtbench.corpora.official import read_hotpotqa
from rmtbench.corpora.rows import HotpotRow

ROWS = {"smoke": 1, "small": 16, "medium": 32, "large": 64}


@dataclass(frozen=True)
class HotpotQA:
    """A `Dataset` over HotpotQA rows."""

    source: Source
    rows: Sequence[HotpotRow]
    name: str = "hotpotqa"

    def facts(self) -> DatasetFacts:
        """Counts, and how often each quirk of the data set occurs."""
        texts = [(title, "".join(sentences)) for row in self.rows for title, sentences in row.paragraphs]
        notes = Counter(
            {
                "rows with other than ten paragraphs": sum(len(row.paragraphs) != 10 for row in self.rows),
                "yes/no answers": sum(_yes_no(row) for row in self.rows),
                "answers not literally in the context": sum(_not_literal(row) for row in self.rows),
                "duplicate paragraphs": len(texts) - len(set(texts)),
                "supporting facts without a sentence": sum(
                    _sentence(row, title, number) is None for row in self.rows for title, number in row.facts
                ),
            }
        )
        return DatasetFacts(len(set(texts)), len(self.rows), dict(notes))

    def draw(self, request: DrawRequest, count_tokens: TokenCounter) -> Draw:
        """Draw the size's number of rows; of a size in tokens, rows in random order while the next one fits.

        Raises:
            UserError: An unknown size, or fewer rows than it needs.
        """
        chance = generator(self.name, request)
        rows = self._rows(request.size, chance, count_tokens)
        documents: dict[tuple[str, str], Document] = {}
        ids = DocumentIds()
        for row in rows:
            for title, sentences in row.paragraphs:
                text = "".join(sentences)
                if text.strip() and (title, text) not in documents:
                    documents[title, text] = Document(ids.new(title), title, text)
        asked = [(_question(row), Gold(row.id, (row.answer,), _evidence(row, documents))) for row in rows]
        return make_draw(
            dataset=self.name,
            request=request,
            source=self.source,
            documents=shuffled(list(documents.values()), chance),
            asked=asked,
        )

    def _rows(self, size: str, chance: Random, count_tokens: TokenCounter) -> list[HotpotRow]:
        budget = token_budget(size)
        if budget is not None:
            return self._within(budget, size, shuffled(range(len(self.rows)), chance), count_tokens)
        wanted = choose_size(ROWS, size)
        if len(self.rows) < wanted:
            raise too_small(ROWS, size, len(self.rows), "rows", self.source)
        return [self.rows[place] for place in chance.sample(range(len(self.rows)), wanted)]

    def _within(self, budget: int, size: str, order: Sequence[int], count_tokens: TokenCounter) -> list[HotpotRow]:
        """Whole rows while the next one fits, and never none; a paragraph that two rows share counts once."""
        rows: list[HotpotRow] = []
        seen: set[str] = set()
        total = 0
        for row in (self.rows[place] for place in order):
            texts = {f"{title}\n{''.join(sentences)}" for title, sentences in row.paragraphs} - seen
            count = sum(count_tokens(sorted(texts)))
            if rows and total + count > budget * (1 + TOLERANCE):
                return rows
            rows.append(row)
            seen |= texts
            total += count
        if total < budget * (1 - TOLERANCE):
            fitting = [name for name, need in ROWS.items() if need <= len(self.rows)]
            raise too_small(ROWS, size, total, "tokens", self.source, fitting)
        return rows


def _question(row: HotpotRow) -> Question:
    return Question(row.id, row.question, "yes/no" if _yes_no(row) else row.kind)


def _yes_no(row: HotpotRow) -> bool:
    return row.answer.lower() in {"yes", "no"}


def _not_literal(row: HotpotRow) -> bool:
    return not _yes_no(row) and not any(row.answer in "".join(sentences) for _, sentences in row.paragraphs)


def _sentence(row: HotpotRow, title: str, number: int) -> tuple[str, int, int] | None:
    """Text of the titled paragraph and the sentence's first and last character in it; None if there is none."""
    for name, sentences in row.paragraphs:
        if name == title and 0 <= number < len(sentences) and sentences[number].strip():
            sentence = sentences[number]
            start = sum(map(len, sentences[:number])) + len(sentence) - len(sentence.lstrip())
            return "".join(sentences), start, start + len(sentence.strip())
    return None


def _evidence(row: HotpotRow, documents: dict[tuple[str, str], Document]) -> tuple[tuple[Span, ...], ...]:
    """One entry a supporting sentence; a fact that names a sentence which is not there is left out."""
    facts = []
    for title, number in dict.fromkeys(row.facts):
        found = _sentence(row, title, number)
        if found is not None:
            text, start, end = found
            facts.append((Span(documents[title, text].id, start, end),))
    return tuple(facts)


FILES = OfficialFiles(("hotpot_dev_distractor_v1.json", "hotpot_train_v1.1.json"), "[", read_hotpotqa, HotpotQA)

DATASET = DatasetKind(
    name="hotpotqa",
    label="HotpotQA (distractor)",
    order=2,
    official=FILES,
    hub=HubRows("hotpotqa/hotpot_qa", "distractor", hotpotqa_rows),
    tokens={"smoke": 1_340, "small": 21_000, "medium": 43_000, "large": 86_000},
    miniature=True,
    normal_form="hotpotqa",
)
