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
NAME = "name"
"""What a reasoning calls the relation from another name to the name."""
_GUESSABLE = frozenset({"place"})
"""What a name can hint at, such as the town of the Krell Fair, is never asked as unknown."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, its answer and what it rests on.

    Attributes:
        kind: What has to be done to answer it.
        text: The question.
        references: Accepted answers, the one to show first.
        facts: The facts that it rests on, in the order of the reasoning.
        subjects: The entities that it names.
        called: Another name by which it calls its subject, if it does.
        untold: The relation that no text tells of its subject, if that is what it asks for.
        notes: What the reasoning notes behind each fact, where it sets facts side by side.
        verdict: What the reasoning concludes from the notes; empty where nothing is concluded.
    """

    kind: QuestionKind
    text: str
    references: tuple[str, ...]
    facts: tuple[Fact, ...]
    subjects: tuple[Entity, ...]
    called: str = ""
    untold: Relation | None = None
    notes: tuple[str, ...] = ()
    verdict: str = ""

    @property
    def lookups(self) -> tuple[tuple[str, str, str], ...]:
        """Subject, relation and object of what has to be found, in order."""
        subject = self.subjects[0].name
        named = [(self.called, NAME, subject)] if self.called else []
        found = [(fact.subject.name, fact.relation.name, fact.text) for fact in self.facts]
        return (*named, *found, *([(subject, self.untold.name, UNKNOWN)] if self.untold else []))

    @property
    def reasoning(self) -> str:
        """What leads to the answer, in one short form: ``subject, relation: object.``, notes and verdict."""
        notes = self.notes or ("",) * len(self.lookups)
        return " ".join([*map(step, self.lookups, notes), *([self.verdict] if self.verdict else [])])


def step(lookup: tuple[str, str, str], note: str = "") -> str:
    """One line of a reasoning: whose, what and which, and what is noted about it."""
    subject, relation, found = lookup
    return f"{subject}, {relation}: {found}{note and ' '}{note}."


def ask_single(fact: Fact, chance: random.Random) -> Asked:
    """Ask for the object of one fact."""
    name, called = _called(fact.subject, chance)
    text = chance.choice(fact.relation.questions).replace("{S}", name)
    return Asked("single", text, references(fact), (fact,), (fact.subject,), called)


def ask_unknown(subject: Entity, relation: Relation, chance: random.Random) -> Asked:
    """Ask for what is not told of a subject."""
    name, called = _called(subject, chance)
    text = chance.choice(relation.questions).replace("{S}", name)
    return Asked("unknown", text, (UNKNOWN,), (), (subject,), called, relation)


def ask_bridge(first: Fact, second: Fact, chance: random.Random) -> Asked:
    """Ask for the second fact's object, its subject told by way of the first fact.

    Raises:
        ValueError: The facts do not join.
    """
    if first.target is None or first.target.id != second.subject.id or not first.relation.phrases:
        raise ValueError("the first fact's object must be the second's subject")
    phrase = chance.choice(first.relation.phrases).replace("{S}", first.subject.name)
    text = chance.choice(second.relation.questions).replace("{S}", phrase)
    return Asked("bridge", text, references(second), (first, second), (first.subject,))


def ask_order(one: Fact, other: Fact, chance: random.Random) -> Asked:
    """Ask which of two subjects comes first by year or number; the objects must differ."""
    template, smaller = chance.choice(one.relation.order)
    winner = one if (int(one.text) < int(other.text)) == smaller else other
    return _ask_which("least" if smaller else "most", winner, template, one, other)


def ask_pick(one: Fact, other: Fact, chance: random.Random) -> Asked:
    """Ask which of two subjects has a given object; the objects must differ."""
    winner = chance.choice((one, other))
    noun = with_article(winner.text) if winner.relation.object in {"job", "pet"} else winner.text
    return _ask_which("sought", winner, chance.choice(one.relation.pick).replace("{O}", noun), one, other)


def ask_same(one: Fact, other: Fact, chance: random.Random) -> Asked:
    """Ask whether two subjects have the same object."""
    same = one.text == other.text
    text = _about_two(chance.choice(one.relation.same), one, other)
    notes = ("one", "one" if same else "two")
    return Asked("yes/no", text, ("yes" if same else "no",), (one, other), (one.subject, other.subject), notes=notes)


def _ask_which(by: str, winner: Fact, template: str, one: Fact, other: Fact) -> Asked:
    """Each object is noted with whose it is: what follows the object that wins is then the answer.

    Written so, choosing is finding the least, the greatest or the sought among few, which attention does at once;
    a model that was to name the subject straight away went on guessing.
    """
    subjects = (one.subject, other.subject)
    verdict = f"{by}: {winner.text} {winner.subject.name}."
    return Asked(
        "comparison",
        _about_two(template, one, other),
        (winner.subject.name,),
        (one, other),
        subjects,
        notes=tuple(subject.name for subject in subjects),
        verdict=verdict,
    )


def _about_two(template: str, one: Fact, other: Fact) -> str:
    return template.replace("{A}", one.subject.name).replace("{B}", other.subject.name)


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


def _called(subject: Entity, chance: random.Random) -> tuple[str, str]:
    """How a question calls its subject, and the same again where that is another name than its own."""
    return (subject.alias,) * 2 if subject.alias and chance.random() < 0.4 else (subject.name, "")


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
