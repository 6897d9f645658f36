"""What the tests of the miniature share: worlds that were told, and which sentence is which statement."""

import random
import re
from functools import cache

from rmtbench.corpora.miniature import words
from rmtbench.corpora.miniature.prose import Paragraph
from rmtbench.corpora.miniature.relations import Relation
from rmtbench.corpora.miniature.styles import Page, Style, plan_world, tell
from rmtbench.corpora.miniature.world import Entity, World, make_world

PRONOUNS = {"he": ("he", "his"), "she": ("she", "her"), "it": ("it", "its")}


def told(style: Style, seed: int = 0, groups: int = 12) -> tuple[World, list[Page]]:
    """A world of groups of ten, and its pages."""
    chance = random.Random(seed)
    world = make_world(plan_world(style, [10] * groups, words.seen()), chance)
    return world, tell(style, world, chance)


@cache
def paragraphs(style: Style) -> list[Paragraph]:
    """The paragraphs of three worlds."""
    return [paragraph for seed in range(3) for page in told(style, seed)[1] for paragraph in page.paragraphs]


def names(entity: Entity) -> list[str]:
    """What an entity is called in its own paragraph, pronouns aside."""
    return [name for name in (entity.name, entity.short, entity.alias) if name]


def says(sentence: str, template: str, subject: Entity) -> bool:
    """Whether a sentence is a template filled with a subject in any form, and with any object."""
    if max(re.split(r"\{\w\}", template), key=len)[1:] not in sentence:  # most templates, at less cost
        return False
    subjective, possessive = PRONOUNS[subject.pronoun]
    called = "|".join(map(re.escape, names(subject)))
    value = r"[A-Z][\w ]+|\d+|[a-z]+"
    forms = {
        "S": f"(?:{called}|{subjective})",
        "X": f"(?:{called})",
        "P": f"(?:(?:{called})(?:'s|')|{possessive})",
        "O": f"(?:{value})",
        "A": f"(?:[Aa]n? (?:{value}))",
    }
    pattern = re.sub(r"\\\{(\w)\\\}", lambda slot: forms[slot[1]], re.escape(template))
    return any(re.fullmatch(pattern, text) for text in (sentence, sentence[0].lower() + sentence[1:]))


def statement_of(sentence: str, subject: Entity, relation: Relation) -> str | None:
    """The statement of a relation that a sentence makes about a subject, whatever the object is; None for none."""
    return next((statement for statement in relation.statements if says(sentence, statement, subject)), None)
