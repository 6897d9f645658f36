"""One invented world: entities with names of their own, and what is true of them. Knows no sentence and no style."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from rmtbench.corpora.miniature import words
from rmtbench.corpora.miniature.relations import BY_SUBJECT, KINDS, EntityKind, Relation
from rmtbench.corpora.miniature.words import NameWords

_SHARES: Mapping[EntityKind, float] = {
    "town": 0.22, "person": 0.34, "company": 0.16, "river": 0.08, "book": 0.11, "event": 0.09,
}  # fmt: skip
_PLACEABLE = 0.75
"""How often an object that is an entity lies in its subject's own group, so that two facts can be joined there."""


@dataclass(frozen=True, slots=True)
class Entity:
    """Somebody or something with a name.

    Attributes:
        id: Its place in `World.entities`.
        kind: What it is.
        name: Its full name, unique in the world.
        short: How a text calls it once it is known: a last name, or ``the town``.
        pronoun: ``he``, ``she`` or ``it``.
        alias: Another name, such as ``the Grey Fox``; empty for most.
    """

    id: int
    kind: EntityKind
    name: str
    short: str
    pronoun: str
    alias: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """That `subject` stands in `relation` to an entity or a value; `text` is the object in words."""

    subject: Entity
    relation: Relation
    text: str
    target: Entity | None = None

    @property
    def key(self) -> tuple[int, str]:
        """What makes it different from all others of its world."""
        return self.subject.id, self.relation.name


@dataclass(frozen=True)
class World:
    """Entities in groups (an article, a row, a document), and the facts that texts may state.

    Attributes:
        entities: All entities.
        groups: Entities by group, in order.
        facts: Stated facts by subject id, then relation name.
        untold: Relations of a subject that no text states, by subject id.
    """

    entities: Sequence[Entity]
    groups: Sequence[Sequence[Entity]]
    facts: Mapping[int, Mapping[str, Fact]]
    untold: Mapping[int, Sequence[Relation]]


@dataclass(frozen=True, slots=True)
class WorldPlan:
    """How large and how hard a world is.

    Attributes:
        groups: Entities of each group.
        names: The words that names are made of.
        told: Least share of its relations that are stated of an entity.
        aliases: Share of people that have another name.
        first_kind: Kind of each group's first entity; None for any.
        kinds: Kinds of all others.
    """

    groups: Sequence[int]
    names: NameWords
    told: float = 0.7
    aliases: float = 0.0
    first_kind: EntityKind | None = None
    kinds: Sequence[EntityKind] = KINDS


def make_world(plan: WorldPlan, chance: random.Random) -> World:
    """Make a world; the same plan and random state give the same world.

    Args:
        plan: Its groups and names.
        chance: Random numbers.
    """
    namer = _Namer(plan.names, chance, plan.aliases)
    groups: list[list[Entity]] = []
    count = 0
    for size in plan.groups:
        kinds = _kinds(size, plan, chance)
        groups.append([namer.entity(count + place, kind) for place, kind in enumerate(kinds)])
        count += size
    entities = [entity for group in groups for entity in group]
    by_kind: dict[str, list[Entity]] = {}
    for entity in entities:
        by_kind.setdefault(entity.kind, []).append(entity)
    facts: dict[int, dict[str, Fact]] = {}
    untold: dict[int, list[Relation]] = {}
    offices = _Offices()
    for group in groups:
        values = _Values(plan.names, chance)
        for entity in group:
            told: dict[str, Fact] = {}
            relations = BY_SUBJECT[entity.kind]
            number = max(2, min(len(relations), round(len(relations) * chance.uniform(plan.told, 1.05))))
            chosen = {relation.name for relation in chance.sample(list(relations), number)}
            for relation in relations:
                if relation.name not in chosen:
                    untold.setdefault(entity.id, []).append(relation)
                    continue
                if relation.object in _SHARES:
                    target = offices.company_of(entity) if relation.name == "employer" else None
                    if target is None:
                        fitting = partial(offices.fits, entity, relation, facts)
                        target = _target(entity, relation.object, group, by_kind, chance, fitting)
                    target = target or namer.stranger(relation.object)
                    offices.take(entity, relation, target)
                    told[relation.name] = Fact(entity, relation, target.name, target)
                else:
                    told[relation.name] = Fact(entity, relation, values.draw(relation.object))
            facts[entity.id] = told
    return World(entities, groups, facts, untold)


def _kinds(size: int, plan: WorldPlan, chance: random.Random) -> list[EntityKind]:
    """Kinds of a group's entities; every kind but the rarest comes at least twice in a group of ten."""
    kinds = list(plan.kinds)
    shares = [_SHARES[kind] for kind in kinds]
    drawn = [plan.first_kind or chance.choices(kinds, shares)[0]]
    while len(drawn) < size:
        # Pairs of a kind make comparisons possible; a pair of other kinds makes two facts join.
        kind = chance.choices(kinds, shares)[0]
        drawn += [kind, kind] if chance.random() < 0.4 and size - len(drawn) > 1 else [kind]
    rest = drawn[1:]
    chance.shuffle(rest)
    return [drawn[0], *rest]


