"""SQuAD v1.1: a draw is whole articles, and the first 500 of their shuffled questions.

As in "Don't Do RAG" (arXiv 2412.15605v1): 3, 4 and 7 articles are about 21k, 32k and 50k tokens. Of a size in tokens
the last article ends where the budget does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from rmtbench.core import Document, Draw, Gold, Question, Source, Span, token_budget
from rmtbench.corpora.base import DatasetFacts, DatasetKind, DrawRequest, HubRows, OfficialFiles, TokenCounter
from rmtbench.corpora.draws import TOLERANCE, DocumentIds, choose_size, generator, make_draw, shuffled, too_small
from rmtbench.corpora.hub import squad_rows
from rmtbench.corpora.official import read_squad
from rmtbench.corpora.rows import SquadArticle, SquadParagraph, SquadQuestion

ARTICLES = {"smoke": 1, "small": 3, "medium": 4, "large": 7}
SMOKE_TOKENS = 1000
QUESTIONS = 500
SEPARATOR = "\n\n"


@dataclass(frozen=True)
class Squad:
    """A `Dataset` over SQuAD articles."""

    source: Source
    articles: Sequence[SquadArticle]
    name: str = "squad"

    def facts(self) -> DatasetFacts:
        """Counts, and how often each quirk of the data set occurs."""
        paragraphs = [paragraph for article in self.articles for paragraph in article.paragraphs]
        questions = [question for paragraph in paragraphs for question in paragraph.questions]
        texts = [paragraph.text for paragraph in paragraphs]
        notes = {
            "paragraphs": len(paragraphs),
            "duplicate paragraphs": len(texts) - len(set(texts)),
            "questions with several distinct references": sum(
                len({text for text, _ in question.answers}) > 1 for question in questions
            ),
            "answers not where they are annotated": sum(
                not _stands_at(text, start, paragraph.text)
                for paragraph in paragraphs
                for question in paragraph.questions
                for text, start in question.answers
            ),
        }
        return DatasetFacts(len(self.articles), len(questions), notes)

    def draw(self, request: DrawRequest, count_tokens: TokenCounter) -> Draw:
        """Draw the size's number of articles; `smoke` is the first paragraphs of one, up to about 1k tokens.

        Raises:
            UserError: An unknown size, or fewer articles than it needs.
        """
        chance = generator(self.name, request)
        articles = self._choose(request.size, chance, count_tokens)
        documents: list[Document] = []
        places: dict[str, tuple[str, int]] = {}
        ids = DocumentIds()
        for article in articles:
            document = _join(article, ids, places)
            if document is not None:
                documents.append(document)
        asked = [
            _ask(question, paragraph, *places[paragraph.text])
            for article in articles
            for paragraph in article.paragraphs
            for question in paragraph.questions
        ]
        return make_draw(
            dataset=self.name,
            request=request,
            source=self.source,
            documents=documents,
            asked=shuffled(asked, chance)[:QUESTIONS],
        )

    def _choose(self, size: str, chance: Random, count_tokens: TokenCounter) -> list[SquadArticle]:
        budget = token_budget(size)
        if budget is not None:
            return self._within(budget, size, shuffled(range(len(self.articles)), chance), count_tokens)
        wanted = choose_size(ARTICLES, size)
        if len(self.articles) < wanted:
            raise too_small(ARTICLES, size, len(self.articles), "articles", self.source)
        articles = [self.articles[place] for place in chance.sample(range(len(self.articles)), wanted)]
        if size == "smoke":
            articles = [_first_paragraphs(articles[0], SMOKE_TOKENS, count_tokens)[0]]
        return articles

    def _within(self, budget: int, size: str, order: Sequence[int], count_tokens: TokenCounter) -> list[SquadArticle]:
        articles: list[SquadArticle] = []
        total = 0
        for whole in (self.articles[place] for place in order):
            article, count = _first_paragraphs(whole, budget - total, count_tokens, at_least=0 if articles else 1)
            total += count
            articles += [article] if article.paragraphs else []
            if len(article.paragraphs) < len(whole.paragraphs):
                return articles
        if total < budget * (1 - TOLERANCE):
            fitting = [name for name, need in ARTICLES.items() if need <= len(self.articles)]
            raise too_small(ARTICLES, size, total, "tokens", self.source, fitting)
        return articles


def _first_paragraphs(
    article: SquadArticle, budget: int, count_tokens: TokenCounter, *, at_least: int = 1
) -> tuple[SquadArticle, int]:
    """The article's paragraphs while the next one fits, and their tokens with those of its title."""
    total = 0
    kept: list[SquadParagraph] = []
    before = (f"{article.title}\n", *[SEPARATOR] * len(article.paragraphs))
    counts = count_tokens([start + each.text for start, each in zip(before, article.paragraphs, strict=False)])
    for paragraph, count in zip(article.paragraphs, counts, strict=True):
        if len(kept) >= at_least and total + count > budget * (1 + TOLERANCE):
            break
        kept.append(paragraph)
        total += count
    return SquadArticle(article.title, tuple(kept)), total


def _join(article: SquadArticle, ids: DocumentIds, places: dict[str, tuple[str, int]]) -> Document | None:
    """One document of the article's paragraphs that no earlier article had; notes where each of them lies."""
    identity = ids.new(article.title)
    text = ""
    for paragraph in article.paragraphs:
        if paragraph.text in places:
            continue
        text += SEPARATOR if text else ""
        places[paragraph.text] = (identity, len(text))
        text += paragraph.text
    return Document(identity, article.title, text) if text else None


def _ask(question: SquadQuestion, paragraph: SquadParagraph, document_id: str, offset: int) -> tuple[Question, Gold]:
    spans = dict.fromkeys(
        Span(document_id, offset + start, offset + end)
        for text, annotated in question.answers
        for start, end in [_place(text, annotated, paragraph.text)]
    )
    references = tuple(dict.fromkeys(text for text, _ in question.answers))
    return Question(question.id, question.text, "span"), Gold(question.id, references, (tuple(spans),))


def _stands_at(answer: str, start: int, text: str) -> bool:
    """Whether the answer begins there; a negative start, which Python counts from the end, is nowhere."""
    return start >= 0 and text.startswith(answer, start)


def _place(answer: str, annotated: int, text: str) -> tuple[int, int]:
    """Where the answer stands: as annotated, else its nearest occurrence, else the whole paragraph."""
    if _stands_at(answer, annotated, text):
        return annotated, annotated + len(answer)
    starts = [start for start in range(len(text)) if text.startswith(answer, start)]
    if not starts:
        return 0, len(text)
    nearest_start = min(starts, key=lambda start: abs(start - annotated))
    return nearest_start, nearest_start + len(answer)


FILES = OfficialFiles(("dev-v1.1.json", "train-v1.1.json"), "{", read_squad, Squad)

DATASET = DatasetKind(
    name="squad",
    label="SQuAD v1.1",
    order=1,
    official=FILES,
    hub=HubRows("rajpurkar/squad", None, squad_rows),
    tokens={"smoke": 1_000, "small": 21_000, "medium": 32_000, "large": 50_000},
    miniature=True,
)
