"""Training examples from rows of public data sets: one context, many questions about it, short answers.

The prompt contract writes them, so a model meets in training the token ids that the suite asks with. Questions share
their context: it is read once a step for all of them, which is what makes training on a CPU affordable.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from rmtbench.corpora.rows import HotpotRow, SquadArticle
from rmtbench.models.base import Passage
from rmtbench.normalize import normalize_squad

if TYPE_CHECKING:
    from rmtbench.models.prompt import PromptContract

UNKNOWN = "unknown"
"""The answer where the documents do not say."""

Kind = Literal["span", "bridge", "comparison", "unknown"]


@dataclass(frozen=True, slots=True)
class TrainingQuestion:
    """A question with the answer to learn."""

    text: str
    answer: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Packed:
    """One context and the questions about it, as token ids.

    Attributes:
        context: Everything before a question.
        questions: For each question, its ids up to where the answer begins, and the answer's ids with its end token.
        kinds: Kind of each question.
    """

    context: Sequence[int]
    questions: Sequence[tuple[Sequence[int], Sequence[int]]]
    kinds: Sequence[Kind]

    @property
    def tokens(self) -> int:
        """Tokens that a step reads for it."""
        return len(self.context) + sum(len(question) + len(answer) for question, answer in self.questions)


@dataclass(frozen=True, slots=True)
class PackPlan:
    """What one context with its questions is like.

    Attributes:
        context: Most tokens of documents.
        questions: Most questions that the documents answer.
        unknown: Share of questions that the documents do not answer.
        empty: Share of contexts without any document; all of their questions are unknown.
        two_passages: Share of contexts of HotpotQA rows, whose questions need two passages.
        shortest: Least tokens of documents, as a share of `context`; one paragraph is there in any case.
        even_by: Whether every number of tokens, or every power of it, is equally likely between the two.
    """

    context: int
    questions: int
    unknown: float = 0.15
    empty: float = 0.02
    two_passages: float = 0.2
    shortest: float = 0.4
    even_by: Literal["tokens", "log"] = "tokens"

    def budget(self, chance: random.Random) -> float:
        """Draw the tokens of documents of one context."""
        if self.even_by == "log":
            share: float = self.shortest ** chance.random()
            return self.context * share
        return self.context * chance.uniform(self.shortest, 1.0)


@dataclass(frozen=True)
class Rows:
    """Training rows, and the contract that writes them.

    Raises:
        ValueError: There are no SQuAD articles: the questions without an answer are drawn from them.
    """

    contract: PromptContract
    articles: Sequence[SquadArticle]
    hotpot: Sequence[HotpotRow] = ()

    def __post_init__(self) -> None:
        if not self.articles:
            raise ValueError("no SQuAD articles")

    @cached_property
    def lengths(self) -> Sequence[Sequence[int]]:
        """Tokens of every paragraph, by article."""
        return [self._count([paragraph.text for paragraph in article.paragraphs]) for article in self.articles]

    @cached_property
    def hotpot_lengths(self) -> Sequence[Sequence[int]]:
        """Tokens of every paragraph, by HotpotQA row."""
        return [self._count(["".join(text) for _, text in row.paragraphs]) for row in self.hotpot]

    def _count(self, texts: Sequence[str]) -> list[int]:
        return [len(ids) + 8 for ids in self.contract.tokenizer(list(texts), add_special_tokens=False)["input_ids"]]

    def pack(self, plan: PackPlan, chance: random.Random) -> Packed:
        """Draw one context and its questions.

        Args:
            plan: Its size and kind.
            chance: The one source of randomness: the same chance draws the same.
        """
        if chance.random() < plan.empty:
            return self._encode([], self._unanswered(8, "", chance))
        if self.hotpot and chance.random() < plan.two_passages:
            passages, asked = self._two_passages(plan, chance)
        else:
            passages, asked = self._article(plan, chance)
        text = "\n".join(f"{passage.title}\n{passage.text}" for passage in passages)
        missing = sum(chance.random() < plan.unknown / (1 - plan.unknown) for _ in asked)
        asked = [*asked, *self._unanswered(missing, text, chance, near=passages[0].title)]
        return self._encode(passages, asked)

    def _encode(self, passages: Sequence[Passage], asked: Sequence[TrainingQuestion]) -> Packed:
        contract = self.contract
        end = int(contract.tokenizer.eos_token_id)
        questions = [
            (
                contract.question_ids(one.text),
                [*contract.tokenizer.encode(f" {one.answer}", add_special_tokens=False), end],
            )
            for one in asked
        ]
        return Packed(contract.context_ids(passages), questions, [one.kind for one in asked])

    def _article(self, plan: PackPlan, chance: random.Random) -> tuple[list[Passage], list[TrainingQuestion]]:
        """A run of one article's paragraphs, as one document or as passages; another article fills a long context."""
        budget = plan.budget(chance)
        passages: list[Passage] = []
        asked: list[TrainingQuestion] = []
        while budget > 0 and len(passages) < 4000:
            number = chance.randrange(len(self.articles))
            article, lengths = self.articles[number], self.lengths[number]
            first = chance.randrange(len(article.paragraphs))
            chosen = [first]
            budget -= lengths[first]
            for place in range(first + 1, len(article.paragraphs)):
                if lengths[place] > budget:
                    break
                chosen.append(place)
                budget -= lengths[place]
            texts = [article.paragraphs[place].text for place in chosen]
            whole = chance.random() < 0.6
            passages += [Passage(article.title, text) for text in (["\n\n".join(texts)] if whole else texts)]
            asked += [
                TrainingQuestion(question.text, question.answers[0][0], "span")
                for place in chosen
                for question in article.paragraphs[place].questions
                if question.answers
            ]
            budget -= 120  # rather stop than end with a paragraph that does not fit
        if chance.random() < 0.5:
            chance.shuffle(passages)
        return passages, chance.sample(asked, min(plan.questions, len(asked)))

    def _two_passages(self, plan: PackPlan, chance: random.Random) -> tuple[list[Passage], list[TrainingQuestion]]:
        """Supporting paragraphs of some rows, filled up with their distractors, in any order."""
        budget = plan.budget(chance)
        passages: list[Passage] = []
        spare: list[tuple[int, Passage]] = []
        asked: list[TrainingQuestion] = []
        for number in chance.sample(range(len(self.hotpot)), min(len(self.hotpot), 1 + plan.context // 450)):
            row, lengths = self.hotpot[number], self.hotpot_lengths[number]
            named = {title for title, _ in row.facts}
            mine = [
                (length, Passage(title, "".join(text)))
                for (title, text), length in zip(row.paragraphs, lengths, strict=True)
            ]
            needed = sum(length for length, passage in mine if passage.title in named)
            if asked and needed > budget:
                break
            budget -= needed
            passages += [passage for _, passage in mine if passage.title in named]
            spare += [(length, passage) for length, passage in mine if passage.title not in named]
            asked.append(
                TrainingQuestion(row.question, row.answer, "comparison" if row.kind == "comparison" else "bridge")
            )
        chance.shuffle(spare)
        for length, passage in spare:
            if length <= budget:
                passages.append(passage)
                budget -= length
        chance.shuffle(passages)
        return passages, asked[: plan.questions]

    def _unanswered(self, count: int, text: str, chance: random.Random, near: str = "") -> list[TrainingQuestion]:
        """Questions that a text does not answer, half of them about its own topic.

        The answer's words must not be in the text. A text that says it in other words would make the label wrong; of
        paragraphs that were written about other things this is rare.
        """
        found: list[TrainingQuestion] = []
        topic = [article for article in self.articles if article.title == near]
        words = f" {normalize_squad(text)} "
        for _ in range(40 * count):
            if len(found) == count:
                break
            article = topic[0] if topic and chance.random() < 0.6 else chance.choice(self.articles)
            paragraph = chance.choice(article.paragraphs)
            if not paragraph.questions or paragraph.text in text:
                continue
            question = chance.choice(paragraph.questions)
            if question.answers and f" {normalize_squad(question.answers[0][0])} " not in words:
                found.append(TrainingQuestion(question.text, UNKNOWN, "unknown"))
        return found
