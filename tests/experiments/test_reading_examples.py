"""Training examples for reading: what the suite asks, token for token, with the answers to be learnt."""

import random
import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from experiments.training.mini_tokenizer import train_tokenizer
from experiments.training.reading import Example, ReadingPlan, answer_ids, ask_many, make_example, rests_on
from rmtbench.corpora.miniature.asking import NAME, UNKNOWN, all_kinds, ask_about_group
from rmtbench.corpora.miniature.prose import ProsePlan
from rmtbench.corpora.miniature.relations import BY_SUBJECT, KINDS, OTHER_NAMES
from rmtbench.corpora.miniature.styles import plan_world
from rmtbench.corpora.miniature.words import held_out, inventory, seen
from rmtbench.corpora.miniature.world import make_world
from rmtbench.models.base import Passage
from rmtbench.models.prompt import PromptContract, make_contract

PLAN = ReadingPlan(context=1200, questions=16, lookups=0, prose=ProsePlan(words=(30, 60)))
LEAPING = replace(PLAN, leap=3000)
SEEDS = range(12)
ANSWER = re.compile(r" (?P<reasoning>[^\n]+, \w+: [^\n]+\.) Answer: (?P<final>[^\n]+)</s>")


@pytest.fixture(scope="module")
def contract() -> PromptContract:
    return make_contract(train_tokenizer(), "bridge")


@pytest.fixture(scope="module")
def examples(contract: PromptContract) -> list[Example]:
    return [make_example(PLAN, contract, random.Random(seed)) for seed in SEEDS]


@pytest.fixture(scope="module")
def leaping(contract: PromptContract) -> list[Example]:
    return [make_example(LEAPING, contract, random.Random(seed)) for seed in SEEDS]


def questions(contract: PromptContract, example: Example) -> list[str]:
    ends = [0, *(target.end for target in example.targets)]
    texts = [
        contract.tokenizer.decode(example.ids[begin : target.start])
        for begin, target in zip(ends, example.targets, strict=False)
    ]
    return [re.findall(r"Question: ([^\n]+)\n Reasoning:$", text)[0] for text in texts]


def context_length(contract: PromptContract, example: Example) -> int:
    return example.targets[0].start - len(contract.question_ids(questions(contract, example)[0]))


def context_text(contract: PromptContract, example: Example) -> str:
    """The context as it was before the tokenizer's spaces."""
    text: str = contract.tokenizer.decode(example.ids[1 : context_length(contract, example)])
    return text[1:].replace("\n ", "\n")


def leaps(example: Example) -> dict[int, int]:
    """How many positions are left out before each token, where any are."""
    gaps = [after - before - 1 for before, after in zip(example.positions, example.positions[1:], strict=False)]
    return {place + 1: gap for place, gap in enumerate(gaps) if gap}


def test_every_token_has_a_position_and_positions_increase(examples: list[Example], leaping: list[Example]) -> None:
    for example in [*examples, *leaping]:
        assert len(example.ids) == len(example.positions)
        assert example.positions[0] == 0
        assert all(gap > 0 for gap in leaps(example).values())
    assert all(list(example.positions) == list(range(len(example.ids))) for example in examples)


def test_positions_leap_between_passages_alone_and_not_too_far(
    contract: PromptContract, leaping: list[Example]
) -> None:
    far = [sum(leaps(example).values()) for example in leaping]
    assert max(far) <= LEAPING.leap
    assert max(far) > 0.5 * LEAPING.leap
    for example in leaping:
        head = len(contract.context_ids([]))
        for place in leaps(example):
            assert head <= place < context_length(contract, example)
            assert contract.tokenizer.decode([example.ids[place - 1]]) == "\n\n"


def test_leaps_change_no_token_but_their_positions(contract: PromptContract) -> None:
    plain, leaping = (make_example(replace(plan, questions=0), contract, random.Random(1)) for plan in (PLAN, LEAPING))
    assert plain.ids == leaping.ids
    assert plain.positions != leaping.positions


def test_context_is_what_prompt_contract_gives_for_its_passages(
    contract: PromptContract, examples: list[Example]
) -> None:
    for example in examples:
        text = context_text(contract, example).removeprefix(contract.head)
        title, _, rest = text.partition("\n")
        assert rest.endswith("\n\n")
        expected = contract.context_ids([Passage(title, rest.removesuffix("\n\n"))])
        assert list(example.ids[: context_length(contract, example)]) == expected


