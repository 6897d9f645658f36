"""Questions about a world: one fact, two facts joined, comparisons, yes or no, and what no text tells.

Each comes with the short line of reasoning that leads to its answer, which a model is trained to write first.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from rmtbench.corpora.miniature.prose import with_article
from rmtbench.corpora.miniature.relations import Relation
from rmtbench.corpora.miniature.world import Entity, Fact, World

QuestionKind = Literal["single", "bridge", "comparison", "yes/no", "unknown"]
UNKNOWN = "unknown"
_GUESSABLE = frozenset({"place"})
"""What a name can hint at, such as the town of the Krell Fair, is never asked as unknown."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, its answer and what it rests on.

    Attributes:
        kind: What has to be done to answer it.
        text: The question.
        references: Accepted answers, the one to show first.
        reasoning: The facts that lead to the answer, each as ``subject, relation: object.``
        facts: The facts that it rests on, in the order of the reasoning.
        subjects: The entities that it names.
        untold: The relation that no text tells of its subject, if that is what it asks for.
    """

    kind: QuestionKind
    text: str
    references: tuple[str, ...]
    reasoning: str
    facts: tuple[Fact, ...]
    subjects: tuple[Entity, ...]
    untold: Relation | None = None


def ask_single(fact: Fact, chance: random.Random) -> Asked:
    """Ask for the object of one fact."""
    called = _called(fact.subject, chance)
    text = chance.choice(fact.relation.questions).replace("{S}", called)
    steps = _named(fact.subject, called) + _steps((fact.subject.name, fact.relation, fact.text))
    return Asked("single", text, references(fact), steps, (fact,), (fact.subject,))


def ask_unknown(subject: Entity, relation: Relation, chance: random.Random) -> Asked:
    """Ask for what is not told of a subject."""
    called = _called(subject, chance)
    text = chance.choice(relation.questions).replace("{S}", called)
    steps = _named(subject, called) + _steps((subject.name, relation, UNKNOWN))
    return Asked("unknown", text, (UNKNOWN,), steps, (), (subject,), relation)


def ask_bridge(first: Fact, second: Fact, chance: random.Random) -> Asked:
    """Ask for the second fact's object, its subject told by way of the first fact.

    Raises:
        ValueError: The facts do not join.
    """
    if first.target is None or first.target.id != second.subject.id or not first.relation.phrases:
        raise ValueError("the first fact's object must be the second's subject")
    phrase = chance.choice(first.relation.phrases).replace("{S}", first.subject.name)
    text = chance.choice(second.relation.questions).replace("{S}", phrase)
    steps = _steps((first.subject.name, first.relation, first.text), (first.text, second.relation, second.text))
    return Asked("bridge", text, references(second), steps, (first, second), (first.subject,))


def ask_order(one: Fact, other: Fact, chance: random.Random) -> Asked:
    """Ask which of two subjects comes first by year or number; the objects must differ."""
    template, smaller = chance.choice(one.relation.order)
    winner = one if (int(one.text) < int(other.text)) == smaller else other
    return _about_two("comparison", template, one, other, winner.subject.name)


def ask_pick(one: Fact, other: Fact, chance: random.Random) -> Asked:
    """Ask which of two subjects has a given object; the objects must differ."""
    winner = chance.choice((one, other))
    noun = with_article(winner.text) if winner.relation.object in {"job", "pet"} else winner.text
    template = chance.choice(one.relation.pick).replace("{O}", noun)
    return _about_two("comparison", template, one, other, winner.subject.name)


def ask_same(one: Fact, other: Fact, chance: random.Random) -> Asked:
    """Ask whether two subjects have the same object."""
    template = chance.choice(one.relation.same)
    return _about_two("yes/no", template, one, other, "yes" if one.text == other.text else "no")


def _about_two(kind: QuestionKind, template: str, one: Fact, other: Fact, answer: str) -> Asked:
    text = template.replace("{A}", one.subject.name).replace("{B}", other.subject.name)
    steps = _steps(*((fact.subject.name, fact.relation, fact.text) for fact in (one, other)))
    return Asked(kind, text, (answer,), steps, (one, other), (one.subject, other.subject))


def _steps(*looked_up: tuple[str, Relation, str]) -> str:
    """Whose, what and which, fact by fact: the same short form for all kinds, whatever words the texts have for it."""
    return " ".join(f"{subject}, {relation.name}: {found}." for subject, relation, found in looked_up)


def _named(subject: Entity, called: str) -> str:
    """A step of its own from another name to the name, so that a fact is always looked up by name."""
    return "" if called == subject.name else f"{called}, name: {subject.name}. "


def references(fact: Fact) -> tuple[str, ...]:
    """All accepted forms of a fact's object, the full one first."""
    forms = [fact.text]
    if fact.relation.object in {"job", "pet"}:
        forms.append(with_article(fact.text))
    if fact.relation.object == "number":
        forms.append(f"{fact.text} miles")
    if fact.relation.object == "river":
        forms.append(fact.text.removeprefix("River "))
    if fact.target is not None and fact.target.kind == "person":
        forms += [fact.target.short] if fact.target.short != fact.subject.short else []
        forms += [fact.target.alias] if fact.target.alias else []
    return tuple(forms)


