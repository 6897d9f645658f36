"""Training examples for reading: a context of the miniature world, then many questions about it with their answers.

The prompt contract writes them, so that a model meets in training the very token ids that the suite asks with.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

from rmtbench.corpora.miniature.asking import (
    NAME,
    UNKNOWN,
    Asked,
    QuestionKind,
    all_kinds,
    ask_about_group,
    ask_order,
    ask_pick,
    ask_same,
    step,
)
from rmtbench.corpora.miniature.prose import ProsePlan
from rmtbench.corpora.miniature.relations import KINDS, RELATIONS
from rmtbench.corpora.miniature.styles import STYLES, Page, Style, plan_world, tell
from rmtbench.corpora.miniature.words import NameWords, fresh_words, small_pools
from rmtbench.corpora.miniature.world import World, WorldPlan, make_world
from rmtbench.models.prompt import FINAL_MARK

if TYPE_CHECKING:
    from rmtbench.models.prompt import PromptContract

FactKey = tuple[int, str]
"""A subject's id and a relation's name."""

TOKENS_A_WORD = 1.25
"""Tokens of the miniature's English by its own tokenizer, titles and breaks included; steers sizes, decides nothing."""

_MIX: Mapping[QuestionKind, float] = {
    "single": 0.2, "bridge": 0.26, "comparison": 0.22, "yes/no": 0.16, "unknown": 0.16,
}  # fmt: skip
"""Single facts are the lookups' affair; comparing is learnt from questions alone."""


@dataclass(frozen=True, slots=True)
class Target:
    """Answer tokens ``[start, end)`` of an example, the last one ends it."""

    start: int
    end: int
    kind: QuestionKind | Literal["lookup", "judged"]


@dataclass(frozen=True, slots=True)
class Example:
    """One row: token ids, their positions (which may leap between passages), and what is to be learnt."""

    ids: Sequence[int]
    positions: Sequence[int]
    targets: Sequence[Target]


@dataclass(frozen=True, slots=True)
class ReadingPlan:
    """What an example is like.

    Attributes:
        context: Tokens of the context, about.
        questions: Most questions.
        lookups: Most facts that are looked up without a question.
        judged: Most comparisons whose facts are given, so that only what follows from them is learnt.
        prose: Length of paragraphs, and how plain they are.
        new_names: Largest share of name words that the tokenizer has never seen; each example draws its own, and
            above 1 some have none else.
        shared_names: Share of examples whose names are made of few words, so that many share one.
        rivals: Share of examples whose entities are all of one kind, so that the relation alone does not tell the fact.
        parts: Share of examples whose pages come in pieces, each under the page's title, as retrieved passages do.
        aliases: Share of examples in which most people have another name.
        hard: How many times likelier than others a fact is looked up that is told before anything tells whose it is;
            above 1 such facts are asked about more often, too.
        untitled: Share of examples, beside those that are so anyway, in pages of many paragraphs about one entity each,
            so that no title tells whose a paragraph's first fact is.
        leap: Longest sum of leaps in position between passages; 0 for none.
    """

    context: int
    questions: int
    lookups: int
    prose: ProsePlan
    judged: int = 0
    new_names: float = 0.15
    shared_names: float = 0.7
    rivals: float = 0
    parts: float = 0
    aliases: float = 0
    hard: float = 1
    untitled: float = 0
    leap: int = 0


def make_example(plan: ReadingPlan, contract: PromptContract, chance: random.Random) -> Example:
    """Write one context with questions.

    Args:
        plan: Its size.
        contract: Makes the token ids; its style must be ``bridge``.
        chance: Random numbers.
    """
    style: Style = "squad" if plan.untitled and chance.random() < plan.untitled else chance.choice(STYLES)
    low, high = plan.prose.words
    typical = (low + high) / 2 + 4
    count = max(3, round(plan.context * chance.uniform(0.75, 1.0) / (typical * TOKENS_A_WORD)))
    world_plan = plan_world(style, _groups(style, count, chance), _names(plan, count, chance))
    if chance.random() < plan.rivals:
        kind = chance.choice(KINDS)
        world_plan = replace(world_plan, told=0, first_kind=kind, kinds=(kind,))
    if chance.random() < plan.aliases:
        world_plan = replace(world_plan, aliases=0.8)
    world = make_world(world_plan, chance)
    pages = tell(style, world, chance, plan.prose)
    if chance.random() < plan.parts:
        pages = [part for page in pages for part in _parts(page, chance)]
    chance.shuffle(pages)
    encode = contract.tokenizer.encode
    ids = contract.context_ids([])
    positions = list(range(len(ids)))
    next_position = len(ids)
    for page, leap in zip(pages, _leaps(plan.leap, len(pages), chance), strict=True):
        next_position += leap
        tokens = encode(f"{page.title}\n{page.text}\n\n", add_special_tokens=False)
        ids += tokens
        positions += range(next_position, next_position + len(tokens))
        next_position += len(tokens)
    targets = []
    backward = _backward(pages)
    asked = ask_many(world, plan.questions, chance, backward if plan.hard > 1 else ())
    for one in asked:
        question, answer = contract.question_ids(one.text), answer_ids(one, contract)
        start = len(ids) + len(question)
        ids += question + answer
        targets.append(Target(start, len(ids), one.kind))
    # Behind the questions: in use a question comes first, and before them they would state what is asked.
    if plan.lookups:
        ids += encode("Reasoning:", add_special_tokens=False)
        weights = dict.fromkeys(backward, plan.hard)
        for subject, relation, found in _look_up(world, plan.lookups, rests_on(asked), weights, chance):
            ids += encode(f"{subject}, {relation}:", add_special_tokens=False)
            start = len(ids)
            ids += encode(f"{found}.", add_special_tokens=False)
            targets.append(Target(start, len(ids), "lookup"))
        ids.append(contract.tokenizer.eos_token_id)
    for one in _compare(world, world_plan.names, plan.judged, chance):
        ids += contract.question_ids(one.text)
        targets += [Target(len(ids) + begin, len(ids) + end, "judged") for begin, end in concluded(one, contract)]
        ids += answer_ids(one, contract)
    positions += range(next_position, next_position + len(ids) - len(positions))
    return Example(ids, positions, targets)


