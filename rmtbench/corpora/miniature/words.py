"""The words of the miniature world: invented name words, made from syllables, and lists of common things.

A fifth of the name words is held out: texts to train on never contain them, corpora to measure on do.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

_ONSETS = "b c d f g h j k l m n p r s t v z br dr fr gr kr pr tr st sk bl fl gl th sh".split()
_VOWELS = "a e i o u ai ei ou ea".split()
_CLOSINGS = "l n r s m k t nd rn st v x lm rt".split()
_ENDINGS = {
    "first": ("", "", "a", "en", "ia"),
    "last": ("", "sen", "ov", "man", "er"),
    "town": ("a", "o", "ia", "ton", "by"),
    "company": ("", "co", "ex"),
    "river": ("e", "a", ""),
    "region": ("land", "shire", "mark"),
    "lake": ("mere", "water"),
}
_COUNTS = {"first": 320, "last": 480, "town": 400, "company": 260, "river": 220, "region": 60, "lake": 60}
_ENGLISH = ("That", "This", "Stand", "Treat", "Train")
"""Syllables that make a word after all."""

HELD_OUT = 5
"""Every so many-th word of an inventory is held out."""

TOWN_SUFFIXES = "Falls Bay Hill Bridge Port Valley Cross Heath Wells Park".split()
COMPANY_SUFFIXES = "Group Works Labs Motors Foods Energy Press Textiles Systems Shipping".split()
EVENT_SUFFIXES = "Fair Games Festival Regatta March Race Parade Contest".split()
ADJECTIVES = (
    "Silent Golden Hidden Broken Distant Frozen Gentle Crooked Burning Empty Lonely Painted Quiet Ruined Secret "
    "Silver Stolen Sunken Tall Velvet Wandering White Wild Winter Woven Bitter Blue Bright Cold Deep Early Faded "
    "Grey Hollow Iron Last Little Lost Narrow Northern"
).split()
NOUNS = (
    "Harbour Garden Tower Mirror Lantern Bell Orchard Letter Window Road Island Forest Crown Candle Clock Door "
    "Field Feather Flute Gate Ladder Meadow Mountain Needle Ocean Palace Piano Ring Rose Sail Shadow Ship Song "
    "Stair Stone Storm Thread Valley Voice Well"
).split()
ALIAS_ADJECTIVES = "Grey Red Old Swift Quiet Bold Clever Lame Proud Stern Merry Pale Young Dark Fair Sly".split()
# None that is a trade, or tells man from woman: a job or a pronoun would contradict it.
ALIAS_NOUNS = "Fox Wolf Hawk Bear Lion Swan Raven Pilgrim Hermit Stranger Giant".split()

JOBS = (
    "baker teacher doctor nurse lawyer painter singer pilot farmer judge tailor miner plumber chemist dentist "
    "surgeon sculptor poet banker broker clerk sailor soldier gardener jeweller weaver potter brewer butcher "
    "carpenter mason welder librarian historian geologist botanist engineer architect surveyor translator "
    "journalist photographer actor dancer drummer violinist"
).split()
PETS = (
    "cat dog parrot horse goat rabbit turtle snake lizard ferret hamster canary falcon donkey pony sheep duck goose "
    "hedgehog otter owl crow llama alpaca pigeon tortoise frog gecko iguana mule"
).split()
GOODS = (
    "cheese wine honey glass paper steel copper leather silk wool cotton lace pottery soap salt sugar tea coffee "
    "tobacco timber marble granite slate cider butter linen rope ink wax bread mustard vinegar velvet amber coal "
    "chalk"
).split()
FISH = "trout perch pike eel salmon carp roach bream tench barbel".split()


@dataclass(frozen=True)
class NameWords:
    """Name words by what they name: `first`, `last`, `town`, `company`, `river`, `region`, `lake`."""

    by_kind: Mapping[str, Sequence[str]]


@cache
def inventory() -> NameWords:
    """All name words of the miniature world, held-out ones included; the same everywhere."""
    return NameWords({kind: [w for w in words if w not in _ENGLISH] for kind, words in _made().by_kind.items()})


@cache
def _made() -> NameWords:
    chance, taken = random.Random("miniature name words"), set[str]()  # noqa: S311 - no secret
    return NameWords({kind: [_fresh_word(kind, chance, taken) for _ in range(n)] for kind, n in _COUNTS.items()})


@cache
def seen() -> NameWords:
    """The name words that texts to train on may contain."""
    return NameWords({k: [w for i, w in enumerate(ws) if i % HELD_OUT] for k, ws in inventory().by_kind.items()})


@cache
def held_out() -> NameWords:
    """The name words that texts to train on never contain."""
    return NameWords({k: ws[::HELD_OUT] for k, ws in inventory().by_kind.items()})


def fresh_words(chance: random.Random, share: float) -> NameWords:
    """The seen words with a share of each kind replaced by words that were never there before.

    A model trained on these must read names it does not know, as it must those that are held out.

    Args:
        chance: Random numbers.
        share: Share of new words, 0 to 1.
    """
    taken = {word for words in _made().by_kind.values() for word in words}
    return NameWords(
        {
            kind: [_fresh_word(kind, chance, taken) if chance.random() < share else word for word in words]
            for kind, words in seen().by_kind.items()
        }
    )


def small_pools(words: NameWords, chance: random.Random, sizes: Mapping[str, int]) -> NameWords:
    """Few words of each kind, so that the names of one corpus share words and must be read whole.

    Args:
        words: Where to choose from.
        chance: Random numbers.
        sizes: How many words of a kind; all of a kind that is not named.
    """
    return NameWords(
        {
            kind: chance.sample(list(pool), min(len(pool), max(3, sizes.get(kind, len(pool)))))
            for kind, pool in words.by_kind.items()
        }
    )


def _fresh_word(kind: str, chance: random.Random, taken: set[str]) -> str:
    while True:
        word = chance.choice(_ONSETS) + chance.choice(_VOWELS) + chance.choice(_CLOSINGS)
        if kind not in {"region", "lake"} and chance.random() < 0.6:
            word = chance.choice(_ONSETS) + chance.choice(_VOWELS) + word
        word = (word + chance.choice(_ENDINGS[kind])).capitalize()
        if 4 <= len(word) <= 9 and word not in taken:
            taken.add(word)
            return word
