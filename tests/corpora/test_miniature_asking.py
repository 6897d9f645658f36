"""What is asked about the invented world, and that each answer follows from the texts, or is unknown."""

import random
import re
from collections import Counter

import pytest
from miniature_texts import names, statement_of, told

from rmtbench.corpora.miniature.asking import (
    UNKNOWN,
    Asked,
    QuestionKind,
    all_kinds,
    ask_about_group,
    ask_bridge,
    ask_order,
    ask_pick,
    ask_same,
    ask_single,
    ask_unknown,
    pairs_by_relation,
    references,
)
from rmtbench.corpora.miniature.relations import RELATIONS, Relation
from rmtbench.corpora.miniature.styles import Style
from rmtbench.corpora.miniature.world import Entity, Fact, World

CHANCE = random.Random(0)
BY_NAME = {relation.name: relation for relation in RELATIONS}
SMALLER = ("first", "older", "shorter")


def ask(kind: QuestionKind, style: Style = "triviaqa", times: int = 12) -> tuple[World, list[Asked]]:
    world, _ = told(style)
    chance = random.Random(1)
    asked = [ask_about_group(world, group, kind, chance) for group in world.groups for _ in range(times)]
    return world, [one for one in asked if one]


def entity(relation: Relation, identity: int) -> Entity:
    return Entity(identity, relation.subject, f"Name {'AB'[identity]}", "it", "it")


def pair(relation: Relation, one: str, other: str) -> tuple[Fact, Fact]:
    return Fact(entity(relation, 0), relation, one), Fact(entity(relation, 1), relation, other)


@pytest.mark.parametrize("kind", all_kinds())
def test_question_of_each_kind_is_one_line_that_names_subjects(kind: QuestionKind) -> None:
    _, asked = ask(kind)
    assert len(asked) > 30
    for one in asked:
        assert one.kind == kind
        assert re.fullmatch(r"[A-Z][^\n{}]*\?", one.text)
        assert all(
            subject.name in one.text or (subject.alias and subject.alias in one.text) for subject in one.subjects
        )
        assert len(one.subjects) == (2 if kind in {"comparison", "yes/no"} else 1)


@pytest.mark.parametrize("kind", all_kinds())
def test_the_reasoning_is_one_line_of_the_facts_that_it_rests_on(kind: QuestionKind) -> None:
    for one in ask(kind)[1]:
        assert "\n" not in one.reasoning
        (named,) = {subject.alias for subject in one.subjects if subject.alias and subject.alias in one.text} or {""}
        steps = max(1, len(one.facts)) + bool(named)
        assert len(re.findall(r"[^,.]+, \w+: [^:]+\.(?: |$)", one.reasoning)) == steps
        if named:
            assert one.reasoning.startswith(f"{named}, name: {one.subjects[0].name}. {one.subjects[0].name}, ")
        for fact in one.facts:
            assert re.search(rf", {fact.relation.name}: {re.escape(fact.text)}[. ]", one.reasoning)


def test_comparison_notes_each_object_and_concludes_winner() -> None:
    early, late = pair(BY_NAME["published"], "1850", "1902")
    least, most = "least: 1850 Name A.", "most: 1902 Name B."
    verdicts = {ask_order(late, early, CHANCE).reasoning for _ in range(20)}
    looked_up = "Name B, published: 1902 Name B. Name A, published: 1850 Name A."
    assert verdicts == {f"{looked_up} {least}", f"{looked_up} {most}"}
    baker, poet = pair(BY_NAME["job"], "baker", "poet")
    picks = {ask_pick(baker, poet, CHANCE).reasoning for _ in range(20)}
    looked_up = "Name A, job: baker Name A. Name B, job: poet Name B."
    assert picks == {f"{looked_up} sought: baker Name A.", f"{looked_up} sought: poet Name B."}


def test_sameness_is_noted_by_counting() -> None:
    same = ask_same(*pair(BY_NAME["job"], "poet", "poet"), CHANCE)
    assert same.reasoning == "Name A, job: poet one. Name B, job: poet one."
    other = ask_same(*pair(BY_NAME["job"], "poet", "baker"), CHANCE)
    assert other.reasoning == "Name A, job: poet one. Name B, job: baker two."


def test_single_answer_is_object_in_subjects_paragraph() -> None:
    _, pages = told("triviaqa")
    texts = {paragraph.subject.id: paragraph.text for page in pages for paragraph in page.paragraphs}
    for one in ask("single")[1]:
        (fact,) = one.facts
        assert one.references[0] == fact.text
        assert re.search(rf"\b{re.escape(fact.text)}\b", texts[fact.subject.id])


def test_people_are_asked_about_by_their_other_names_too() -> None:
    aliases = Counter(
        bool(one.subjects[0].alias in one.text) for one in ask("single", times=40)[1] if one.subjects[0].alias
    )
    assert min(aliases[True], aliases[False]) > 20


def test_what_is_asked_as_unknown_is_stated_nowhere() -> None:
    world, pages = told("triviaqa")
    written = [paragraph for page in pages for paragraph in page.paragraphs]
    for one in ask("unknown")[1]:
        (subject,) = one.subjects
        relation = next(r for r in world.untold[subject.id] if f", {r.name}: {UNKNOWN}." in one.reasoning)
        assert (one.references, one.facts) == ((UNKNOWN,), ())
        for paragraph in written:
            for sentence in paragraph.sentences:
                # Elsewhere only its full name or its other name could mean it.
                if paragraph.subject == subject or any(name in sentence.text for name in names(subject)[::2]):
                    assert statement_of(sentence.text, subject, relation) is None


