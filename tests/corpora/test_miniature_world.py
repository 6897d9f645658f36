"""The invented world: name words, typed relations with their ways of saying and asking, and unique names."""

import random
import re

import pytest

from rmtbench.corpora.miniature import words
from rmtbench.corpora.miniature.relations import BY_SUBJECT, KINDS, RELATIONS, Relation
from rmtbench.corpora.miniature.styles import STYLES, Style, plan_world
from rmtbench.corpora.miniature.words import fresh_words, held_out, inventory, seen, small_pools
from rmtbench.corpora.miniature.world import World, WorldPlan, make_world

each_relation = pytest.mark.parametrize("relation", RELATIONS, ids=lambda relation: relation.name)
LISTS = {"goods": words.GOODS, "job": words.JOBS, "pet": words.PETS, "fish": words.FISH}


def world(style: Style = "hotpotqa", seed: int = 0, groups: int = 12) -> World:
    return make_world(plan_world(style, [10] * groups, seen()), random.Random(seed))


def slots(template: str) -> list[str]:
    return re.findall(r"\{(\w)\}", template)


@each_relation
def test_relation_has_six_statements_and_three_questions(relation: Relation) -> None:
    assert len(set(relation.statements)) == len(relation.statements) >= 6
    assert len(set(relation.questions)) == len(relation.questions) >= 3


@each_relation
def test_a_statement_has_one_subject_and_one_object(relation: Relation) -> None:
    with_article = relation.object in {"job", "pet"}
    for statement in relation.statements:
        subject, found = sorted(slots(statement), key="AO".__contains__)
        assert subject in {"S", "X", "P"}
        assert found == ("A" if with_article else "O")


@each_relation
def test_answer_stands_on_either_side_of_subject(relation: Relation) -> None:
    orders = {slots(statement)[0] in {"O", "A"} for statement in relation.statements}
    assert orders == {True, False}


@each_relation
def test_questions_and_hints_have_subjects_and_no_object(relation: Relation) -> None:
    assert all(slots(question) == ["S"] and question.endswith("?") for question in relation.questions)
    assert slots(relation.hint) in (["X"], ["S"])
    assert all(slots(phrase) == ["S"] for phrase in relation.phrases)
    assert all(sorted(slots(question)) == ["A", "B"] for question, _ in relation.order)
    assert all(sorted(slots(question)) == ["A", "B"] for question in relation.same)
    assert all(sorted(slots(question)) == ["A", "B", "O"] for question in relation.pick)


@each_relation
def test_only_entities_bridge_only_numbers_have_order(relation: Relation) -> None:
    assert bool(relation.phrases) == (relation.object in KINDS)
    assert bool(relation.order) == (relation.object in {"year", "number"})


def test_every_kind_of_entity_has_relations() -> None:
    assert set(KINDS) == {"town", "person", "company", "river", "book", "event"}
    assert all(len(BY_SUBJECT[kind]) >= 3 for kind in KINDS)
    assert len({relation.name for relation in RELATIONS}) == len(RELATIONS)


def test_a_fifth_of_the_name_words_of_each_kind_is_held_out() -> None:
    for kind, all_words in inventory().by_kind.items():
        kept, out = set(seen().by_kind[kind]), set(held_out().by_kind[kind])
        assert kept | out == set(all_words)
        assert not kept & out
        # Syllables that make an English word are left out of either part.
        assert len(out) == pytest.approx(len(all_words) / words.HELD_OUT, abs=1)


def test_a_name_word_names_one_kind_of_thing_alone() -> None:
    every = [word for kind in inventory().by_kind.values() for word in kind]
    assert len(set(every)) == len(every)


def test_fresh_words_are_seen_or_new_never_held_out() -> None:
    fresh, known = fresh_words(random.Random(0), 0.3).by_kind, seen().by_kind
    every = {word for kind in inventory().by_kind.values() for word in kind}
    for kind, drawn in fresh.items():
        new = set(drawn) - set(known[kind])
        assert not new & every
    share = sum(word not in every for kind in fresh.values() for word in kind) / sum(map(len, fresh.values()))
    assert 0.25 < share < 0.35


def test_small_pool_holds_asked_words_and_three_at_least() -> None:
    pool = small_pools(seen(), random.Random(0), {"first": 7, "last": 1}).by_kind
    assert (len(pool["first"]), len(pool["last"])) == (7, 3)
    assert set(pool["first"]) <= set(seen().by_kind["first"])
    assert len(pool["town"]) == len(seen().by_kind["town"])


def test_the_same_plan_and_seed_give_the_same_world() -> None:
    assert world(seed=3) == world(seed=3)
    assert world(seed=3) != world(seed=4)


def test_facts_are_typed() -> None:
    made = world()
    kinds = set()
    for facts in made.facts.values():
        for name, fact in facts.items():
            assert (fact.relation.name, fact.relation.subject) == (name, fact.subject.kind)
            wanted = fact.relation.object
            if wanted in KINDS:
                assert fact.target is not None
                assert (fact.target.kind, fact.target.name) == (wanted, fact.text)
                assert fact.target.id != fact.subject.id
            elif wanted in {"year", "number"}:
                assert 21 <= int(fact.text) < 2000
            elif wanted in LISTS:
                assert fact.text in LISTS[wanted]
            else:
                assert fact.text.removeprefix("Lake ") in seen().by_kind[wanted]
            kinds.add(wanted)
    assert kinds == {relation.object for relation in RELATIONS}
    assert {entity.kind for entity in made.entities} == set(KINDS)


def test_each_relation_of_an_entity_is_either_told_or_untold() -> None:
    made = world("triviaqa")
    for entity in made.entities:
        untold = [relation.name for relation in made.untold.get(entity.id, ())]
        assert sorted([*made.facts[entity.id], *untold]) == sorted(each.name for each in BY_SUBJECT[entity.kind])
    assert any(made.untold.values())


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("seed", range(4))
def test_nobody_answers_to_anothers_name_or_alias(style: Style, seed: int) -> None:
    made = world(style, seed)
    strangers = {fact.target for facts in made.facts.values() for fact in facts.values() if fact.target}
    known = {entity.id: entity for entity in [*made.entities, *strangers]}.values()
    names = [name.lower() for entity in known for name in (entity.name, entity.alias) if name]
    assert len(set(names)) == len(names)
    assert any(entity.alias for entity in known) == (style == "triviaqa")


def test_names_stay_unique_when_their_words_are_used_up() -> None:
    few = small_pools(seen(), random.Random(0), dict.fromkeys(seen().by_kind, 3))
    made = make_world(WorldPlan([80], few), random.Random(0))
    assert len({entity.name for entity in made.entities}) == 80


def test_each_draw_makes_new_names_of_the_words() -> None:
    one, other = ({entity.name for entity in world(seed=seed).entities if entity.kind == "person"} for seed in (0, 1))
    assert not one & other


def test_a_group_begins_with_the_kind_that_its_style_wants() -> None:
    assert {group[0].kind for group in world("squad").groups} == {"town"}
    assert len({group[0].kind for group in world("hotpotqa").groups}) > 1


def test_facts_join_and_objects_are_shared_within_a_group() -> None:
    made = world()
    for group in made.groups:
        inside = {entity.id for entity in group}
        facts = [fact for entity in group for fact in made.facts[entity.id].values()]
        assert any(fact.target is not None and fact.target.id in inside for fact in facts)
        assert len({(fact.relation.name, fact.text) for fact in facts}) < len(facts)
