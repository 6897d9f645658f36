"""The miniature as a data set: every draw is a world of its own, told in one style to the size's number of tokens."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from rmtbench.core import Document, Draw, Gold, Question, Source, Span
from rmtbench.corpora.base import DatasetFacts, DrawRequest, TokenCounter
from rmtbench.corpora.draws import TOLERANCE, DocumentIds, choose_budget, generator, make_draw, shuffled
from rmtbench.corpora.miniature import fillers, words
from rmtbench.corpora.miniature.asking import Asked, QuestionKind, ask_about_group, ask_single
from rmtbench.corpora.miniature.prose import Sentence
from rmtbench.corpora.miniature.relations import OTHER_NAMES, RELATIONS
from rmtbench.corpora.miniature.styles import PLANS, Page, Style, plan_world, tell
from rmtbench.corpora.miniature.words import NameWords, held_out, inventory, seen, small_pools
from rmtbench.corpora.miniature.world import Entity, Fact, World, make_world
from rmtbench.errors import UserError
from rmtbench.options import flag

VERSIONS: Mapping[Style, int] = {"squad": 3, "hotpotqa": 3, "triviaqa": 4}
"""Raise a style's whenever its draws change: it is part of the source's hash."""

BUDGETS: Mapping[Style, Mapping[str, int]] = {
    "squad": {"smoke": 1_000, "small": 21_000, "medium": 32_000, "large": 50_000},
    "hotpotqa": {"smoke": 1_000, "small": 21_000, "medium": 43_000, "large": 85_000},
    "triviaqa": {"smoke": 1_000, "small": 21_000, "medium": 43_000, "large": 85_000},
}
"""Tokens of title and text of all documents, met within `TOLERANCE`."""

_GROUPS: Mapping[Style, Mapping[str, int]] = {
    "squad": {"smoke": 1, "small": 3, "medium": 4, "large": 7},
    "hotpotqa": {"smoke": 1, "small": 16, "medium": 32, "large": 64},
    "triviaqa": {"smoke": 2, "small": 32, "medium": 64, "large": 128},
}
_TOKENS_A_PARAGRAPH = {"squad": 128, "hotpotqa": 131, "triviaqa": 131}
_QUESTIONS = {"squad": 500, "triviaqa": 250}
_ROW_KINDS: Mapping[QuestionKind, int] = {"bridge": 5, "comparison": 3, "yes/no": 2}

Names = Callable[[], NameWords]
NAMES: Mapping[str, Names] = {"all": inventory, "seen": seen, "held-out": held_out}
"""Which name words a draw may use: all; those of training texts alone; those that no training text contains."""


@dataclass(frozen=True)
class Miniature:
    """A `Dataset` that is generated, in the style of a real one.

    Attributes:
        style: Whose style; also its name.
        names: Which of `NAMES`; ``all`` unless names that a model never saw are to be measured apart.
    """

    style: Style
    names: str = "all"

    @property
    def name(self) -> str:
        """The style's name."""
        return self.style

    @property
    def source(self) -> Source:
        """Kind ``miniature``, and a hash over the generator's words, sentences and version."""
        name = f"{self.style} style" + ("" if self.names == "all" else f", {self.names} names")
        return Source("miniature", name, _hash(name, self.style))

    def facts(self) -> DatasetFacts:
        """Counts of the words and relations that draws are made from; there are as many draws as seeds."""
        known = inventory().by_kind
        notes = {
            "name words": sum(map(len, known.values())),
            "name words held out from training": sum(map(len, held_out().by_kind.values())),
            "relations": len(RELATIONS),
            "ways to state them": sum(len(relation.statements) for relation in RELATIONS),
            "ways to ask for them": sum(len(relation.questions) for relation in RELATIONS),
        }
        return DatasetFacts(0, 0, notes)

    def tell(self, request: DrawRequest, count_tokens: TokenCounter) -> tuple[World, list[Page], random.Random]:
        """The world of a draw, its pages, and the random numbers that the questions go on with.

        Args:
            request: Which draw.
            count_tokens: Counts tokens for the size's budget.

        Raises:
            UserError: An unknown size, or a tokenizer by which sentences are too long or short for the budget.
        """
        budget = choose_budget(BUDGETS[self.style], request.size)
        chance = generator(f"miniature {self.style} {self.names} {VERSIONS[self.style]}", request)
        largest = BUDGETS[self.style]["large"] / _GROUPS[self.style]["large"]
        groups = _GROUPS[self.style].get(request.size) or max(1, round(budget / largest))
        size = max(3, round(budget / groups / _TOKENS_A_PARAGRAPH[self.style]))
        names = _share_words(NAMES[self.names](), groups * size, chance)
        world = make_world(plan_world(self.style, [size] * groups, names), chance)
        pages = _to_budget(tell(self.style, world, chance), budget, count_tokens, chance, self.style)
        return world, pages, chance

    def draw(self, request: DrawRequest, count_tokens: TokenCounter) -> Draw:
        """Generate a draw; the same request and tokenizer give the same bytes anywhere.

        Args:
            request: Which draw.
            count_tokens: Counts tokens for the size's budget.

        Raises:
            UserError: As `tell`.
        """
        world, pages, chance = self.tell(request, count_tokens)
        ids = DocumentIds()
        documents = [Document(ids.new(page.title), page.title, page.text) for page in pages]
        places = _places(pages, documents, exact=self.style == "squad")
        asked = [
            (
                Question(f"{self.style}-{request.seed}-{request.draw}-{number}", one.text, one.kind),
                Gold(
                    f"{self.style}-{request.seed}-{request.draw}-{number}",
                    one.references[:1] if self.style == "hotpotqa" else one.references,  # its format knows one
                    tuple((places[fact.key],) for fact in one.facts),
                ),
            )
            for number, one in enumerate(_ask(self.style, world, chance))
        ]
        return make_draw(
            dataset=self.style,
            request=request,
            source=self.source,
            documents=shuffled(documents, chance),
            asked=asked,
        )