def _look_up(
    world: World,
    most: int,
    known: Collection[FactKey],
    weights: Mapping[FactKey, float],
    chance: random.Random,
) -> list[tuple[str, str, str]]:
    """Facts in the short form of a reasoning, at most one in seven unknown: subject, relation, object.

    A question costs several times the tokens of the lookup that it needs, and the lookup is what takes long to learn.
    What is `known` from the questions before is left out; what has a weight above 1 comes before the rest as often.
    """
    rows = {
        fact.key: (fact.subject.name, fact.relation.name, fact.text)
        for facts in world.facts.values()
        for fact in facts.values()
    }
    rows |= {(one.id, NAME): (one.alias, NAME, one.name) for one in world.entities if one.alias}
    left = [key for key in rows if key not in known]
    untold = {
        (identity, relation.name): (world.entities[identity].name, relation.name, UNKNOWN)
        for identity, relations in world.untold.items()
        for relation in relations
        if (identity, relation.name) not in known
    }
    # A share of what is chosen: the likelier some facts are, the rarer would `unknown` be among all.
    missing = chance.sample(list(untold), min(len(untold), min(most, len(left)) // 7))
    # The first of keys ordered by random ** (1 / weight) are a weighted sample without replacement.
    left.sort(key=lambda key: chance.random() ** (1 / weights.get(key, 1)), reverse=True)
    chosen = [*missing, *left[: most - len(missing)]]
    rows |= untold
    chance.shuffle(chosen)
    return [rows[key] for key in chosen]


def _backward(pages: Iterable[Page]) -> set[FactKey]:
    """What is hard to find: objects that are read before anything tells whose they are, and names told behind others.

    A sentence that begins with its object, at the beginning of a paragraph and under no title that is its subject's: of
    30 such facts over 21k tokens (`squad` and `triviaqa`) a model found 7, of 96 others whose object stands first 90.
    """
    keys = set[FactKey]()
    for title, paragraph in ((page.title.lower(), each) for page in pages for each in page.paragraphs):
        subject, first = paragraph.subject, paragraph.sentences[0]
        if subject.alias:
            keys.add((subject.id, NAME))
        if first.fact is None or subject.name.lower() in title:
            continue
        text = first.text.lower()
        if text.find(first.fact.text.lower()) < text.find(subject.name.lower()):
            keys.add(first.fact.key)
    return keys


def answer_ids(asked: Asked, contract: PromptContract) -> list[int]:
    """What a model is to write behind the cue: reasoning, mark, answer, end of sequence."""
    ids: list[int] = contract.tokenizer.encode(_answer(asked), add_special_tokens=False)
    return [*ids, int(contract.tokenizer.eos_token_id)]


def _answer(asked: Asked) -> str:
    return f"{asked.reasoning} {FINAL_MARK} {asked.references[0]}"


def concluded(asked: Asked, contract: PromptContract) -> list[tuple[int, int]]:
    """Which of `answer_ids` follow from the facts that were looked up: ``[begin, end)`` of each stretch."""
    text = _answer(asked)
    encoded = contract.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ends = [end for _, end in encoded["offset_mapping"]]
    found, place = [], 0
    for lookup in asked.lookups:
        line = step(lookup).removesuffix(".")
        begin = text.index(line, place)
        found += [begin, begin + len(line)]
        place = begin + len(line)
    starts = [bisect_right(ends, character) for character in found[1:]]
    bounds = [*starts, len(ends) + 1]  # and the end token
    return list(zip(bounds[::2], bounds[1::2], strict=True))


def _compare(world: World, names: NameWords, most: int, chance: random.Random) -> list[Asked]:
    """Comparisons and yes/no questions: half about two entities of the world, half about two that no text tells of."""
    everybody = list(world.entities)
    kinds: tuple[QuestionKind, ...] = ("comparison", "comparison", "yes/no")  # the harder ones more often
    asked = (
        _compare_made_up(names, chance)
        if chance.random() < 0.5
        else ask_about_group(world, everybody, chance.choice(kinds), chance)
        for _ in range(most)
    )
    return [one for one in asked if one is not None]


def _compare_made_up(names: NameWords, chance: random.Random) -> Asked:
    """A comparison of two entities of its own, every relation as likely, the same object as likely as another.

    A world's pairs are towns and people above all, and hardly two of its people have one employer: trained on them
    alone, a model judged 16 of 39 pairs of events and 10 of 18 pairs of rivers wrongly, and 14 of 22 of two people with
    one employer, though it had noted both facts rightly in nearly all of these.
    """
    (form,) = chance.choices(("order", "pick", "same"), (0.4, 0.2, 0.4))
    relation = chance.choice([each for each in RELATIONS if getattr(each, form)])
    plan = WorldPlan((2,), names, told=1, first_kind=relation.subject, kinds=(relation.subject,))
    while True:
        one, other = (facts[relation.name] for facts in make_world(plan, chance).facts.values())
        if form == "same":
            alike = chance.random() < 0.5
            return ask_same(one, replace(other, text=one.text, target=one.target) if alike else other, chance)
        if one.text != other.text:
            return (ask_order if form == "order" else ask_pick)(one, other, chance)


def ask_many(world: World, most: int, chance: random.Random, hard: Collection[FactKey] = ()) -> list[Asked]:
    """Questions of all kinds that rest on different facts, each asked once; fewer where a world does not hold so many.

    Args:
        world: The world.
        most: Most questions.
        chance: Random numbers.
        hard: Facts to be asked more often: a single fact or a bridge that rests on none of them is drawn once more.
    """
    kinds, weights = list(all_kinds()), [_MIX[kind] for kind in all_kinds()]
    asked: list[Asked] = []
    used = set[FactKey]()
    for _ in range(4 * most):
        if len(asked) == most:
            break
        group = chance.choice(world.groups)
        if chance.random() < 0.5:
            group = [*group, *chance.sample(list(world.entities), min(10, len(world.entities)))]
            group = list({entity.id: entity for entity in group}.values())
        kind = chance.choices(kinds, weights)[0]
        one = ask_about_group(world, group, kind, chance)
        if hard and one and kind in {"single", "bridge"} and rests_on([one]).isdisjoint(hard):
            one = ask_about_group(world, group, kind, chance)
        # What an earlier answer states could be read off there.
        if one is not None and used.isdisjoint(rests_on([one])):
            used |= rests_on([one])
            asked.append(one)
    return asked


def rests_on(asked: Iterable[Asked]) -> set[FactKey]:
    """The facts, told or untold, that answers state, and whose other name they tell."""
    asked = list(asked)
    keys = {fact.key for one in asked for fact in one.facts}
    keys |= {(one.subjects[0].id, NAME) for one in asked if one.called}
    return keys | {(one.subjects[0].id, one.untold.name) for one in asked if one.untold}


def _parts(page: Page, chance: random.Random) -> list[Page]:
    """Runs of a page's paragraphs, each a page under the same title."""
    paragraphs, parts = page.paragraphs, []
    while paragraphs:
        size = chance.choice((1, 1, 2, 4))
        parts.append(replace(page, paragraphs=paragraphs[:size]))
        paragraphs = paragraphs[size:]
    return parts


def _groups(style: str, count: int, chance: random.Random) -> list[int]:
    size = {"hotpotqa": 10, "triviaqa": chance.randint(3, 6), "squad": chance.randint(6, 40)}[style]
    size = min(size, count)
    return [size] * max(1, round(count / size))


def _names(plan: ReadingPlan, count: int, chance: random.Random) -> NameWords:
    names = fresh_words(chance, min(1.0, chance.random() * plan.new_names))
    if chance.random() >= plan.shared_names:
        return names
    few = count / chance.uniform(1, 5)
    return small_pools(
        names,
        chance,
        {"first": round(0.5 * few), "last": round(0.5 * few), "town": round(0.4 * few), "company": round(0.3 * few)},
    )


def _leaps(longest: int, passages: int, chance: random.Random) -> list[int]:
    """How far positions leap before each passage: a random share of `longest` in all, at few or many places."""
    if not longest:
        return [0] * passages
    weights = [0.0] * passages
    for place in chance.sample(range(passages), chance.randint(1, passages)):
        weights[place] = chance.expovariate(1)
    total, reach = sum(weights), chance.random() * longest
    ends = [round(reach * part / total) for part in accumulate(weights)]
    return [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
