"""Sentences that say nothing that is asked: what makes a text of facts read like a text, and hides them in it."""

from __future__ import annotations

import random

_OPENINGS = (
    "", "", "", "", "In winter ", "In spring ", "Now and then ", "As far as anyone knows, ", "On most days ",
    "In good years ", "People say that ",
)  # fmt: skip
_SUBJECTS = (
    "the road to the coast", "the market", "the old mill", "the local paper", "the weather", "the church bell",
    "the night train", "the post office", "a narrow path", "the school", "the inn by the gate", "the harvest",
    "the council", "a row of poplars", "the price of bread", "the small museum", "the town band", "the long wall",
    "the fire brigade", "the evening light", "the bakery at the corner", "the first snow",
)  # fmt: skip
_PREDICATES = (
    "is quieter than before", "draws a few visitors", "has changed very little", "was repaired at great cost",
    "is a subject of long debates", "needs a new coat of paint", "is mentioned in many letters", "closes before noon",
    "has its admirers", "is often late", "can be heard from far away", "looks better in the morning",
    "gave rise to a popular song", "is not what it used to be", "has been photographed many times",
    "takes more time than one would think", "was the cause of a small quarrel", "is said to bring good luck",
)  # fmt: skip
_ABOUT = (
    "Much has been written about {X}.", "Not everything that is told about {X} is true.",
    "Letters about {X} fill a shelf.",
    "There are several paintings of {X}.", "Visitors often ask about {X}.", "A short film about {X} was made.",
    "{S} is mentioned in an old song.", "Opinions about {X} differ.", "{P} story is told to children.",
    "More could be said about {X}.",
)  # fmt: skip


def filler(chance: random.Random) -> str:
    """A sentence about nothing in particular, 5 to 17 words."""
    opening = chance.choice(_OPENINGS)
    text = f"{opening}{chance.choice(_SUBJECTS)} {chance.choice(_PREDICATES)}."
    return text[0].upper() + text[1:]


def about(chance: random.Random) -> str:
    """A statement's template about a subject, which tells nothing of it."""
    return chance.choice(_ABOUT)
