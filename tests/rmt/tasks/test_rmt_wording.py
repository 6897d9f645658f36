"""Sentences keep the ids that they have in a text, and every stage of a text has its right answer."""

import random
from dataclasses import replace

import pytest
from task_contracts import contract_of, text_of

from experiments.training.reading import answer_ids
from rmtbench.corpora.miniature.asking import Asked, all_kinds, ask_about_group, ask_single
from rmtbench.corpora.miniature.words import inventory
from rmtbench.corpora.miniature.world import WorldPlan, make_world
from rmtbench.errors import UserError
from rmtbench.rmt.tasks.base import Sample
from rmtbench.rmt.tasks.wording import answer, make_sample, sentence_ids

SENTENCES = ["The market is often late.", "Old mills have admirers.", "A narrow path closes before noon."]
WORLD = make_world(WorldPlan([40], inventory(), aliases=1.0), random.Random(3))


def ask(kind: str) -> Asked:
    chance = random.Random(kind)
    while True:
        asked = ask_about_group(WORLD, WORLD.groups[0], kind, chance)
        if asked is not None and not asked.called:
            return asked


def told_at(asked: Asked, *segments: int, named: int = 0) -> Sample:
    return make_sample([[1]], asked, segments, contract_of(), named)


@pytest.mark.parametrize("kind", ["mini", "gpt2", "bert"])
def test_sentences_laid_end_to_end_are_the_ids_of_the_text(kind: str) -> None:
    tokenizer = contract_of(kind).tokenizer
    joined = [token for sentence in sentence_ids(tokenizer, SENTENCES) for token in sentence]
    within = [tokenizer.encode(space + " ".join(SENTENCES), add_special_tokens=False) for space in ("", " ")]
    assert joined in within


@pytest.mark.parametrize("kind", all_kinds())
def test_last_answer_is_one_that_base_model_was_trained_to_give(kind: str) -> None:
    asked = ask(kind)
    sample = told_at(asked, *range(len(asked.facts)))
    assert list(sample.answer) == answer_ids(asked, contract_of())
    assert list(sample.question) == contract_of().question_ids(asked.text)
    assert sample.kind == kind


def test_direct_answer_has_no_reasoning_and_stops_at_end_token() -> None:
    for kind in ("mini", "gpt2", "bert"):
        contract = contract_of(kind, "direct")
        ids = answer(contract, "the market", "Arden, product: cheese.")
        end = contract.tokenizer.sep_token_id if kind == "bert" else contract.tokenizer.eos_token_id
        assert ids[-1] == end
        assert text_of(contract, ids[:-1]) == "the market"


def test_a_tokenizer_without_an_end_is_refused() -> None:
    contract = contract_of("gpt2")
    endless = contract.tokenizer.__class__(tokenizer_object=contract.tokenizer.backend_tokenizer)
    with pytest.raises(UserError, match="no end-of-sequence token") as refused:
        answer(replace(contract, tokenizer=endless), "cheese")
    assert refused.value.remedy


def test_one_fact_is_unknown_until_its_segment() -> None:
    asked = ask("single")
    sample = told_at(asked, 4)
    (fact,) = asked.facts
    said = text_of(contract_of(), sample.not_yet)
    assert said == f"{fact.subject.name}, {fact.relation.name}: unknown. Answer: unknown</s>"
    assert (sample.told_by, sample.partly) == (4, None)
    assert [sample.right_after(number) == sample.answer for number in (0, 3, 4, 9)] == [False, False, True, True]


def test_joined_facts_are_half_known_only_in_order() -> None:
    asked = ask("bridge")
    first, second = asked.facts
    sample = told_at(asked, 2, 5)
    assert sample.told_by == 5
    known = f"{first.subject.name}, {first.relation.name}: {first.text}."
    said = [text_of(contract_of(), sample.right_after(number)) for number in range(6)]
    assert said[:2] == [f"{first.subject.name}, {first.relation.name}: unknown. Answer: unknown</s>"] * 2
    assert said[2:5] == [f"{known} {first.text}, {second.relation.name}: unknown. Answer: unknown</s>"] * 3
    assert said[5].endswith(f"{second.text}. Answer: {second.text}</s>")
    other_way = told_at(asked, 5, 2)
    assert (other_way.told_by, other_way.partly) == (5, None)


def test_both_compared_facts_are_looked_up() -> None:
    asked = ask("comparison")
    one, other = asked.facts
    sample = told_at(asked, 3, 1)
    said = [text_of(contract_of(), sample.right_after(number)) for number in range(4)]
    name = one.relation.name
    assert said[0] == f"{one.subject.name}, {name}: unknown. {other.subject.name}, {name}: unknown. Answer: unknown</s>"
    assert said[1] == said[0].replace(
        f"{other.subject.name}, {name}: unknown", f"{other.subject.name}, {name}: {other.text}"
    )  # with nothing noted about it: there is nothing to compare it with
    assert said[2] == said[1]
    assert said[3] == text_of(contract_of(), answer_ids(asked, contract_of()))


def test_what_no_text_tells_is_unknown_all_along() -> None:
    sample = told_at(ask("unknown"))
    assert sample.told_by == 0
    assert sample.not_yet == sample.answer


def test_another_name_must_be_told_before_what_is_told_by_name() -> None:
    fact = next(fact for facts in WORLD.facts.values() for fact in facts.values() if fact.subject.alias)
    chance = random.Random(0)
    asked = next(a for a in (ask_single(fact, chance) for _ in range(99)) if a.called)
    sample = told_at(asked, 5, named=2)
    assert text_of(contract_of(), sample.right_after(1)) == f"{fact.subject.alias}, name: unknown. Answer: unknown</s>"
    named = f"{fact.subject.alias}, name: {fact.subject.name}. {fact.subject.name}, {fact.relation.name}"
    assert text_of(contract_of(), sample.right_after(4)) == f"{named}: unknown. Answer: unknown</s>"
    assert list(sample.right_after(5)) == answer_ids(asked, contract_of())


def test_in_the_direct_style_half_known_is_unknown() -> None:
    asked = ask("bridge")
    sample = make_sample([[1]], asked, (2, 5), contract_of("mini", "direct"))
    assert sample.partly is None
    assert sample.right_after(4) == sample.not_yet == answer(contract_of("mini", "direct"), "unknown")
