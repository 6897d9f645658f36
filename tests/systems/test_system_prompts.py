"""What each system puts before the model, read off the tokens that the model is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from rmtbench.core import Document, Draw, Gold, Question, Retrieved, Span
from rmtbench.models.base import Passage
from rmtbench.models.local import LocalModel
from rmtbench.retrieval.chunks import chunk_documents
from rmtbench.systems.base import SharedWork, System
from rmtbench.systems.in_prompt import evidence_passages
from rmtbench.systems.registry import find_system, system_names

Build = Callable[..., System]
RETRIEVING = [name for name in system_names() if "chunks" in find_system(name).needs]


def prompt_of(system: System, towns: Draw, question: Question, read: list[int]) -> list[int]:
    """Every token of a question's prompt that the model is given, whether while preparing or while answering."""
    read.clear()
    with system:
        system.prepare(towns.corpus)
        [answer] = system.answer([question])
    written = len(answer.output_ids) - 1  # the last token is not read again
    prompt = read[: len(read) - written]
    assert answer.tokens.prompt == len(prompt)
    return prompt


def place(ids: list[int], part: list[int]) -> int:
    """Where a part begins; -1 where it is not there."""
    return next((start for start in range(len(ids)) if ids[start : start + len(part)] == part), -1)


def test_retrieving_systems_are_the_ones_that_take_a_top_k() -> None:
    assert RETRIEVING == ["rag-sparse", "rag-dense", "rag-hybrid"]


@pytest.mark.parametrize("name", ["full-context", "cag"])
def test_the_whole_corpus_stands_before_question_in_its_order(
    name: str, build: Build, towns: Draw, tiny_model: LocalModel, read: list[int]
) -> None:
    question = towns.corpus.questions[3]
    prompt = prompt_of(build(name), towns, question, read)
    texts = [f"{document.title}\n{document.text}" for document in towns.corpus.documents]
    places = [place(prompt, tiny_model.token_ids(text)) for text in [*texts, question.text]]
    assert places[0] > 0, "the instruction comes first"
    assert places == sorted(set(places))


def test_the_two_whole_corpus_systems_are_given_very_same_tokens(build: Build, towns: Draw, read: list[int]) -> None:
    for question in towns.corpus.questions:
        prompts = [prompt_of(build(name), towns, question, read) for name in ("full-context", "cag")]
        assert prompts[0] == prompts[1]


def test_cag_reads_the_corpus_once_and_then_the_questions_alone(
    build: Build, towns: Draw, tiny_model: LocalModel, read: list[int]
) -> None:
    with build("cag") as system:
        prepared = system.prepare(towns.corpus)
        assert len(read) == prepared.tokens > 0
        assert set(prepared.seconds) == {"tokenize", "prefill"}
        read.clear()
        answers = list(system.answer(towns.corpus.questions))
        tails = [len(tiny_model.question_ids(question.text)) for question in towns.corpus.questions]
        assert len(read) == sum(tails) + 7 * len(tails)
        assert {answer.tokens.cached for answer in answers} == {prepared.tokens}
        assert [answer.tokens.prompt - prepared.tokens for answer in answers] == tails


def test_closed_book_is_given_no_document(build: Build, towns: Draw, tiny_model: LocalModel, read: list[int]) -> None:
    prompt = prompt_of(build("closed-book"), towns, towns.corpus.questions[2], read)
    for document in towns.corpus.documents:
        for sentence in document.text.replace("\n\n", " ").split(". "):
            assert place(prompt, tiny_model.token_ids(sentence)) < 0
    assert place(prompt, tiny_model.token_ids(towns.corpus.questions[2].text)) > 0


def test_oracle_is_given_paragraph_with_evidence_and_no_other(
    build: Build, towns: Draw, tiny_model: LocalModel, read: list[int]
) -> None:
    for number, (question, document) in enumerate(zip(towns.corpus.questions, towns.corpus.documents, strict=True)):
        prompt = prompt_of(build("oracle"), towns, question, read)
        before, evidence = document.text.split("\n\n")
        assert place(prompt, tiny_model.token_ids(f"{document.title}\n{evidence}")) > 0
        assert place(prompt, tiny_model.token_ids(before)) < 0
        others = [other for place_of, other in enumerate(towns.corpus.documents) if place_of != number]
        assert all(place(prompt, tiny_model.token_ids(other.title)) < 0 for other in others)


@pytest.mark.parametrize("name", system_names())
def test_no_system_puts_a_reference_answer_before_the_model(
    name: str, build: Build, towns: Draw, tiny_model: LocalModel, read: list[int]
) -> None:
    """The references here stand in no document, so that they can come from the gold alone."""
    with build(name, references=("quartz zeppelin",)) as system:
        system.prepare(towns.corpus)
        assert len(list(system.answer(towns.corpus.questions))) == 6
    assert len(read) > 0
    assert place(read, tiny_model.token_ids("quartz")) < 0
    assert place(read, tiny_model.token_ids("zeppelin")) < 0