def test_each_question_is_the_contracts_own(contract: PromptContract, examples: list[Example]) -> None:
    for example in examples:
        end = context_length(contract, example)
        assert contract.tokenizer.decode([example.ids[end - 1]]) == "\n\n"
        for text, target in zip(questions(contract, example), example.targets, strict=True):
            asked = contract.question_ids(text)
            assert list(example.ids[end : target.start]) == asked
            end = target.end
        assert end == len(example.ids)


def test_a_target_is_reasoning_mark_answer_and_the_end_token(contract: PromptContract, examples: list[Example]) -> None:
    for example in examples:
        text = context_text(contract, example)
        for target in example.targets:
            ids = example.ids[target.start : target.end]
            found = ANSWER.fullmatch(contract.tokenizer.decode(ids))
            assert found is not None
            assert ids.count(contract.tokenizer.eos_token_id) == 1
            final = contract.final_answer(found[0].removesuffix("</s>"))
            assert final == found["final"]
            if target.kind == "yes/no":
                assert final in {"yes", "no"}
            elif target.kind == "unknown":
                assert final == UNKNOWN
            else:
                assert final in text or final.capitalize() in text or f"The{final[3:]}" in text


def test_an_answer_is_written_from_what_was_asked(contract: PromptContract) -> None:
    world = make_world(plan_world("squad", [10], seen()), random.Random(0))
    asked = ask_about_group(world, world.groups[0], "single", random.Random(0))
    assert asked is not None
    written = contract.tokenizer.decode(answer_ids(asked, contract))
    assert written == f" {asked.reasoning} Answer: {asked.references[0]}</s>"


def test_lookups_come_behind_questions_in_form_of_a_reasoning(contract: PromptContract) -> None:
    decode = contract.tokenizer.decode
    plan, unknown, told = replace(PLAN, questions=3, lookups=20), 0, 0
    for seed in SEEDS:
        example = make_example(plan, contract, random.Random(seed))
        looked_up = [target for target in example.targets if target.kind == "lookup"]
        asked_before = list(example.targets[: -len(looked_up)])
        assert 0 < len(asked_before) <= 3
        assert example.targets[-len(looked_up) :] == looked_up
        assert list(example.ids[looked_up[-1].end :]) == [contract.tokenizer.eos_token_id]
        context = decode(example.ids[: asked_before[0].start]).replace("\n ", "\n")
        ends = [asked_before[-1].end, *(target.end for target in looked_up)]
        for end, target in zip(ends, looked_up, strict=False):
            subject = re.fullmatch(r"(?: Reasoning:)? ([^,]+), \w+:", decode(example.ids[end : target.start]))
            found = decode(example.ids[target.start : target.end])
            assert subject
            assert subject[1].lower() in context.lower()
            assert found.endswith(".")
            unknown += found[1:-1] == UNKNOWN
            told += found[1:-1] in context
    assert told > 5 * unknown > 0


def test_questions_of_an_example_are_distinct_and_of_all_kinds(
    contract: PromptContract, examples: list[Example]
) -> None:
    kinds = set()
    for example in examples:
        texts = questions(contract, example)
        assert len(set(texts)) == len(texts) == len(example.targets) <= PLAN.questions
        kinds |= {target.kind for target in example.targets}
    assert kinds == set(all_kinds())
    assert sum(len(example.targets) for example in examples) > 0.8 * PLAN.questions * len(examples)


def test_fewer_questions_are_asked_where_a_world_holds_no_more() -> None:
    world = make_world(plan_world("squad", [2], seen()), random.Random(0))
    assert 0 < len(ask_many(world, 500, random.Random(0))) < 500
    assert ask_many(world, 0, random.Random(0)) == []


def test_no_question_rests_on_another_ones_answer() -> None:
    """Else it could be answered from there, and nothing would be learnt from the text."""
    world = make_world(plan_world("squad", [10], seen()), random.Random(0))
    rested_on = [key for one in ask_many(world, 500, random.Random(0)) for key in rests_on([one])]
    assert len(set(rested_on)) == len(rested_on) > 5


