"""Facts in noise: full segments, facts that are whole and where the sample says, and texts that take no room."""

import random
import re
import tracemalloc
from collections import Counter
from itertools import islice

import pytest
from task_contracts import contract_of, text_of, whole_text

from rmtbench.corpora.miniature.fillers import _OPENINGS, _PREDICATES, _SUBJECTS
from rmtbench.corpora.miniature.prose import with_article
from rmtbench.corpora.miniature.relations import RELATIONS
from rmtbench.corpora.miniature.words import held_out, inventory, seen
from rmtbench.rmt.tasks.base import Sample
from rmtbench.rmt.tasks.miniature import FactsInNoise, draw_facts, draw_two_hops
from rmtbench.rmt.tasks.registry import make_task

SIZE = 120
BY_NAME = {relation.name: relation for relation in RELATIONS}
SEEDS = range(40)
ALL = ("memorize", "detect", "facts-1", "facts-2", "facts-4", "facts-8", "facts", "two-hop")
NOISE = {f"{o}{s} {p}.".capitalize() for o in _OPENINGS for s in _SUBJECTS for p in _PREDICATES}


def task_of(name: str, kind: str = "mini", size: int = SIZE, names: str = "all") -> FactsInNoise:
    task = make_task(name, contract_of(kind), size, names)
    assert isinstance(task, FactsInNoise)
    return task


def samples(name: str, segments: int, **kinds: str) -> list[Sample]:
    task = task_of(name, **kinds)
    return [task.sample(segments, random.Random(seed)) for seed in SEEDS]


def facts_told(sample: Sample) -> list[tuple[int, str]]:
    """Whole sentences that are not noise, with their segments."""
    return [
        (number, sentence)
        for number, segment in enumerate(sample.segments)
        for sentence in re.split(r"(?<=\.) ", text_of(contract_of(), segment))
        if sentence.endswith(".") and sentence.capitalize() not in NOISE
    ]


def steps(sample: Sample) -> list[tuple[str, str, str]]:
    said = text_of(contract_of(), sample.answer).partition(" Answer: ")[0]
    return [found.groups() for found in re.finditer(r"([^,]+), (\w+): ([^.]+)\.(?: |$)", said)]


def ways_to_say(subject: str, relation: str, found: str) -> set[str]:
    owner = f"{subject}'" if subject.endswith("s") else f"{subject}'s"
    words = {"{S}": subject, "{X}": subject, "{P}": owner, "{O}": found, "{A}": with_article(found)}
    return {
        re.sub(r"\{.\}", lambda slot: words[slot[0]], statement).lower() for statement in BY_NAME[relation].statements
    }


@pytest.mark.parametrize("kind", ["mini", "gpt2", "bert"])
@pytest.mark.parametrize("name", ["memorize", "detect", "facts-4", "two-hop"])
def test_every_segment_is_full(name: str, kind: str) -> None:
    task = task_of(name, kind, size=400)
    for segments in (1, 2, 7):
        sample = task.sample(segments, random.Random(segments))
        assert [len(segment) for segment in sample.segments] == [400] * segments


@pytest.mark.parametrize(
    ("name", "count"),
    [("memorize", 1), ("detect", 1), ("facts-1", 1), ("facts-2", 2), ("facts-4", 4), ("facts-8", 8), ("two-hop", 6)],
)
def test_as_many_facts_are_told_as_name_says_and_each_is_whole(name: str, count: int) -> None:
    for sample in samples(name, 6):
        assert len(facts_told(sample)) == count


def test_mixed_texts_have_one_two_four_eight_facts_alike() -> None:
    counts = Counter(len(facts_told(sample)) for sample in samples("facts", 6))
    assert set(counts) == {1, 2, 4, 8}
    assert min(counts.values()) >= len(SEEDS) // 10


@pytest.mark.parametrize("name", ALL)
def test_answer_is_in_named_segment_and_not_before(name: str) -> None:
    for sample in samples(name, 6):
        found = [
            next(number for number, text in facts_told(sample) if text.lower() in ways_to_say(*step))
            for step in steps(sample)
        ]
        assert sample.told_by == max(found)
        assert (sample.partly is not None) == (len(found) == 2 and found[0] < found[1])


def test_memorize_opens_with_fact_detect_hides_it() -> None:
    for sample in samples("memorize", 6):
        assert sample.told_by == 0
        assert text_of(contract_of(), next(iter(sample.segments))).startswith(facts_told(sample)[0][1])
    hidden = Counter(sample.told_by for sample in samples("detect", 4))
    assert set(hidden) == {0, 1, 2, 3}
    starts = [
        text_of(contract_of(), list(sample.segments)[sample.told_by]).index(facts_told(sample)[0][1])
        for sample in samples("detect", 4)
    ]
    assert len(set(starts)) > len(starts) / 2


