"""From facts to paragraphs: sentences in many forms, pronouns after a name, and the exact place of every fact."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from rmtbench.corpora.miniature.fillers import about, filler
from rmtbench.corpora.miniature.relations import BACKWARD, OTHER_NAMES, PLAIN, Relation
from rmtbench.corpora.miniature.world import Entity, Fact

_POSSESSIVE = {"he": "his", "she": "her", "it": "its"}
_OTHER_NAME = 0.5
"""How often a short form is the other name, where a person has one; else the last name."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence, the fact that it states, if any, and whether it could be left out (`idle`)."""

    text: str
    fact: Fact | None = None
    idle: bool = False


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Sentences about one entity. In `text` they are set apart by a space."""

    subject: Entity
    sentences: tuple[Sentence, ...]

    @property
    def text(self) -> str:
        """The whole paragraph."""
        return " ".join(sentence.text for sentence in self.sentences)

    @property
    def words(self) -> int:
        """How many words it has."""
        return sum(len(sentence.text.split()) for sentence in self.sentences)

    def longer(self, chance: random.Random) -> Paragraph:
        """The same paragraph with one more sentence about nothing at its end."""
        there = {sentence.text for sentence in self.sentences}
        text = filler(chance)
        while text in there:
            text = filler(chance)
        return Paragraph(self.subject, (*self.sentences, Sentence(text, idle=True)))

    def shorter(self) -> Paragraph | None:
        """The same paragraph without its last idle sentence; None if there is none."""
        for place in range(len(self.sentences) - 1, 0, -1):
            if self.sentences[place].idle:
                return Paragraph(self.subject, self.sentences[:place] + self.sentences[place + 1 :])
        return None


@dataclass(frozen=True, slots=True)
class ProsePlan:
    """How a paragraph is written.

    Attributes:
        words: Least and most words of a paragraph.
        hints: How often a relation that is not stated is spoken of.
        again: How often a later sentence calls its subject by full name; the rest are short forms and pronouns.
        plain: How often a statement is one of those that end with the object; else any.
        backward: How often a statement that is not plain is chosen among those alone whose object comes before the
            subject, a third of all, and how often a paragraph is made to open with a fact.
    """

    words: tuple[int, int] = (60, 150)
    hints: float = 0.15
    again: float = 0.35
    plain: float = 0.0
    backward: float = 0.0


PLAN = ProsePlan()


class _Reference:
    """How each sentence calls the subject: in full at first, then in any form that a reader can follow."""

    def __init__(self, subject: Entity, chance: random.Random, again: float) -> None:
        self._subject, self._chance, self._again = subject, chance, again
        self.known = False
        self._told: set[str] = set()
        self.doubtful = False  # a pronoun could mean what the last sentence was about

    def fill(self, template: str) -> str:
        """Put the subject into a template."""
        form = self._form(objective="{X}" in template)
        possessive = _POSSESSIVE.get(form) or (f"{form}'" if form.endswith("s") else f"{form}'s")
        self.known = True
        return template.replace("{S}", form).replace("{X}", form).replace("{P}", possessive)

    def idle(self, *, speaks: bool) -> str:
        """An idle sentence that this paragraph does not have yet, about the subject or about nothing."""
        text = about(self._chance) if speaks else filler(self._chance)
        while text in self._told and len(self._told) < 8:
            text = about(self._chance) if speaks else filler(self._chance)
        self._told.add(text)
        return self.fill(text) if speaks else text

    def _form(self, *, objective: bool) -> str:
        subject, chance = self._subject, self._chance
        if not self.known or chance.random() < self._again:
            return subject.name
        if not self.doubtful and not objective and chance.random() < 0.55:
            return subject.pronoun
        return subject.alias if subject.alias and chance.random() < _OTHER_NAME else subject.short


def write_paragraph(
    subject: Entity,
    facts: Sequence[Fact],
    untold: Sequence[Relation],
    chance: random.Random,
    plan: ProsePlan = PLAN,
) -> Paragraph:
    """Write a paragraph that states facts about one entity.

    The first sentence that speaks of the subject names it in full. Later ones may use a short form or a pronoun, but no
    pronoun directly behind a sentence that was about something else of its kind.

    Args:
        subject: The entity.
        facts: What is stated, in random order.
        untold: Relations that are not stated and may be hinted at.
        chance: Random numbers.
        plan: Length and style.
    """
    order: list[Fact | Relation | None] = list(facts)
    order += [relation for relation in untold if chance.random() < plan.hints]
    chance.shuffle(order)
    length = sum(8 if isinstance(item, Fact) else 10 for item in order)  # words of a sentence, on average
    wanted = chance.randint(plan.words[0] + 8, max(plan.words[0] + 8, plan.words[1] - 35))
    while length < wanted:
        order.insert(chance.randint(0, len(order)), None)
        length += 8
    if plan.backward and facts and chance.random() < plan.backward:
        opening = chance.choice(facts)
        order.remove(opening)
        order.insert(0, opening)
    reference = _Reference(subject, chance, plan.again)
    sentences: list[Sentence] = []
    if subject.alias:
        # Nobody can know who is meant by another name before it is told.
        told = chance.choice(OTHER_NAMES).replace("{S}", subject.name).replace("{N}", subject.alias)
        sentences.append(Sentence(capital(told)))
        reference.known = True
    for item in order:
        sentences.append(_sentence(item, reference, chance, plan, first=not sentences))
    return Paragraph(subject, tuple(sentences))


def _sentence(
    item: Fact | Relation | None, reference: _Reference, chance: random.Random, plan: ProsePlan, *, first: bool
) -> Sentence:
    if isinstance(item, Fact):
        statements = item.relation.statements
        if plan.plain and chance.random() < plan.plain:
            statements = PLAIN[item.relation.name]
        elif plan.backward and chance.random() < plan.backward:
            statements = BACKWARD[item.relation.name]
        text = reference.fill(chance.choice(statements))
        text = text.replace("{O}", item.text).replace("{A}", with_article(item.text))
        person = item.subject.kind == "person"
        reference.doubtful = (
            item.relation.object == "person" if person else item.relation.object not in {"year", "number", "person"}
        )
        return Sentence(capital(text), item)
    if isinstance(item, Relation):
        reference.doubtful = False
        return Sentence(capital(reference.fill(item.hint)))
    speaks = first or chance.random() < 0.25
    reference.doubtful = not speaks
    return Sentence(capital(reference.idle(speaks=speaks)), idle=not speaks)


def with_article(noun: str) -> str:
    """``a baker``, ``an actor``."""
    return f"{'an' if noun[0] in 'aeio' else 'a'} {noun}"


def capital(text: str) -> str:
    """The text with a capital at its beginning; the rest keeps its own."""
    return text[0].upper() + text[1:]
