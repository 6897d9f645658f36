"""Few facts of the miniature world in noise without end, and one question: memorize, detect, several facts, two hops.

As in BABILong (Kuratov et al., 2024), facts lie anywhere between sentences of noise, and the last sentence is cut; here
that is so in every segment, and no sentence that states a fact is ever cut.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rmtbench.corpora.miniature.asking import Asked, ask_about_group, ask_single
from rmtbench.corpora.miniature.fillers import filler
from rmtbench.corpora.miniature.prose import ProsePlan, write_paragraph
from rmtbench.corpora.miniature.words import NameWords, fresh_words, held_out, inventory
from rmtbench.corpora.miniature.world import Fact, World, WorldPlan, make_world
from rmtbench.models.prompt import PromptContract
from rmtbench.rmt.base import Ids
from rmtbench.rmt.tasks.base import Sample
from rmtbench.rmt.tasks.wording import make_sample, sentence_ids

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Names = Callable[[random.Random], NameWords]
NAMES: Mapping[str, Names] = {
    "seen": lambda chance: fresh_words(chance, chance.random()),
    "held-out": lambda _: held_out(),
    "all": lambda _: inventory(),
}
"""Name words of a sample. ``seen`` are those of training texts, a share of them new: a memory must hold any name."""

Draw = Callable[[NameWords, random.Random], tuple[Asked, Sequence[Fact]]]
"""A question, and the facts that a text tells: those that the question rests on, and others."""

_NOISE_SENTENCES = 4096
_DISTRACTORS = 4
_TRIES = 20
_ONE_SENTENCE = ProsePlan(words=(0, 0))


@dataclass(frozen=True, slots=True)
class NoisyText:
    """Facts in noise, segment by segment; may be read again, and is the same then.

    Attributes:
        noise: Token ids of sentences to draw from.
        segment_tokens: Tokens of every segment.
        count: How many segments there are.
        facts: Token ids of the sentences that state facts, by number of segment, in order.
        at_start: Whether they open their segment; else each comes before any sentence of noise.
        seed: Decides the noise, and the places within a segment.
    """

    noise: Sequence[Ids]
    segment_tokens: int
    count: int
    facts: Mapping[int, Sequence[Ids]]
    at_start: bool
    seed: int

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Ids]:
        chance = random.Random(self.seed)  # noqa: S311 - no secret
        for number in range(self.count):
            facts = self.facts.get(number, ())
            sentences = self._sentences(self.segment_tokens - sum(map(len, facts)), chance)
            places = sorted(0 if self.at_start else chance.randrange(max(1, len(sentences))) for _ in facts)
            for place, fact in zip(reversed(places), reversed(facts), strict=True):
                sentences.insert(place, fact)
            yield [token for sentence in sentences for token in sentence]

    def _sentences(self, room: int, chance: random.Random) -> list[Ids]:
        sentences = []
        while room > 0:
            sentence = chance.choice(self.noise)
            sentences.append(sentence[:room])
            room -= len(sentence)
        return sentences


@dataclass(frozen=True)
class FactsInNoise:
    """A `Task`: facts that are told in noise, and a question that rests on one or two of them.

    Attributes:
        name: What stands after ``--task``.
        contract: Makes the token ids.
        segment_tokens: Tokens of every segment.
        names: Chooses a sample's name words.
        draw: Chooses a sample's question and facts.
        noise: Token ids of sentences to draw from: see `noise_ids`.
        at_start: Whether facts open the first segment; else each lies anywhere.
        asked: Most questions about a text: beyond the first, each asks for one of the facts that are told.
    """

    name: str
    contract: PromptContract
    segment_tokens: int
    names: Names
    draw: Draw
    noise: Sequence[Ids]
    at_start: bool = False
    asked: int = 1

    def sample(self, segments: int, chance: random.Random) -> Sample:
        """Make one sample; its segments are made as they are read, all of them full.

        Args:
            segments: How many segments its text has.
            chance: Random numbers.

        Raises:
            ValueError: The facts do not fit into so few segments.
        """
        for _ in range(_TRIES):
            asked, facts = self.draw(self.names(chance), chance)
            facts = chance.sample(list(facts), len(facts))
            texts = [write_paragraph(fact.subject, [fact], (), chance, _ONE_SENTENCE).text for fact in facts]
            sentences = sentence_ids(self.contract.tokenizer, texts)
            places = self._places(sentences, segments, chance)
            if places is None:
                continue
            told: dict[int, list[Ids]] = {}
            for place, sentence in zip(places, sentences, strict=True):
                told.setdefault(place, []).append(sentence)
            text = NoisyText(self.noise, self.segment_tokens, segments, told, self.at_start, chance.getrandbits(64))
            stated = [places[facts.index(fact)] for fact in asked.facts]
            made = make_sample(text, asked, stated, self.contract)
            return replace(made, others=self._others(asked, facts, places, chance)) if self.asked > 1 else made
        raise ValueError(
            f"the facts of '{self.name}' do not fit into {segments} segments of {self.segment_tokens} tokens"
        )

    def _others(
        self, asked: Asked, facts: Sequence[Fact], places: Sequence[int], chance: random.Random
    ) -> tuple[Sample, ...]:
        """Questions for single facts, but for the one that is asked for already."""
        left = [(fact, place) for fact, place in zip(facts, places, strict=True) if list(asked.facts) != [fact]]
        chosen = chance.sample(left, min(self.asked - 1, len(left)))
        return tuple(make_sample((), ask_single(fact, chance), [place], self.contract) for fact, place in chosen)

    def _places(self, sentences: Sequence[Ids], segments: int, chance: random.Random) -> list[int] | None:
        """The segment of each sentence, any in which it fits; None if one fits nowhere."""
        room: dict[int, int] = {}
        places = []
        for sentence in sentences:
            size = len(sentence)
            place = 0 if self.at_start else chance.randrange(segments)
            if room.get(place, self.segment_tokens) < size:
                fitting = [number for number in range(segments) if room.get(number, self.segment_tokens) >= size]
                if self.at_start or not fitting:
                    return None
                place = chance.choice(fitting)
            room[place] = room.get(place, self.segment_tokens) - size
            places.append(place)
        return places


def noise_ids(tokenizer: PreTrainedTokenizerBase) -> list[tuple[int, ...]]:
    """Token ids of many sentences about nothing, as often as the miniature's own texts have them.

    Args:
        tokenizer: The base model's.
    """
    chance = random.Random("noise")  # noqa: S311 - no secret
    return sentence_ids(tokenizer, [filler(chance) for _ in range(_NOISE_SENTENCES)])


def draw_facts(count: int) -> Draw:
    """One fact is asked for; of the others, half have its relation or its subject, if the world holds such.

    Args:
        count: How many facts are told.
    """
    size = 1 if count == 1 else count + 2

    def draw(names: NameWords, chance: random.Random) -> tuple[Asked, Sequence[Fact]]:
        while True:
            facts = _facts(make_world(WorldPlan([size], names), chance))
            if len(facts) >= count:
                fact = chance.choice(facts)
                return ask_single(fact, chance), [fact, *_others([fact], facts, count - 1, chance)]

    return draw


def draw_any(draws: Sequence[Draw]) -> Draw:
    """One of several ways to draw, each as often."""

    def draw(names: NameWords, chance: random.Random) -> tuple[Asked, Sequence[Fact]]:
        return chance.choice(draws)(names, chance)

    return draw


def draw_two_hops(names: NameWords, chance: random.Random) -> tuple[Asked, Sequence[Fact]]:
    """Two facts that join and four others: half of them have the relations or subjects that must not be mistaken."""
    while True:
        world = make_world(WorldPlan([10], names), chance)
        asked = ask_about_group(world, world.groups[0], "bridge", chance)
        if asked is not None:
            return asked, [*asked.facts, *_others(asked.facts, _facts(world), _DISTRACTORS, chance)]


def _facts(world: World) -> list[Fact]:
    return [fact for told in world.facts.values() for fact in told.values()]


def _others(asked: Sequence[Fact], facts: Sequence[Fact], count: int, chance: random.Random) -> list[Fact]:
    """Other facts, half of them easily mistaken for the ones asked for."""
    relations, subjects = {fact.relation.name for fact in asked}, {fact.subject.id for fact in asked}
    others = [fact for fact in facts if fact not in asked]
    near = [fact for fact in others if fact.relation.name in relations or fact.subject.id in subjects]
    chosen = chance.sample(near, min(len(near), (count + 1) // 2))
    rest = [fact for fact in others if fact not in chosen]
    return [*chosen, *chance.sample(rest, min(len(rest), count - len(chosen)))]