def test_no_lookup_asks_for_what_a_questions_answer_states(contract: PromptContract) -> None:
    decode = contract.tokenizer.decode
    for seed in SEEDS:
        example = make_example(replace(PLAN, questions=8, lookups=500), contract, random.Random(seed))
        looked_up = [target for target in example.targets if target.kind == "lookup"]
        first = next(number for number, target in enumerate(example.targets) if target.kind == "lookup")
        answers = " ".join(decode(example.ids[target.start : target.end]) for target in example.targets[:first])
        ends = [target.end for target in example.targets[first - 1 :]]
        asked = [decode(example.ids[end : each.start]) for end, each in zip(ends, looked_up, strict=False)]
        assert len(asked) > 15
        assert not [each for each in asked if each.removeprefix(" Reasoning:") in answers]


def test_judged_comparison_learns_all_but_lookups(contract: PromptContract) -> None:
    decode, notes = contract.tokenizer.decode, Counter[str]()
    for seed in SEEDS:
        plan = replace(PLAN, questions=0, judged=6)
        example = make_example(plan, contract, random.Random(seed))
        targets = example.targets
        assert {target.kind for target in targets} == {"judged"}
        for one, other in zip(targets[::2], targets[1::2], strict=True):
            given = decode(example.ids[one.end : other.start])
            assert re.fullmatch(r" [^,]+, \w+: [^:,]+", given)
            note, rest = (decode(example.ids[target.start : target.end]) for target in (one, other))
            kind = "yes/no" if rest.endswith((": yes</s>", ": no</s>")) else "comparison"
            form = (
                r" (one|two)\. Answer: (yes|no)</s>" if kind == "yes/no" else r" [^:]+\. \w+: [^:]+\. Answer: [^:]+</s>"
            )
            assert re.fullmatch(form, rest)
            assert re.fullmatch(r" [^.:]+\.", note)
            notes[kind] += 1
    assert min(notes["yes/no"], notes["comparison"]) > 15


def test_every_relation_is_judged_and_yes_equals_no(contract: PromptContract) -> None:
    """Also of rivers and events, which are rare in a world, and of two people with one employer, which are rarer."""
    judged, answers = Counter[str](), Counter[str]()
    for seed in range(40):
        example = make_example(replace(PLAN, questions=0, judged=12), contract, random.Random(seed))
        text = contract.tokenizer.decode(example.ids[example.targets[0].start - 80 :])
        for relation, answer in re.findall(r", (\w+): [^:]+\. (?:\w+: [^:]+\. )?Answer: ([^\n<]+)</s>", text):
            judged[relation] += 1
            if relation == "employer":
                answers[answer] += 1
    comparable = {
        one.name for relations in BY_SUBJECT.values() for one in relations if one.order or one.pick or one.same
    }
    assert set(judged) == comparable
    assert min(judged[name] for name in ("date", "length", "opened", "published")) > 0.04 * judged.total()
    assert answers["yes"] > 0.25 * answers.total()


def test_pages_in_pieces_stand_under_their_titles_and_tell_same(contract: PromptContract) -> None:
    plan, cut = replace(PLAN, context=3000, questions=0), 0
    for seed in SEEDS:
        whole, pieces = (
            contract.tokenizer.decode(make_example(replace(plan, parts=parts), contract, random.Random(seed)).ids)
            for parts in (0, 1)
        )
        paragraphs = [set(text.split("\n\n")[1:]) for text in (whole, pieces)]
        ends = [{paragraph.rpartition("\n")[2] for paragraph in each} for each in paragraphs]
        assert ends[0] == ends[1]
        titles = [text.count("\n") for text in (whole, pieces)]
        assert titles[1] >= titles[0]
        cut += titles[1] > titles[0]
    assert cut > 4


def test_rivals_are_entities_of_one_kind_alone(contract: PromptContract) -> None:
    plan = replace(PLAN, lookups=500, questions=0, rivals=1)
    for seed in SEEDS:
        example = make_example(plan, contract, random.Random(seed))
        text = contract.tokenizer.decode(example.ids[: example.targets[-1].end]).rpartition(" Reasoning:")[2]
        relations = set(re.findall(r", (\w+):", text)) - {NAME}
        assert any(relations <= {relation.name for relation in BY_SUBJECT[kind]} for kind in KINDS)


