"""How facts become paragraphs: their length, what they call their subject, and where each fact stands."""

import random
import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import pytest
from miniature_texts import names, paragraphs, says, statement_of, told

from rmtbench.corpora.miniature import words
from rmtbench.corpora.miniature.fillers import filler
from rmtbench.corpora.miniature.prose import Paragraph, ProsePlan, Sentence, with_article, write_paragraph
from rmtbench.corpora.miniature.relations import BACKWARD, BY_SUBJECT, OTHER_NAMES, PLAIN, RELATIONS, Relation
from rmtbench.corpora.miniature.styles import STYLES, Style
from rmtbench.corpora.miniature.world import Entity

each_style = pytest.mark.parametrize("style", STYLES)


def is_named(entity: Entity, sentence: Sentence) -> bool:
    return any(name.lower() in sentence.text.lower() for name in names(entity))


def filled(way: str, subject: Entity) -> str:
    return way.replace("{S}", subject.name).replace("{N}", subject.alias)


def stated(style: Style) -> Iterator[tuple[Entity, Sentence]]:
    for paragraph in paragraphs(style):
        for sentence in paragraph.sentences:
            if sentence.fact is not None:
                yield paragraph.subject, sentence


@each_style
def test_paragraphs_have_60_to_150_words_but_for_two_in_hundred(style: Style) -> None:
    lengths = [paragraph.words for paragraph in paragraphs(style)]
    assert lengths == [len(paragraph.text.split()) for paragraph in paragraphs(style)]
    assert sum(not 60 <= length <= 150 for length in lengths) <= 0.02 * len(lengths)
    assert max(lengths) - min(lengths) > 60


@each_style
def test_every_fact_is_stated_once_in_subjects_paragraph(style: Style) -> None:
    world, pages = told(style)
    for page in pages:
        for paragraph in page.paragraphs:
            facts = [sentence.fact.relation.name for sentence in paragraph.sentences if sentence.fact]
            assert sorted(facts) == sorted(world.facts[paragraph.subject.id])
            assert all(sentence.fact.subject == paragraph.subject for sentence in paragraph.sentences if sentence.fact)


@each_style
def test_sentence_states_fact_and_holds_object_as_whole_words(style: Style) -> None:
    for subject, sentence in stated(style):
        assert sentence.fact is not None
        assert re.search(rf"\b{re.escape(sentence.fact.text)}\b", sentence.text)
        assert statement_of(sentence.text, subject, sentence.fact.relation)


def test_every_statement_of_every_relation_is_used() -> None:
    used = {
        (sentence.fact.relation.name, statement_of(sentence.text, subject, sentence.fact.relation))
        for style in STYLES
        for subject, sentence in stated(style)
        if sentence.fact
    }
    assert used == {(relation.name, statement) for relation in RELATIONS for statement in relation.statements}


def test_plain_prose_states_everything_with_the_object_at_end() -> None:
    world, _ = told("squad")
    for entity in world.entities[:40]:
        facts = list(world.facts[entity.id].values())
        for sentence in write_paragraph(entity, facts, (), random.Random(0), ProsePlan(plain=1)).sentences:
            if sentence.fact is not None:
                assert re.search(rf"{re.escape(sentence.fact.text)}( miles| miles long)?\.$", sentence.text)
    assert set(PLAIN) == {relation.name for relation in RELATIONS}
    assert all(PLAIN.values())


def test_backward_prose_names_object_before_subject() -> None:
    world, _ = told("squad")
    for entity in world.entities[:40]:
        facts = list(world.facts[entity.id].values())
        sentences = write_paragraph(entity, facts, (), random.Random(0), ProsePlan(backward=1)).sentences
        opening = sentences[1 if entity.alias else 0]  # another name is told before all else
        assert (opening.fact is not None) == bool(facts)
        for sentence in sentences:
            if sentence.fact is None:
                continue
            statement = statement_of(sentence.text, entity, sentence.fact.relation)
            assert statement in BACKWARD[sentence.fact.relation.name]
            assert min(statement.find(slot) for slot in ("{O}", "{A}") if slot in statement) == statement.index("{")
    assert set(BACKWARD) == {relation.name for relation in RELATIONS}
    assert all(BACKWARD.values())


@each_style
def test_first_sentence_names_subject_in_full_and_its_other_name(style: Style) -> None:
    for paragraph in paragraphs(style):
        first = paragraph.sentences[0].text.lower()
        assert paragraph.subject.name.lower() in first
        assert paragraph.subject.alias.lower() in first