def _called(subject: Entity, chance: random.Random) -> str:
    return subject.alias if subject.alias and chance.random() < 0.4 else subject.name


def pairs_by_relation(facts: Sequence[Fact], wanted: Callable[[Relation], object]) -> list[tuple[Fact, Fact]]:
    """Pairs of neighbouring facts of the same relation, of those relations that `wanted` accepts."""
    by_relation: dict[str, list[Fact]] = {}
    for fact in facts:
        if wanted(fact.relation):
            by_relation.setdefault(fact.relation.name, []).append(fact)
    return [
        (one, other) for same in by_relation.values() for place, one in enumerate(same) for other in same[place + 1 :]
    ]


def ask_about_group(world: World, group: Sequence[Entity], kind: QuestionKind, chance: random.Random) -> Asked | None:
    """One question of a kind whose facts are all told of entities of one group; None where there is none.

    Args:
        world: The world.
        group: Entities whose texts stand together.
        kind: Kind of question.
        chance: Random numbers.
    """
    facts = [fact for entity in group for fact in world.facts[entity.id].values()]
    if kind == "single":
        return ask_single(chance.choice(facts), chance) if facts else None
    if kind == "unknown":
        untold = [
            (entity, relation)
            for entity in group
            for relation in world.untold.get(entity.id, ())
            if relation.name not in _GUESSABLE
        ]
        return ask_unknown(*chance.choice(untold), chance) if untold else None
    if kind == "bridge":
        inside = {entity.id for entity in group}
        joins = [fact for fact in facts if fact.target is not None and fact.target.id in inside]
        first = chance.choice(joins) if joins else None
        if first is None or first.target is None:
            return None
        seconds = [fact for fact in world.facts[first.target.id].values() if _worth_asking(first, fact)]
        return ask_bridge(first, chance.choice(seconds), chance) if seconds else None
    return _ask_about_pair(facts, kind, chance)


def _worth_asking(first: Fact, second: Fact) -> bool:
    """Not whom the question named already, nor the job of somebody who is named by an office."""
    return second.text != first.subject.name and not (
        first.target and second.relation.name == "job" and first.relation.name in {"mayor", "director", "author"}
    )


def _ask_about_pair(facts: Sequence[Fact], kind: QuestionKind, chance: random.Random) -> Asked | None:
    """A comparison, or a yes/no question: as often to be answered by yes as by no, where there are such pairs."""
    if kind == "yes/no":
        pairs = pairs_by_relation(facts, lambda relation: relation.same)
        alike = chance.random() < 0.5
        fitting = [pair for pair in pairs if (pair[0].text == pair[1].text) == alike]
        return ask_same(*_turned(chance.choice(fitting or pairs), chance), chance) if pairs else None
    ordered = chance.random() < 0.5
    pairs = pairs_by_relation(facts, lambda relation: relation.order if ordered else relation.pick)
    pairs = [pair for pair in pairs if pair[0].text != pair[1].text]
    if not pairs:
        return None
    ask = ask_order if ordered else ask_pick
    return ask(*_turned(chance.choice(pairs), chance), chance)


def _turned(pair: tuple[Fact, Fact], chance: random.Random) -> tuple[Fact, Fact]:
    return pair if chance.random() < 0.5 else (pair[1], pair[0])


def all_kinds() -> tuple[QuestionKind, ...]:
    """The kinds of questions, simplest first."""
    return ("single", "bridge", "comparison", "yes/no", "unknown")
