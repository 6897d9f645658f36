"""`rmt-memory` in its three kinds: one memory, every segment's, every document's; written forward or by gradient."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from rmtbench.core import Corpus, Draw, RunSpec
from rmtbench.errors import UserError
from rmtbench.models.local import LocalModel
from rmtbench.options.identity import RunOptions
from rmtbench.options.memory import MemoryForm
from rmtbench.rmt.base import BaseIdentity
from rmtbench.rmt.config import RmtConfig
from rmtbench.rmt.decoder import RecurrentDecoder
from rmtbench.rmt.streaming import read_streams
from rmtbench.rmt.walk import read_rows_apart
from rmtbench.systems.base import Resources, System
from rmtbench.systems.registry import find_system
from rmtbench.systems.resources import LoadedMemory
from rmtbench.systems.sentences import packed_ids, sentence_ids

MEMORY, SEGMENT, WIDTH = 4, 48, 64
Kinds = Callable[..., System]


@pytest.fixture
def kinds(tiny_model: LocalModel) -> Kinds:
    """Build `rmt-memory` or another system with a memory of some form, and options of the run."""

    def make(form: MemoryForm, name: str = "rmt-memory", model: LocalModel = tiny_model, **options: str) -> System:
        spec = RunSpec(
            name, "towns", "all", "random:tiny", "own:towns@0", max_answer_tokens=8, options=RunOptions.read(options)
        )
        memories = {"": LoadedMemory(decoder(tiny_model, form), {})}
        return find_system(name).make(Resources(spec, model, memories=memories))

    return make


def decoder(model: LocalModel, form: MemoryForm) -> RecurrentDecoder:
    update = "overwrite" if form.write == "gradient" else "gated"
    config = RmtConfig("decoder", segment_tokens=SEGMENT, memory_tokens=MEMORY, update=update, form=form)
    return RecurrentDecoder(copy.deepcopy(model.model), config, BaseIdentity.of(model.provenance)).eval()


def packs(corpus: Corpus, model: LocalModel) -> list[list[int]]:
    ids = [each for document in corpus.documents for each in sentence_ids(document, model.contract.tokenizer)]
    return list(packed_ids(ids, SEGMENT))


FORMS = {
    "constant": MemoryForm(),
    "accumulate": MemoryForm(memory="accumulate"),
    "the last two": MemoryForm(memory="accumulate", memory_last=2),
    "gradient": MemoryForm(write="gradient", inner_steps=2, inner_rate=5.0),
    "gradient, accumulate": MemoryForm(write="gradient", memory="accumulate", inner_rate=5.0),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_memory_of_any_form_answers_as_the_wrapper_does(
    name: str, kinds: Kinds, towns: Draw, tiny_model: LocalModel
) -> None:
    form, segments = FORMS[name], packs(towns.corpus, tiny_model)
    own = decoder(tiny_model, form)
    rows = [[*segments, tiny_model.question_ids(question.text)] for question in towns.corpus.questions]
    expected = [own.generate([row], lambda _: None, 8)[0].ids for row in rows]
    with kinds(form) as system:
        prepared = system.prepare(towns.corpus)
        given = list(system.answer(towns.corpus.questions))
    assert [answer.output_ids for answer in given] == expected
    kept = len(segments) if form.memory == "accumulate" else 1
    kept = min(kept, form.memory_last or kept)
    assert prepared.tokens == kept * MEMORY == given[0].tokens.cached
    assert prepared.bytes == kept * MEMORY * WIDTH * 4
    assert set(prepared.seconds) == {"tokenize", "prefill"}
    assert prepared.counts.get("gradient_steps") == (2 * len(segments) if form.write == "gradient" else None)


@pytest.mark.parametrize("name", ["constant", "gradient"])
def test_per_document_keeps_each_documents_own_memory(
    name: str, kinds: Kinds, towns: Draw, tiny_model: LocalModel
) -> None:
    own, corpus = decoder(tiny_model, FORMS[name]), towns.corpus
    with kinds(FORMS[name], rmt_kind="per-document") as system:
        prepared = system.prepare(corpus)
        given = [answer.output_ids for answer in system.answer(corpus.questions)]
    parts = [packs(replace(corpus, documents=(each,)), tiny_model) for each in corpus.documents]
    memory = torch.cat([read_streams(own, [part]) for part in parts], dim=1)
    assert prepared.bytes == memory.nbytes == len(parts) * MEMORY * WIDTH * 4
    asked = own.with_form(replace(FORMS[name], memory="accumulate"))
    assert torch.equal(asked.tokens_of(memory), memory)
    for question, ids in zip(corpus.questions, given, strict=True):
        tail = tiny_model.question_ids(question.text)
        inputs = torch.cat([memory, own.embed(torch.tensor([[*tail, *ids[:-1]]]))], dim=1)
        with torch.no_grad():
            states = own.base.base_model(inputs_embeds=inputs).last_hidden_state[0, memory.shape[1] + len(tail) - 1 :]
            assert own.logits(states).argmax(-1).tolist() == list(ids)


def test_one_document_of_one_segment_is_alike_in_all_kinds(kinds: Kinds, towns: Draw) -> None:
    documents = (replace(towns.corpus.documents[0], text="The mayor of Arden is Tam."),)
    corpus, given = replace(towns.corpus, documents=documents), []
    for kind in ("trained", "constant", "accumulate", "per-document"):
        with kinds(MemoryForm(), rmt_kind=kind) as system:
            assert system.prepare(corpus).counts["segments"] == 1
            given.append([answer.output_ids for answer in system.answer(corpus.questions)])
    assert given[0] == given[1] == given[2] == given[3]


def test_a_run_may_keep_and_write_otherwise_than_was_trained(kinds: Kinds, towns: Draw, tiny_model: LocalModel) -> None:
    segments = packs(towns.corpus, tiny_model)
    prepared = {}
    for options in ({"rmt_kind": "accumulate"}, {"rmt_kind": "accumulate", "rmt_last": "3"}, {"rmt_inner_steps": "5"}):
        form = FORMS["gradient"]
        with kinds(form, **options) as system:
            prepared[tuple(options)] = system.prepare(towns.corpus)
    kept = [each.bytes // (MEMORY * WIDTH * 4) for each in prepared.values()]
    assert kept == [len(segments), 3, 1]
    assert [each.counts["gradient_steps"] for each in prepared.values()] == [2 * len(segments)] * 2 + [
        5 * len(segments)
    ]


def test_query_first_accumulates_for_questions_of_unequal_length(
    kinds: Kinds, towns: Draw, tiny_model: LocalModel
) -> None:
    form = FORMS["accumulate"]
    own = decoder(tiny_model, form)
    with kinds(form, "rmt-query-first") as system:
        system.prepare(towns.corpus)
        given = [answer.output_ids for answer in system.answer(towns.corpus.questions)]
    ids = [
        each for document in towns.corpus.documents for each in sentence_ids(document, tiny_model.contract.tokenizer)
    ]
    for question, answer in zip(towns.corpus.questions, given, strict=True):
        tail = tiny_model.question_ids(question.text)
        row = [[*pack, *tail] for pack in packed_ids(ids, SEGMENT - len(tail))]
        assert answer == own.generate([[*row, tail]], lambda _: None, 8)[0].ids
        assert len(read_rows_apart(own, [row])[0]) == MEMORY * len(row)


def test_what_exceeds_the_context_is_refused_with_a_remedy(kinds: Kinds, towns: Draw, tiny_model: LocalModel) -> None:
    small = replace(tiny_model, context_limit=30)
    with (
        kinds(FORMS["constant"], model=small, rmt_kind="per-document") as system,
        pytest.raises(
            UserError, match="memory of 24 tokens and an answer of 8 exceed the model's context of 30"
        ) as caught,
    ):
        system.prepare(towns.corpus)
    assert caught.value.remedy == "keep less: --set rmt-kind=constant"


@pytest.mark.parametrize(
    ("options", "option", "said"),
    [
        ({"rmt_last": "2"}, "--set rmt-last", "only the last segment's memory is kept"),
        ({"rmt_last": "2", "rmt_kind": "per-document"}, "--set rmt-last", "only the last segment's memory is kept"),
        ({"rmt_inner_steps": "2"}, "--set rmt-inner-steps", "a memory that is written forward"),
    ],
)
def test_an_option_without_effect_on_the_memory_is_refused(kinds: Kinds, options: dict, option: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        kinds(MemoryForm(), **options)
    assert caught.value.where == option


def test_segments_read_diagonally_give_the_same_answers(towns: Draw, tiny_model: LocalModel) -> None:
    config = RmtConfig("decoder", segment_tokens=SEGMENT, memory_tokens=MEMORY, update="per-layer")
    made = RecurrentDecoder(copy.deepcopy(tiny_model.model), config, BaseIdentity.of(tiny_model.provenance)).eval()
    assert made.associations is not None
    with torch.no_grad():
        for layer in made.associations.layers:
            layer.value.weight.copy_(torch.eye(WIDTH))
    answers = []
    for options in ({}, {"rmt_schedule": "diagonal"}):
        spec = RunSpec(
            "rmt-memory", "towns", "all", "random:tiny", "own:towns@0",
            max_answer_tokens=8, options=RunOptions.read(options),
        )  # fmt: skip
        resources = Resources(spec, tiny_model, memories={"": LoadedMemory(made, {})})
        with find_system("rmt-memory").make(resources) as system:
            prepared = system.prepare(towns.corpus)
            answers.append([answer.output_ids for answer in system.answer(towns.corpus.questions)])
    assert answers[0] == answers[1]
    assert prepared.bytes == (MEMORY + made.associations.rows) * WIDTH * 4


def test_a_memory_that_passes_on_is_not_read_diagonally(kinds: Kinds, towns: Draw) -> None:
    with kinds(MemoryForm(), rmt_schedule="diagonal") as system, pytest.raises(UserError) as caught:
        system.prepare(towns.corpus)
    assert caught.value.where == "--set rmt-schedule=diagonal"
    assert "from the last layer of a segment to the first layer of the next" in caught.value.what
