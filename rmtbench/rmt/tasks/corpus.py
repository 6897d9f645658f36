"""Dense text as a task: corpora of the miniature made at any length, and the drawn corpora of this suite."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from rmtbench.corpora.miniature.asking import Asked, all_kinds, ask_about_group
from rmtbench.corpora.miniature.prose import ProsePlan
from rmtbench.corpora.miniature.styles import STYLES, Style, plan_world, tell
from rmtbench.corpora.miniature.words import NameWords, small_pools
from rmtbench.corpora.miniature.world import Entity, World, make_world
from rmtbench.models.prompt import PromptContract
from rmtbench.rmt.base import Ids
from rmtbench.rmt.segments import cut
from rmtbench.rmt.tasks.base import Sample
from rmtbench.rmt.tasks.miniature import Names
from rmtbench.rmt.tasks.wording import make_sample

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SHORT_TEXT = 1000
_TRIES = 20


@dataclass(frozen=True, slots=True)
class ReadText:
    """Documents as one run of token ids, and where in it each character of a document ends up.

    Attributes:
        ids: Token ids of all documents, each as it stands in a prompt.
        starts: First token of each document.
        heads: Characters of each document before its text.
        ends: Of each document, the character behind each of its tokens.
    """

    ids: list[int]
    starts: list[int]
    heads: list[int]
    ends: list[list[int]]

    def behind(self, document: int, character: int) -> int:
        """How many tokens have been read when a text's characters up to `character` have."""
        return self.starts[document] + bisect_left(self.ends[document], self.heads[document] + character) + 1


def read_text(tokenizer: PreTrainedTokenizerBase, documents: Sequence[tuple[str, str]]) -> ReadText:
    """Tokenise documents, each as it stands in a prompt.

    Args:
        tokenizer: A fast one, which knows the place of each token.
        documents: Titles and texts, at least one.
    """
    read = ReadText([], [], [], [])
    encoded = tokenizer(
        [f"{title}\n{text}\n\n" for title, text in documents],
        add_special_tokens=False,
        return_offsets_mapping=True,
        verbose=False,
    )
    for (title, _), ids, offsets in zip(documents, encoded["input_ids"], encoded["offset_mapping"], strict=True):
        read.starts.append(len(read.ids))
        read.heads.append(len(title) + 1)
        read.ends.append([end for _, end in offsets])
        read.ids.extend(ids)
    return read


@dataclass(frozen=True)
class CorpusTask:
    """A `Task`: a corpus of the miniature in any of its styles, and one question of any kind about it.

    Segments are cut wherever they are full. A sample's whole text is tokenised when it is made.

    Attributes:
        contract: Makes the token ids.
        segment_tokens: Tokens of every segment.
        names: Chooses a sample's name words.
        name: What stands after ``--task``.
    """

    contract: PromptContract
    segment_tokens: int
    names: Names
    name: str = "reading"

    def sample(self, segments: int, chance: random.Random) -> Sample:
        """Make one sample.

        Args:
            segments: How many segments its text has, all of them full.
            chance: Random numbers.

        Raises:
            ValueError: Not one paragraph fits into so few segments.
        """
        total = segments * self.segment_tokens
        for attempt in range(_TRIES):
            style = chance.choice(STYLES)
            # About 45 and 125 tokens a paragraph; more of them than fit, since the rest is cut off.
            prose, least = (ProsePlan(words=(20, 55)), 40) if total < _SHORT_TEXT else (ProsePlan(), 100)
            count = ceil((1 + attempt / 4) * total / least) + 2
            world = make_world(
                plan_world(style, _groups(style, count, chance), _share(self.names, count, chance)), chance
            )
            text, ends, names_told = _told(self.contract.tokenizer, style, world, prose, chance)
            if len(text) < total:
                continue
            known = {identity for identity, end in ends.items() if end[""] <= total}
            asked = _ask(world, known, chance)
            if asked is None:
                continue

            def segment(tokens: int) -> int:
                return (tokens - 1) // self.segment_tokens

            told = [segment(ends[fact.subject.id][fact.relation.name]) for fact in asked.facts]
            named = segment(names_told[asked.subjects[0].id])
            return make_sample(list(cut(text[:total], self.segment_tokens)), asked, told, self.contract, named)
        raise ValueError(f"no text with a question fits into {segments} segments of {self.segment_tokens} tokens")


def _told(
    tokenizer: PreTrainedTokenizerBase, style: Style, world: World, prose: ProsePlan, chance: random.Random
) -> tuple[Ids, dict[int, dict[str, int]], dict[int, int]]:
    """A world as token ids, and after how many of them each fact of an entity is told, by relation.

    The end of an entity's paragraph stands under the empty name; the last value is the end of its first sentence.
    """
    pages = tell(style, world, chance, prose)
    chance.shuffle(pages)
    text = read_text(tokenizer, [(page.title, page.text) for page in pages])
    ends: dict[int, dict[str, int]] = {}
    first: dict[int, int] = {}
    for number, page in enumerate(pages):
        for paragraph, start in zip(page.paragraphs, page.starts(), strict=True):
            told = ends.setdefault(paragraph.subject.id, {})
            place = start
            for sentence in paragraph.sentences:
                place += len(sentence.text)
                read = text.behind(number, place)
                told[sentence.fact.relation.name if sentence.fact else ""] = read
                first.setdefault(paragraph.subject.id, read)
                told[""] = read
                place += 1
    return text.ids, ends, first


def _ask(world: World, known: set[int], chance: random.Random) -> Asked | None:
    """A question about entities that are told of in full, of any kind that they admit."""
    inside = [[entity for entity in group if entity.id in known] for group in world.groups]
    groups = [group for group in inside if group]
    everybody = [entity for group in groups for entity in group]
    for kind in chance.sample(all_kinds(), len(all_kinds())):
        for _ in range(_TRIES if groups else 0):
            group: Sequence[Entity] = chance.choice(groups)
            if chance.random() < 0.5:
                group = [*group, *chance.sample(everybody, min(10, len(everybody)))]
                group = list({entity.id: entity for entity in group}.values())
            asked = ask_about_group(world, group, kind, chance)
            if asked is not None:
                return asked
    return None


def _groups(style: Style, count: int, chance: random.Random) -> list[int]:
    """Entities of each article, row or page, about as many as the data sets in this style have."""
    size = {"squad": chance.randint(6, 40), "hotpotqa": 10, "triviaqa": chance.randint(3, 6)}[style]
    return [min(size, count)] * ceil(count / size)


def _share(names: Names, count: int, chance: random.Random) -> NameWords:
    """Mostly so few name words that many names share one, as in the suite's own draws."""
    words = names(chance)
    if chance.random() < 0.3:
        return words
    few = count / chance.uniform(1, 5)
    sizes = {"first": 0.5, "last": 0.5, "town": 0.4, "company": 0.3}
    return small_pools(words, chance, {kind: round(share * few) for kind, share in sizes.items()})
