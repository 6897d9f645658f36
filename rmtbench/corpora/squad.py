"""SQuAD v1.1: a draw is whole articles, and the first 500 of their shuffled questions.

As in "Don't Do RAG" (arXiv 2412.15605v1): 3, 4 and 7 articles are about 21k, 32k and 50k tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rmtbench.core import Document, Draw, Gold, Question, Source, Span
from rmtbench.corpora.base import DatasetFacts, DrawRequest, TokenCounter
from rmtbench.corpora.draws import DocumentIds, choose_size, generator, make_draw, shuffled, too_small
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
        wanted = choose_size(ARTICLES, request.size)
        if len(self.articles) < wanted:
            raise too_small(ARTICLES, request.size, len(self.articles), "articles", self.source)
        chance = generator(self.name, request)
        articles = [self.articles[place] for place in chance.sample(range(len(self.articles)), wanted)]
        if request.size == "smoke":
            articles = [_first_paragraphs(articles[0], count_tokens)]
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
        unique = list({question.id: (question, gold) for question, gold in asked}.values())
        return make_draw(
            dataset=self.name,
            request=request,
            source=self.source,
            documents=documents,
            asked=shuffled(unique, chance)[:QUESTIONS],
        )


def _first_paragraphs(article: SquadArticle, count_tokens: TokenCounter) -> SquadArticle:
    total = 0
    kept: list[SquadParagraph] = []
    counts = count_tokens([paragraph.text for paragraph in article.paragraphs])
    for paragraph, count in zip(article.paragraphs, counts, strict=True):
        if kept and total + count > SMOKE_TOKENS * 1.02:
            break
        kept.append(paragraph)
        total += count
    return SquadArticle(article.title, tuple(kept))


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