@each_style
def test_later_sentences_call_it_by_pronouns_and_short_forms_too(style: Style) -> None:
    forms = {"full": 0, "short": 0, "pronoun": 0}
    for paragraph in paragraphs(style):
        subject = paragraph.subject
        for sentence in paragraph.sentences[1:]:
            if sentence.fact is not None:
                full = subject.name.lower() in sentence.text.lower()
                forms["full" if full else "short" if is_named(subject, sentence) else "pronoun"] += 1
    assert min(forms.values()) > 0.05 * sum(forms.values())


@each_style
def test_no_pronoun_is_ambiguous(style: Style) -> None:
    for paragraph in paragraphs(style):
        subject = paragraph.subject
        for before, sentence in pairwise(paragraph.sentences):
            target = before.fact.target if before.fact else None
            doubtful = before.idle or (target is not None and (target.kind == "person") == (subject.kind == "person"))
            if doubtful and sentence.fact is not None:
                assert is_named(subject, sentence)


def test_alias_is_introduced_many_ways_and_used_often() -> None:
    ways, later = Counter[str](), Counter[str]()
    for paragraph in paragraphs("triviaqa"):
        subject = paragraph.subject
        if not subject.alias:
            continue
        first = paragraph.sentences[0].text
        (way,) = (way for way in OTHER_NAMES if first.lower() == filled(way, subject).lower())
        ways[way] += 1
        for sentence in paragraph.sentences[1:]:
            later["other"] += subject.alias.lower() in sentence.text.lower()
            later["last"] += subject.short in sentence.text and subject.name not in sentence.text
    assert len(OTHER_NAMES) >= 6
    assert set(ways) == set(OTHER_NAMES)
    assert min(later["other"], later["last"]) > 25


@pytest.mark.parametrize("relation", RELATIONS, ids=lambda relation: relation.name)
def test_untold_fact_can_be_hinted_at(relation: Relation) -> None:
    subject = next(entity for entity in told("hotpotqa")[0].entities if entity.kind == relation.subject)
    written = write_paragraph(subject, (), [relation], random.Random(0), ProsePlan(hints=1))
    (hint,) = (sentence for sentence in written.sentences if says(sentence.text, relation.hint, subject))
    assert hint.fact is None
    assert not hint.idle
    assert not any(statement_of(hint.text, subject, other) for other in BY_SUBJECT[subject.kind])


@each_style
def test_sentences_begin_with_a_capital_and_end_with_a_full_stop(style: Style) -> None:
    for paragraph in paragraphs(style):
        for sentence in paragraph.sentences:
            assert re.fullmatch(r"[A-Z][^{}]*[^ .{}]\.", sentence.text)
            assert "  " not in sentence.text
        assert paragraph.text == " ".join(sentence.text for sentence in paragraph.sentences)


def test_an_article_fits_the_first_sound() -> None:
    for noun in [*words.JOBS, *words.PETS]:
        assert with_article(noun) == f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def test_a_filler_has_5_to_17_words_and_tells_nothing_of_anyone() -> None:
    chance = random.Random(0)
    texts = [filler(chance) for _ in range(2000)]
    assert len(set(texts)) > 1000
    assert {len(text.split()) for text in texts} <= set(range(5, 18))
    assert not any(re.search(r"\d|[a-z] [A-Z]", text) for text in texts)


def test_a_paragraph_grows_and_shrinks_by_idle_sentences_alone() -> None:
    chance, (world, _) = random.Random(0), told("squad")
    entity = world.entities[0]
    written = write_paragraph(entity, list(world.facts[entity.id].values()), (), chance)
    longer = written.longer(chance)
    assert longer.sentences[:-1] == written.sentences
    assert longer.sentences[-1].idle
    assert longer.shorter() == written
    shorter: Paragraph | None = written
    while shorter is not None:
        last, shorter = shorter, shorter.shorter()
    assert last.words < written.words
    assert not any(sentence.idle for sentence in last.sentences)
    assert [sentence for sentence in written.sentences if not sentence.idle] == list(last.sentences)


def test_pages_are_articles_paragraphs_or_long_notes() -> None:
    assert {len(page.paragraphs) for page in told("squad")[1]} == {10}
    assert {len(page.paragraphs) for page in told("hotpotqa")[1]} == {1}
    world, pages = told("triviaqa")
    assert all(group[0].name in page.title for group, page in zip(world.groups, pages, strict=True))
    for page in pages:
        for paragraph, start in zip(page.paragraphs, page.starts(), strict=True):
            assert page.text.startswith(paragraph.text, start)