def _target(
    subject: Entity,
    kind: str,
    group: Sequence[Entity],
    by_kind: Mapping[str, list[Entity]],
    chance: random.Random,
    fitting: Callable[[Entity], bool],
) -> Entity | None:
    near = [entity for entity in group if entity.kind == kind and entity.id != subject.id and fitting(entity)]
    if near and chance.random() < _PLACEABLE:
        return chance.choice(near)
    far = by_kind.get(kind, [])
    found = chance.choice(far) if far and chance.random() < 0.8 else None
    return found if found is not None and found.id != subject.id and fitting(found) else None


class _Offices:
    """Who holds which office, so that facts do not contradict each other."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, int], Entity] = {}

    def company_of(self, person: Entity) -> Entity | None:
        """The company that a person directs, which then employs them."""
        return self._held.get(("director", person.id))

    def take(self, subject: Entity, relation: Relation, holder: Entity) -> None:
        """Note that the holder has the office."""
        if relation.name in {"mayor", "director"}:
            self._held[relation.name, holder.id] = subject

    def fits(
        self, subject: Entity, relation: Relation, facts: Mapping[int, Mapping[str, Fact]], holder: Entity
    ) -> bool:
        """One office a person; a director is employed by no other company; nobody was taught by their own pupil."""
        told = facts.get(holder.id, {})
        if relation.name == "teacher":
            return "teacher" not in told or told["teacher"].target != subject
        if relation.name == "director" and "employer" in told and told["employer"].target != subject:
            return False
        return (relation.name, holder.id) not in self._held


class _Values:
    """Values of one group, often from a small stock, so that two subjects can share one."""

    def __init__(self, names: NameWords, chance: random.Random) -> None:
        self._chance, self._stock = chance, dict[str, list[str]]()
        self._lists: dict[str, Sequence[str]] = {
            "goods": words.GOODS, "job": words.JOBS, "pet": words.PETS, "fish": words.FISH,
            "region": names.by_kind["region"], "lake": [f"Lake {word}" for word in names.by_kind["lake"]],
        }  # fmt: skip

    def draw(self, kind: str) -> str:
        if kind == "year":
            return str(self._chance.randrange(1700, 2000))
        if kind == "number":
            return str(self._chance.randrange(100, 980))
        stock = self._stock.setdefault(kind, self._chance.sample(list(self._lists[kind]), 2))
        return self._chance.choice(stock if self._chance.random() < 0.5 else self._lists[kind])


class _Namer:
    """Gives every entity of a world a full name that no other has."""

    def __init__(self, names: NameWords, chance: random.Random, aliases: float) -> None:
        self._words, self._chance, self._aliases = names.by_kind, chance, aliases
        self._taken: set[str] = set()
        self._strangers = 0

    def entity(self, identity: int, kind: EntityKind) -> Entity:
        """A new entity of a kind."""
        name = self._unique(kind)
        if kind == "person":
            alias = self._alias() if self._chance.random() < self._aliases else ""
            return Entity(identity, kind, name, name.split()[-1], self._chance.choice(("he", "she")), alias)
        return Entity(identity, kind, name, f"the {kind}", "it")

    def stranger(self, kind: str) -> Entity:
        """Somebody who is only mentioned: an entity outside the world, with a negative id."""
        self._strangers += 1
        kinds: dict[str, EntityKind] = {known: known for known in _SHARES}
        # No text would tell another name of theirs.
        return replace(self.entity(-self._strangers, kinds[kind]), alias="")

    def _unique(self, kind: EntityKind) -> str:
        for attempt in range(10_000):
            name = self._name(kind)
            if attempt > 200:  # a small stock of words is used up: a longer name is always to be had
                name = f"{self._chance.choice(words.ADJECTIVES)} {name}"
            if name not in self._taken:
                self._taken.add(name)
                return name
        raise RuntimeError(f"no {kind} name is left")

    def _name(self, kind: EntityKind) -> str:
        pick, named = self._chance.choice, self._words
        if kind == "person":
            return f"{pick(named['first'])} {pick(named['last'])}"
        if kind == "town":
            word = pick(named["town"])
            return word if self._chance.random() < 0.55 else f"{word} {pick(words.TOWN_SUFFIXES)}"
        if kind == "company":
            return f"{pick(named['company'])} {pick(words.COMPANY_SUFFIXES)}"
        if kind == "river":
            return f"River {pick(named['river'])}"
        if kind == "book":
            return f"The {pick(words.ADJECTIVES)} {pick(words.NOUNS)}"
        return f"the {pick(named['town'])} {pick(words.EVENT_SUFFIXES)}"

    def _alias(self) -> str:
        for _ in range(1000):
            alias = f"the {self._chance.choice(words.ALIAS_ADJECTIVES)} {self._chance.choice(words.ALIAS_NOUNS)}"
            if alias not in self._taken:
                self._taken.add(alias)
                return alias
        return ""