def test_no_text_and_no_answer_but_an_unknown_one_says_unknown() -> None:
    assert not any(UNKNOWN in page.text.lower() for page in told("triviaqa")[1])
    assert not any(UNKNOWN in one.references for kind in all_kinds() if kind != "unknown" for one in ask(kind)[1])


def test_bridge_uses_second_entity_not_named_in_question() -> None:
    reached = set()
    for one in ask("bridge")[1]:
        first, second = one.facts
        assert first.target == second.subject != first.subject
        assert re.search(rf"\b{re.escape(second.subject.name)}\b", one.text) is None
        assert one.references == references(second)
        reached.add((first.relation.name, second.relation.name))
    assert len(reached) > 30


def test_facts_that_do_not_join_make_no_bridge() -> None:
    one, other = pair(BY_NAME["job"], "baker", "poet")
    with pytest.raises(ValueError, match="the first fact's object must be the second's subject"):
        ask_bridge(one, other, CHANCE)


@pytest.mark.parametrize("relation", [r for r in RELATIONS if r.order], ids=lambda relation: relation.name)
def test_earlier_or_shorter_one_is_answer_where_it_is_asked_for(relation: Relation) -> None:
    less, more = pair(relation, "912" if relation.object == "number" else "1912", "1950")
    templates = {}
    for _ in range(30):
        for order in ((less, more), (more, less)):
            asked = ask_order(*order, CHANCE)
            smaller = any(word in asked.text for word in SMALLER)
            assert asked.references == ((less if smaller else more).subject.name,)
            assert asked.text.index(order[0].subject.name) < asked.text.index(order[1].subject.name)
            templates[asked.text] = smaller
    assert len(templates) == 2 * len(relation.order)


@pytest.mark.parametrize("relation", [r for r in RELATIONS if r.pick], ids=lambda relation: relation.name)
def test_one_that_has_object_is_picked_whichever_stands_first(relation: Relation) -> None:
    facts = pair(relation, "otter", "goat")
    answers = set()
    for _ in range(30):
        asked = ask_pick(*facts, CHANCE)
        (winner,) = (fact for fact in facts if fact.text in asked.text)
        assert asked.references == (winner.subject.name,)
        assert ("an otter" in asked.text or "a goat" in asked.text) == (relation.object in {"job", "pet"})
        answers.add(asked.references[0])
    assert len(answers) == 2


@pytest.mark.parametrize("relation", [r for r in RELATIONS if r.same], ids=lambda relation: relation.name)
def test_two_have_the_same_object_or_not(relation: Relation) -> None:
    assert ask_same(*pair(relation, "Trout", "Trout"), CHANCE).references == ("yes",)
    assert ask_same(*pair(relation, "Trout", "Pike"), CHANCE).references == ("no",)


def test_yes_and_no_are_both_common_and_so_are_orders_and_picks() -> None:
    answers = Counter(one.references[0] for one in ask("yes/no", "hotpotqa", 20)[1])
    assert set(answers) == {"yes", "no"}
    assert min(answers.values()) > 0.25 * answers.total()
    picks = Counter(bool(one.facts[0].relation.pick) for one in ask("comparison", "hotpotqa", 20)[1])
    assert min(picks.values()) > 0.25 * picks.total()


def test_a_comparison_never_has_two_right_answers() -> None:
    for one in ask("comparison", "hotpotqa")[1]:
        assert one.facts[0].text != one.facts[1].text
        assert one.facts[0].relation is one.facts[1].relation


def test_answers_are_accepted_with_article_unit_or_alias() -> None:
    person = Entity(7, "person", "Ada Poll", "Poll", "she", "the Grey Fox")
    river = Entity(8, "river", "River Oss", "the river", "it")
    expected = {
        "job": ("baker", None, ("baker", "a baker")),
        "hero": ("otter", None, ("otter", "an otter")),
        "length": ("312", None, ("312", "312 miles")),
        "river": ("River Oss", river, ("River Oss", "Oss")),
        "mayor": ("Ada Poll", person, ("Ada Poll", "Poll", "the Grey Fox")),
        "founded": ("1712", None, ("1712",)),
    }
    for name, (text, target, forms) in expected.items():
        assert references(Fact(entity(BY_NAME[name], 0), BY_NAME[name], text, target)) == forms


def test_nothing_is_asked_where_nothing_can_be() -> None:
    lone = entity(BY_NAME["fish"], 0)
    fact = Fact(lone, BY_NAME["fish"], "pike")
    world = World([lone], [[lone]], {0: {"fish": fact}}, {})
    asked = {kind: ask_about_group(world, [lone], kind, CHANCE) for kind in all_kinds()}
    assert [kind for kind, one in asked.items() if one] == ["single"]
    assert pairs_by_relation([fact], lambda relation: relation.same) == []
    assert ask_single(fact, CHANCE).references == ("pike",)
    assert ask_unknown(lone, BY_NAME["mouth"], CHANCE).reasoning == "Name A, mouth: unknown."