def _ask(style: Style, world: World, chance: random.Random) -> list[Asked]:
    if style == "squad":
        facts = [fact for entity in world.entities for fact in world.facts[entity.id].values()]
        return [ask_single(fact, chance) for fact in shuffled(facts, chance)[: _QUESTIONS[style]]]
    if style == "hotpotqa":
        return [_ask_row(world, group, chance) for group in world.groups]
    asked = []
    for group in world.groups:
        told = [fact for entity in group for fact in world.facts[entity.id].values()]
        asked += [ask_single(fact, chance) for fact in chance.sample(told, min(2, len(told)))]
        if chance.random() < 0.4:
            unknown = ask_about_group(world, group, "unknown", chance)
            asked += [unknown] if unknown else []
    unique = list({one.text: one for one in asked}.values())
    return shuffled(unique, chance)[: _QUESTIONS[style]]


def _ask_row(world: World, group: Sequence[Entity], chance: random.Random) -> Asked:
    """A question of the kind that is drawn, or of another where the row holds none of it."""
    kinds: list[QuestionKind] = [*_ROW_KINDS, "single"]
    first = chance.choices(list(_ROW_KINDS), list(_ROW_KINDS.values()))[0]
    for kind in [first, *(other for other in kinds if other != first)]:
        asked = ask_about_group(world, group, kind, chance)
        if asked is not None:
            return asked
    raise RuntimeError("a group without a fact")


def _share_words(names: NameWords, entities: int, chance: random.Random) -> NameWords:
    """So few words that many names share one: whoever looks for a word finds the wrong entity, too."""
    sizes = {"first": 0.12, "last": 0.12, "town": 0.12, "company": 0.08}
    return small_pools(names, chance, {kind: round(share * entities) + 4 for kind, share in sizes.items()})


def _to_budget(
    pages: Sequence[Page], budget: int, count_tokens: TokenCounter, chance: random.Random, style: Style
) -> list[Page]:
    """Add or take idle sentences, paragraph by paragraph, until the budget is met."""
    done = list(pages)
    counts = list(count_tokens([f"{page.title}\n{page.text}" for page in done]))
    order = [(place, number) for place, page in enumerate(done) for number in range(len(page.paragraphs))]
    for _ in range(12):
        missing = budget - sum(counts)
        if abs(missing) <= 0.25 * TOLERANCE * budget:
            return done
        changed = set[int]()
        for place, number in shuffled(order, chance):
            if abs(missing) <= 0.1 * TOLERANCE * budget:
                break
            paragraph = done[place].paragraphs[number]
            other = paragraph.longer(chance) if missing > 0 else paragraph.shorter()
            # Within the length that paragraphs are to have; the smallest size has the shortest ones.
            if other is None or not 50 <= other.words <= 150:
                continue
            missing -= round(1.25 * (other.words - paragraph.words))
            paragraphs = done[place].paragraphs
            done[place] = replace(done[place], paragraphs=(*paragraphs[:number], other, *paragraphs[number + 1 :]))
            changed.add(place)
        for place, count in zip(
            changed, count_tokens([f"{done[p].title}\n{done[p].text}" for p in changed]), strict=True
        ):
            counts[place] = count
    if abs(budget - sum(counts)) > TOLERANCE * budget:
        raise UserError(
            f"{sum(counts):,} tokens where {budget:,} are wanted: this tokenizer cuts English too differently",
            where=f"miniature {style}",
            remedy=f"count with another tokenizer ({flag.tokenizer}), or choose another {flag.size}",
        )
    return done


def _places(pages: Sequence[Page], documents: Sequence[Document], *, exact: bool) -> dict[tuple[int, str], Span]:
    """Where each fact is stated: its sentence, or exactly its object."""
    places = {}
    for page, document in zip(pages, documents, strict=True):
        for paragraph, start in zip(page.paragraphs, page.starts(), strict=True):
            for fact, first, last in _stated(paragraph.sentences, start):
                span = Span(document.id, first, last)
                if exact:
                    found = first + _object_start(fact, document.text[first:last])
                    span = Span(document.id, found, found + len(fact.text))
                places[fact.key] = span
    return places


def _object_start(fact: Fact, sentence: str) -> int:
    """Where the object stands: a word of the subject's own name can be the object (a fair named after its town)."""
    name = re.escape(fact.subject.name)
    return re.sub(rf"\b{name}\b", lambda found: " " * len(found[0]), sentence, flags=re.IGNORECASE).index(fact.text)


def _stated(sentences: Sequence[Sentence], start: int) -> Iterator[tuple[Fact, int, int]]:
    for sentence in sentences:
        end = start + len(sentence.text)
        if sentence.fact is not None:
            yield sentence.fact, start, end
        start = end + 1


@cache
def _hash(name: str, style: Style) -> str:
    """Over all that a draw is made of, but its seed."""
    parts = [name, str(VERSIONS[style]), repr(RELATIONS), repr(sorted(inventory().by_kind.items()))]
    if PLANS[style].aliases:
        parts.append(repr(OTHER_NAMES))
    parts += [
        repr(value) for module in (words, fillers) for key, value in sorted(vars(module).items()) if key.isupper()
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
