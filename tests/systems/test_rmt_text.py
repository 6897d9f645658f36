"""Notes as a memory: rewritten section by section, bounded, counted; a failed call is never taken for empty notes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from rmtbench.core import Answer, Draw
from rmtbench.errors import AnswerError, UserError
from rmtbench.models.base import Generation, LanguageModel, Prompt
from rmtbench.models.load import load_tokenizer
from rmtbench.models.local import LocalModel
from rmtbench.models.prompt import INSTRUCTION, make_contract
from rmtbench.systems.base import Resources, System
from rmtbench.systems.rmt_text import NO_NOTES, NOTES_INSTRUCTION, TextMemory, note_writer

Build = Callable[..., System]


class Line:
    """A model that is heard: its prompts are kept, and from some call on it may be out of order."""

    def __init__(self, model: LanguageModel, fails_at: int | None = None) -> None:
        self._model, self._fails_at = model, fails_at
        self.prompts: list[Prompt] = []
        self.given: list[Generation] = []
        self.context_limit, self.provenance = model.context_limit, model.provenance
        self.count_tokens, self.token_ids = model.count_tokens, model.token_ids

    def generate(self, prompts: Sequence[Prompt]) -> list[Generation]:
        self.prompts += prompts
        if self._fails_at is not None and len(self.prompts) > self._fails_at:
            raise AnswerError("503 from the endpoint")
        generations = self._model.generate(prompts)
        self.given += generations
        return generations


def asked(build: Build, towns: Draw, answering: Line, writing: Line, questions: int = 1) -> list[Answer]:
    system = build("rmt-text")
    assert isinstance(system, TextMemory)
    resources: Resources = replace(system._resources, model=answering, writer=writing)
    with TextMemory(resources) as made:
        made.prepare(towns.corpus)
        return list(made.answer(towns.corpus.questions[:questions]))


@pytest.fixture
def lines(tiny_model: LocalModel) -> tuple[Line, Line]:
    """The model that answers, and the one that writes notes."""
    return Line(tiny_model), Line(note_writer(tiny_model, 8))


def test_every_section_is_shown_once_in_order(build: Build, towns: Draw, lines: tuple[Line, Line]) -> None:
    answering, writing = lines
    asked(build, towns, answering, writing)
    shown = [prompt.passages for prompt in writing.prompts]
    sections = [section for _, section in shown]
    assert [section.title for section in sections] == ["Section 1 of 3", "Section 2 of 3", "Section 3 of 3"]
    whole = "".join(f"{document.title}\n{document.text}\n\n" for document in towns.corpus.documents)
    assert "".join(section.text for section in sections) == whole
    assert [notes.text for notes, _ in shown] == [NO_NOTES, *[given.raw.strip() for given in writing.given[:2]]]
    assert {prompt.question for prompt in writing.prompts} == {towns.corpus.questions[0].text}


def test_answer_comes_from_last_notes_under_contract(build: Build, towns: Draw, lines: tuple[Line, Line]) -> None:
    answering, writing = lines
    [answer] = asked(build, towns, answering, writing)
    [prompt] = answering.prompts
    assert [passage.text for passage in prompt.passages] == [writing.given[-1].raw.strip()]
    assert prompt.question == towns.corpus.questions[0].text
    assert answer.output_ids == answering.given[0].output_ids


def test_tokens_and_seconds_are_those_of_all_calls(build: Build, towns: Draw, lines: tuple[Line, Line]) -> None:
    [answer] = asked(build, towns, *lines)
    calls = [*lines[1].given, *lines[0].given]
    assert len(calls) == 4
    assert answer.tokens.prompt == sum(call.prompt_tokens for call in calls)
    assert answer.tokens.output == sum(len(call.output_ids) for call in calls) == 4 * 8
    before = sum(call.prefill_seconds + call.decode_seconds for call in calls[:3])
    assert answer.timings.prefill == pytest.approx(before + calls[3].prefill_seconds)
    assert answer.timings.total >= answer.timings.first_token > before


def test_preparation_reports_sections_and_calls(build: Build, towns: Draw) -> None:
    with build("rmt-text") as system:
        prepared = system.prepare(towns.corpus)
    assert prepared.counts == {"sections": 3, "calls_a_question": 4}
    assert (prepared.bytes, prepared.tokens) == (0, 0)


@pytest.mark.parametrize(("fails_at", "section"), [(0, 1), (2, 3)])
def test_a_failed_call_fails_the_answer_and_no_more_is_asked(
    build: Build, towns: Draw, tiny_model: LocalModel, fails_at: int, section: int
) -> None:
    answering, writing = Line(tiny_model), Line(note_writer(tiny_model, 8), fails_at)
    [answer] = asked(build, towns, answering, writing)
    assert (answer.finish, answer.text) == ("error", "")
    assert answer.error == f"Section {section} of 3: 503 from the endpoint"
    assert len(writing.prompts) == section
    assert answering.prompts == []
    assert answer.tokens.output == 8 * fails_at, "what was paid for is counted"


def test_the_questions_before_a_failure_keep_their_answers(build: Build, towns: Draw, tiny_model: LocalModel) -> None:
    rows = asked(build, towns, Line(tiny_model), Line(note_writer(tiny_model, 8), 3), questions=2)
    assert [row.error is None for row in rows] == [True, False]


def test_notes_follow_instruction_and_may_have_many_lines(tiny_model: LocalModel) -> None:
    model = replace(tiny_model, contract=make_contract(load_tokenizer("mini"), "bridge"))
    writer = note_writer(model, 8)
    assert isinstance(writer, LocalModel)
    tokenizer = writer.contract.tokenizer
    text = tokenizer.decode([*writer.context_ids([]), *writer.question_ids("Who?")])
    assert tokenizer.decode(model.token_ids(f"{NOTES_INSTRUCTION}\n\nQuestion: Who?\nNotes:")) in text
    assert INSTRUCTION["direct"] not in text
    written = model.token_ids("one\ntwo\n")
    assert model.contract.finish(model.token_ids("Answer: one\ntwo\n"), frozenset({2})) == "stop"
    assert writer.contract.finish(written, frozenset({2})) is None
    assert writer.contract.finish([*written, 2], frozenset({2})) == "eos"
    assert writer.contract.final_answer(" one\ntwo \n") == "one\ntwo"
    assert writer.max_answer_tokens == 8


def test_section_beyond_context_is_refused_before_asking(build: Build, towns: Draw, tiny_model: LocalModel) -> None:
    with build("rmt-text", replace(tiny_model, context_limit=112)) as system, pytest.raises(UserError) as caught:
        system.prepare(towns.corpus)
    assert caught.value.what.endswith("exceed the model's context of 112")
    assert caught.value.where == "--rmt-chunk-tokens"
