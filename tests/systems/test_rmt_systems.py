"""Memory tokens as a system: what is read when, what is kept, and that the answers are the wrapper's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import chain

import pytest

from rmtbench.core import Answer, Corpus, Document, Draw, RunSpec
from rmtbench.errors import UserError
from rmtbench.models.local import LocalModel
from rmtbench.rmt.decoder import RecurrentDecoder
from rmtbench.systems.base import Resources, System
from rmtbench.systems.registry import find_system
from rmtbench.systems.sentences import packed_ids, sentence_ids

Build = Callable[..., System]
MODES = ("rmt-memory", "rmt-query-first")
both_modes = pytest.mark.parametrize("name", MODES)


def answers(system: System, corpus: Corpus) -> list[Answer]:
    with system:
        system.prepare(corpus)
        return list(system.answer(corpus.questions))


def sentences(corpus: Corpus, model: LocalModel) -> list[list[int]]:
    return [ids for document in corpus.documents for ids in sentence_ids(document, model.contract.tokenizer)]


def repeated(corpus: Corpus, times: int) -> Corpus:
    documents = [replace(document, id=f"{n}-{document.id}") for n in range(times) for document in corpus.documents]
    return replace(corpus, documents=tuple(documents))


def test_memory_mode_reads_corpus_once_then_questions(
    build: Build, towns: Draw, tiny_model: LocalModel, read: list[int]
) -> None:
    with build("rmt-memory") as system:
        prepared = system.prepare(towns.corpus)
        padding = tiny_model.contract.tokenizer.pad_token_id
        expected = list(chain(*sentences(towns.corpus, tiny_model)))
        assert [token for token in read if token != padding] == expected
        assert prepared.counts["read_tokens"] == len(expected)
        assert set(prepared.seconds) == {"tokenize", "prefill"}
        read.clear()
        given = list(system.answer(towns.corpus.questions))
        tails = [tiny_model.question_ids(question.text) for question in towns.corpus.questions]
        assert len(read) == sum(map(len, tails)) + 7 * len(tails)
        assert read[: len(tails[0])] == tails[0]
    assert {answer.tokens.cached for answer in given} == {prepared.tokens} == {4}
    assert [answer.tokens.prompt for answer in given] == [4 + len(tail) for tail in tails]


def test_what_memory_mode_keeps_does_not_grow_with_the_corpus(build: Build, towns: Draw) -> None:
    made = []
    for times in (1, 8):
        with build("rmt-memory") as system:
            made.append(system.prepare(repeated(towns.corpus, times)))
    assert made[0].bytes == made[1].bytes == 4 * 64 * 4
    assert made[1].counts["segments"] > 6 * made[0].counts["segments"]


def test_memory_mode_answers_as_wrapper_that_reads_once(
    build: Build, towns: Draw, tiny_model: LocalModel, recurrent: RecurrentDecoder
) -> None:
    segments = list(packed_ids(sentences(towns.corpus, tiny_model), 48))
    rows = [[*segments, tiny_model.question_ids(question.text)] for question in towns.corpus.questions]
    expected = [recurrent.generate([row], lambda _ids: None, 8)[0].ids for row in rows]
    assert [answer.output_ids for answer in answers(build("rmt-memory"), towns.corpus)] == expected


def test_query_first_answers_as_wrapper_that_asks_each_time(
    build: Build, towns: Draw, tiny_model: LocalModel, recurrent: RecurrentDecoder
) -> None:
    given = answers(build("rmt-query-first"), towns.corpus)
    for answer, question in zip(given, towns.corpus.questions, strict=True):
        tail = tiny_model.question_ids(question.text)
        packs = packed_ids(sentences(towns.corpus, tiny_model), 48 - len(tail))
        row = [[*pack, *tail] for pack in packs]
        assert answer.output_ids == recurrent.generate([[*row, tail]], lambda _ids: None, 8)[0].ids
        assert answer.tokens.prompt == sum(map(len, row)) + len(tail)
        assert answer.tokens.cached == 0


@both_modes
def test_answers_depend_on_corpus_from_first_document_to_last(name: str, build: Build, towns: Draw) -> None:
    first = [answer.output_ids for answer in answers(build(name), towns.corpus)]
    for place in (0, -1):
        documents = list(towns.corpus.documents)
        documents[place] = Document(documents[place].id, "Zedd", "Nothing is known of it. Its mayor sleeps.")
        changed = answers(build(name), replace(towns.corpus, documents=tuple(documents)))
        assert [answer.output_ids for answer in changed] != first


@both_modes
def test_answering_leaves_everything_as_it_was(name: str, build: Build, towns: Draw) -> None:
    with build(name) as system:
        system.prepare(towns.corpus)
        first, second = ([row.output_ids for row in system.answer(towns.corpus.questions)] for _ in range(2))
    assert first == second


@both_modes
def test_corpus_longer_than_models_context_is_read_and_answered(
    name: str, build: Build, towns: Draw, tiny_model: LocalModel
) -> None:
    rows = answers(build(name, replace(tiny_model, context_limit=100)), repeated(towns.corpus, 4))
    assert all(row.error is None and row.finish == "length" for row in rows)


@both_modes
def test_without_a_trained_memory_a_system_says_how_to_get_one(name: str, tiny_model: LocalModel) -> None:
    spec = RunSpec(name, "towns", "all", "random:tiny", "own:towns@0")
    with pytest.raises(UserError, match="no trained memory for 'random:tiny'") as caught:
        find_system(name).make(Resources(spec, tiny_model))
    assert "rmtbench train rmt" in caught.value.remedy


def test_question_that_fills_segment_is_refused_beside_text(build: Build, towns: Draw, tiny_model: LocalModel) -> None:
    text = next(
        text for text in ("Who" + " so" * count for count in range(48)) if len(tiny_model.question_ids(text)) == 48
    )
    asked = replace(towns.corpus, questions=(replace(towns.corpus.questions[0], text=text),))
    [alone] = answers(build("rmt-memory"), asked)
    [beside] = answers(build("rmt-query-first"), asked)
    assert alone.error is None
    assert beside.error == "a question of 48 tokens and 1 of text exceed a segment of 48"
