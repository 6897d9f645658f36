"""How a world becomes documents: articles, rows of paragraphs, or long noisy pages."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rmtbench.corpora.miniature.prose import PLAN, Paragraph, ProsePlan, capital, write_paragraph
from rmtbench.corpora.miniature.relations import EntityKind
from rmtbench.corpora.miniature.words import NameWords
from rmtbench.corpora.miniature.world import World, WorldPlan

Style = Literal["squad", "hotpotqa", "triviaqa"]
STYLES: tuple[Style, ...] = ("squad", "hotpotqa", "triviaqa")
PARAGRAPH_BREAK = "\n\n"


@dataclass(frozen=True, slots=True)
class Page:
    """One document: paragraphs under a title, all of one group of the world.

    Attributes:
        title: Its title.
        paragraphs: What it tells.
    """

    title: str
    paragraphs: tuple[Paragraph, ...]

    @property
    def text(self) -> str:
        """All paragraphs, set apart by blank lines."""
        return PARAGRAPH_BREAK.join(paragraph.text for paragraph in self.paragraphs)

    def starts(self) -> list[int]:
        """First character of each paragraph in `text`."""
        starts, start = [], 0
        for paragraph in self.paragraphs:
            starts.append(start)
            start += len(paragraph.text) + len(PARAGRAPH_BREAK)
        return starts


@dataclass(frozen=True, slots=True)
class StylePlan:
    """What sets a style apart.

    Attributes:
        first_kind: Kind of a group's first entity; None for any.
        told: Least share of an entity's relations that are stated.
        aliases: Share of people that have another name.
        hints: How often a text speaks of what it does not tell.
        one_page: Whether a group is one document; else each entity is.
        titles: Titles of a group's document.
    """

    first_kind: EntityKind | None = None
    told: float = 0.7
    aliases: float = 0.0
    hints: float = 0.1
    one_page: bool = False
    titles: Sequence[str] = ("{name}",)


PLANS: Mapping[Style, StylePlan] = {
    "squad": StylePlan(first_kind="town", told=0.75, one_page=True),
    "hotpotqa": StylePlan(),
    "triviaqa": StylePlan(
        told=0.5,
        aliases=0.6,
        hints=0.4,
        one_page=True,
        titles=("Notes on {name}", "A letter about {name}", "{name} and its neighbours", "Talk of {name}"),
    ),
}


def plan_world(style: Style, groups: Sequence[int], names: NameWords) -> WorldPlan:
    """The plan of a world that is to be told in a style."""
    plan = PLANS[style]
    return WorldPlan(groups, names, told=plan.told, aliases=plan.aliases, first_kind=plan.first_kind)


def tell(style: Style, world: World, chance: random.Random, prose: ProsePlan = PLAN) -> list[Page]:
    """Write a world down.

    Args:
        style: How; it also decides how often a text hints at what it does not tell.
        world: What.
        chance: Random numbers.
        prose: Length of paragraphs, and how plain they are.

    Returns:
        Its pages, group by group.
    """
    plan = PLANS[style]
    prose = replace(prose, hints=plan.hints)
    pages = []
    for group in world.groups:
        paragraphs = [
            write_paragraph(
                entity, list(world.facts[entity.id].values()), world.untold.get(entity.id, ()), chance, prose
            )
            for entity in group
        ]
        if plan.one_page:
            title = chance.choice(plan.titles).replace("{name}", group[0].name)
            pages.append(Page(capital(title), tuple(paragraphs)))
        else:
            pages += [Page(capital(p.subject.name), (p,)) for p in paragraphs]
    return pages