def test_a_context_is_about_as_long_as_planned(contract: PromptContract, examples: list[Example]) -> None:
    lengths = [context_length(contract, example) for example in examples]
    assert all(0.5 * PLAN.context < length < 1.35 * PLAN.context for length in lengths)


def name_words(contract: PromptContract, example: Example) -> set[str]:
    return set(re.findall(r"(\w+) (?:Group|Works|Labs|Motors|Foods|Energy|Textiles)", context_text(contract, example)))


def test_no_example_holds_a_held_out_word(contract: PromptContract, examples: list[Example]) -> None:
    met = {word for example in examples for word in re.findall(r"\w+", contract.tokenizer.decode(example.ids))}
    assert not met & {word for kind in held_out().by_kind.values() for word in kind}
    assert len(met & {word for kind in seen().by_kind.values() for word in kind}) > 100


def test_new_names_are_as_common_as_planned(contract: PromptContract) -> None:
    every = {word for kind in inventory().by_kind.values() for word in kind}
    shares = []
    for most in (0, 1):
        plan = replace(PLAN, new_names=most)
        met = [name_words(contract, make_example(plan, contract, random.Random(seed))) for seed in SEEDS]
        shares.append([len(words - every) / len(words) for words in met if words])
    assert set(shares[0]) == {0}
    assert min(shares[1]) < 0.3
    assert max(shares[1]) > 0.7


def test_the_same_random_numbers_write_the_same_example(contract: PromptContract, leaping: list[Example]) -> None:
    assert make_example(LEAPING, contract, random.Random(SEEDS[3])) == leaping[3]
    assert make_example(LEAPING, contract, random.Random(99)) != leaping[3]


def _tells(text: str, name: str, alias: str) -> bool:
    """Whether a text says in one of the ways that there are that somebody has that other name."""
    told = (way.replace("{S}", name).replace("{N}", alias) for way in OTHER_NAMES)
    return any(each[0].upper() + each[1:] in text for each in told)


def test_other_names_are_looked_up_as_facts_are_and_once(contract: PromptContract) -> None:
    """A question by another name needs that lookup first, and few questions have one."""
    decode, found = contract.tokenizer.decode, 0
    for seed in SEEDS:
        example = make_example(replace(PLAN, aliases=1, lookups=500), contract, random.Random(seed))
        text = decode(example.ids)
        names = re.findall(r"(the \w+ \w+), name: (\w+ \w+)\.", text)
        assert len({alias for alias, _ in names}) == len(names)
        assert all(_tells(text, name, alias) for alias, name in names)
        found += len(names)
    assert found > len(SEEDS)


def test_fact_before_its_owner_is_asked_more_if_wanted(
    contract: PromptContract,
) -> None:
    decode = contract.tokenizer.decode
    prose = ProsePlan(words=(15, 40), backward=0.3)

    def share_opening(hard: float) -> float:
        opening, count = 0, 0
        for seed in range(40):
            plan = replace(PLAN, questions=1, lookups=12, hard=hard, untitled=1, prose=prose)
            example = make_example(plan, contract, random.Random(seed))
            context = decode(example.ids[: example.targets[0].start]).replace("\n ", "\n")
            first = [re.split(r"(?<=[.])\s", paragraph)[0] for paragraph in context.split("\n")]
            for before, target in pairwise(example.targets):
                subject = decode(example.ids[before.end : target.start]).strip().rpartition(",")[0]
                told = decode(example.ids[target.start : target.end - 1]).strip()
                if told != UNKNOWN:
                    count += 1
                    opening += any(0 <= text.find(told) < text.find(subject) for text in first)
        return opening / count

    assert share_opening(8) > 1.5 * share_opening(1)


def test_untitled_examples_tell_of_many_entities_under_one_title(contract: PromptContract) -> None:
    titled = []
    for untitled in (0, 1):
        plan = replace(PLAN, untitled=untitled)
        texts = [context_text(contract, make_example(plan, contract, random.Random(seed))) for seed in range(30)]
        blocks = [block for text in texts for block in text.strip().split("\n\n")]
        titled.append(sum("\n" in block for block in blocks) / len(blocks))
    assert titled[1] < 0.7 * titled[0]