def test_only_the_oracle_declares_that_it_sees_the_gold() -> None:
    assert [name for name in system_names() if "gold" in find_system(name).needs] == ["oracle"]


@pytest.mark.parametrize("name", RETRIEVING)
def test_retrieved_spans_are_all_that_prompt_holds(
    name: str, build: Build, towns: Draw, tiny_model: LocalModel, read: list[int]
) -> None:
    documents = {document.id: document for document in towns.corpus.documents}
    spans = {
        Span(chunk.document_id, chunk.start, chunk.end)
        for chunk in chunk_documents(towns.corpus.documents, tiny_model.token_ids, 32)
    }
    assert len(spans) > len(documents)
    for question in towns.corpus.questions:
        with build(name, top_k=3) as system:
            system.prepare(towns.corpus)
            read.clear()
            [answer] = system.answer([question])
        assert len({found.span for found in answer.retrieved}) == 3
        assert {found.span for found in answer.retrieved} <= spans
        scores = [found.score for found in answer.retrieved]
        assert scores == sorted(scores, reverse=True)
        passages = [passage(documents, found) for found in answer.retrieved]
        expected = tiny_model.context_ids(passages) + tiny_model.question_ids(question.text)
        assert read[: answer.tokens.prompt] == expected


@pytest.mark.parametrize("name", RETRIEVING)
def test_runs_of_several_top_k_share_index_and_cost(name: str, build: Build, towns: Draw) -> None:
    with (
        SharedWork() as shared,
        build(name, shared=shared, top_k=1) as one,
        build(name, shared=shared, top_k=4) as four,
    ):
        first, second = one.prepare(towns.corpus), four.prepare(towns.corpus)
        assert (first.shared, second.shared) == (False, True)
        assert index_of(one) is index_of(four)
        assert replace(second, shared=False) == first
        assert first.seconds.keys() == {"chunk", "index"} | ({"embed"} if name != "rag-sparse" else set())
        assert first.bytes > 0
        assert first.counts["chunks"] == 12
        counts = [[len(row.retrieved) for row in system.answer(towns.corpus.questions)] for system in (one, four)]
        assert counts == [[1] * 6, [4] * 6]


def test_another_way_of_cutting_or_another_corpus_shares_nothing(build: Build, towns: Draw) -> None:
    fewer = replace(towns.corpus, documents=towns.corpus.documents[:5])
    with SharedWork() as shared:
        made = [
            build("rag-sparse", shared=shared, **fields).prepare(corpus)
            for fields, corpus in (({}, towns.corpus), ({"chunk_tokens": 64}, towns.corpus), ({}, fewer))
        ]
    assert [prepared.shared for prepared in made] == [False, False, False]
    assert [prepared.counts["chunks"] for prepared in made] == [12, 6, 10]


def test_sparse_and_dense_share_their_chunks_and_not_their_index(build: Build, towns: Draw) -> None:
    with (
        SharedWork() as shared,
        build("rag-sparse", shared=shared) as sparse,
        build("rag-dense", shared=shared) as dense,
    ):
        made = [system.prepare(towns.corpus) for system in (sparse, dense)]
        assert [prepared.shared for prepared in made] == [False, False]
        assert made[0].seconds["chunk"] == made[1].seconds["chunk"]
        assert index_of(sparse) is not index_of(dense)


def test_a_top_k_beyond_the_chunks_gives_them_all(build: Build, towns: Draw) -> None:
    with build("rag-sparse", top_k=99) as system:
        chunks = system.prepare(towns.corpus).counts["chunks"]
        assert [len(row.retrieved) for row in system.answer(towns.corpus.questions[:1])] == [chunks]


DOCUMENT = Document("d", "Title", "One. Two.\n\nThree.\n\nFour. Five.")


@pytest.mark.parametrize(
    ("evidence", "texts"),
    [
        ([], []),
        ([(23, 28)], ["Four. Five."]),  # the last paragraph
        ([(5, 9), (0, 4)], ["One. Two."]),  # two facts of one paragraph
        ([(23, 25), (11, 12)], ["Four. Five.", "Three."]),  # in the order of the facts
        ([(5, 14)], ["One. Two.\n\nThree."]),  # a fact over a paragraph's end
    ],
)
def test_evidence_is_whole_paragraphs_each_once(evidence: list[tuple[int, int]], texts: list[str]) -> None:
    gold = Gold("q", ("x",), tuple((Span("d", start, end),) for start, end in evidence))
    assert evidence_passages(gold, {"d": DOCUMENT}) == tuple(Passage("Title", text) for text in texts)


def test_of_several_places_that_state_a_fact_the_first_is_shown() -> None:
    gold = Gold("q", ("x",), ((Span("d", 11, 17), Span("d", 0, 4)),))
    assert evidence_passages(gold, {"d": DOCUMENT}) == (Passage("Title", "Three."),)


def passage(documents: dict[str, Document], found: Retrieved) -> Passage:
    document = documents[found.document_id]
    return Passage(document.title, document.text[found.start : found.end])


def index_of(system: System) -> object:
    return vars(system)["_index"]