def test_every_relation_comes_to_be_asked() -> None:
    draw = draw_facts(1)
    asked = {draw(inventory(), random.Random(seed))[0].facts[0].relation.name for seed in range(1500)}
    assert asked == {relation.name for relation in RELATIONS}


def test_some_facts_are_easily_mistaken_for_asked_one() -> None:
    draw = draw_facts(4)
    near = 0
    for seed in SEEDS:
        asked, (fact, *others) = draw(inventory(), random.Random(seed))
        assert asked.facts == (fact,)
        assert fact not in others
        near += any(o.relation is fact.relation or o.subject is fact.subject for o in others)
    assert near >= 0.9 * len(SEEDS)


def test_two_hops_join_two_facts_among_others_in_either_order() -> None:
    for seed in SEEDS:
        asked, facts = draw_two_hops(inventory(), random.Random(seed))
        first, second = asked.facts
        assert first.target == second.subject
        assert list(facts[:2]) == [first, second]
        assert len(facts) == len({(f.subject.id, f.relation.name) for f in facts}) == 6
    assert {sample.partly is None for sample in samples("two-hop", 6)} == {True, False}
    assert {sample.kind for sample in samples("two-hop", 6)} == {"bridge"}


def test_same_random_state_makes_same_sample() -> None:
    task = task_of("facts-2")
    one, again, other = (task.sample(5, random.Random(seed)) for seed in (1, 1, 2))
    assert list(one.segments) == list(again.segments)
    assert (one.question, one.answer) == (again.question, again.answer)
    assert list(one.segments) != list(other.segments)


def test_a_text_can_be_read_again_from_the_start() -> None:
    sample = task_of("two-hop").sample(9, random.Random(0))
    list(islice(sample.segments, 4))
    assert list(sample.segments) == list(sample.segments)


def test_two_million_tokens_never_stand_in_memory() -> None:
    task = task_of("detect", size=512)
    chance = random.Random(0)
    tracemalloc.start()
    try:
        sample = task.sample(4096, chance)
        read = sum(len(segment) for segment in sample.segments)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert read == 4096 * 512
    assert peak < 2_000_000


def test_facts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="'facts-8' do not fit into 1 segments of 40 tokens"):
        task_of("facts-8", size=40).sample(1, random.Random(0))
    with pytest.raises(ValueError, match="'memorize' do not fit"):
        task_of("memorize", size=3).sample(5, random.Random(0))
    for seed in SEEDS:
        tight = task_of("facts-8", size=32).sample(8, random.Random(seed))
        assert [len(segment) for segment in tight.segments] == [32] * 8
        assert len(facts_told(tight)) == 8


def test_names_are_seen_or_held_out_as_is_asked_for() -> None:
    def told(names: str) -> set[str]:
        task = task_of("facts-4", names=names)
        texts = (whole_text(contract_of(), task.sample(3, random.Random(seed)).segments) for seed in SEEDS)
        return set(re.findall(r"\w+", " ".join(texts)))

    known, hidden = ({w for pool in pools.by_kind.values() for w in pool} for pools in (seen(), held_out()))
    both = known & hidden  # a word can be seen as one kind of name and held out as another
    assert not told("seen") & (hidden - both)
    assert not told("held-out") & (known - both)
    assert told("all") & (hidden - both)
    assert told("all") & (known - both)


@pytest.mark.parametrize(("name", "asked", "others"), [("facts-4", 4, 3), ("facts-8", 3, 2), ("two-hop", 9, 6)])
def test_more_questions_ask_other_facts_each_once(name: str, asked: int, others: int) -> None:
    plain, task = task_of(name), make_task(name, contract_of(), SIZE, "all", asked)
    for seed in SEEDS:
        sample, alone = task.sample(5, random.Random(seed)), plain.sample(5, random.Random(seed))
        told = {sentence.lower() for _, sentence in facts_told(sample)}
        assert (sample.question, sample.answer, sample.told_by) == (alone.question, alone.answer, alone.told_by)
        assert whole_text(contract_of(), sample.segments) == whole_text(contract_of(), alone.segments)
        assert len(sample.others) == others
        assert len({tuple(one.answer) for one in (sample, *sample.others)}) == others + 1
        for one in sample.others:
            ((subject, relation, found),) = steps(one)
            assert ways_to_say(subject, relation, found) & told
            (at,) = {
                number for number, text in facts_told(sample) if text.lower() in ways_to_say(subject, relation, found)
            }
            assert one.told_by == at
