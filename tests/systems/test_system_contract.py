"""What every registered system promises: prepare, then answer, streamed, in order, and a failure is a row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from page_plugins import SYSTEMS, installed

from rmtbench.core import Answer, Draw, Prepared, Question
from rmtbench.errors import UserError
from rmtbench.models.base import Generation, Prompt
from rmtbench.models.local import LocalModel
from rmtbench.systems.base import System, SystemKind, batches, generate_apart
from rmtbench.systems.registry import find_system, system_names

Build = Callable[..., System]
WITH_MEMORY = ("rmt-memory", "rmt-query-first")
every_system = pytest.mark.parametrize("name", [*system_names(), *SYSTEMS])
pytestmark = pytest.mark.usefixtures("page_systems")


@pytest.fixture(scope="module")
def page_systems(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The systems of docs/guides/plugin.md keep the contract, too."""
    with installed(tmp_path_factory.mktemp("page") / "site"):
        yield


def answers(system: System, towns: Draw, questions: list[Question] | None = None) -> list[Answer]:
    with system:
        system.prepare(towns.corpus)
        return list(system.answer(questions or towns.corpus.questions))


def told(rows: list[Answer]) -> list[tuple[object, ...]]:
    """What must not depend on the clock or on neighbours in a batch."""
    return [(row.question_id, row.output_ids, row.finish, [found.span for found in row.retrieved]) for row in rows]


@every_system
def test_the_registry_gives_a_kind_of_that_name(name: str) -> None:
    kind = find_system(name)
    assert isinstance(kind, SystemKind)
    assert kind.name == name
    assert kind.summary


@every_system
def test_an_answer_before_prepare_raises(name: str, build: Build, towns: Draw) -> None:
    with build(name) as system, pytest.raises(RuntimeError, match="answer before prepare"):
        next(system.answer(towns.corpus.questions))


@every_system
def test_what_was_prepared_is_gone_when_the_block_is_left(name: str, build: Build, towns: Draw) -> None:
    with build(name) as system:
        prepared = system.prepare(towns.corpus)
        assert isinstance(prepared, Prepared)
        assert len(list(system.answer(towns.corpus.questions[:1]))) == 1
    with pytest.raises(RuntimeError):
        next(system.answer(towns.corpus.questions))


@every_system
def test_answers_come_in_the_order_of_the_questions(name: str, build: Build, towns: Draw) -> None:
    questions = [towns.corpus.questions[place] for place in (4, 0, 5, 2, 1, 3)]
    rows = answers(build(name), towns, questions)
    assert [row.question_id for row in rows] == [question.id for question in questions]
    assert all(row.finish == "length" and len(row.output_ids) == 8 for row in rows)
    notes = 3 * 8 if "notes" in find_system(name).needs else 0
    assert {row.tokens.output for row in rows} == {notes + 8}
    assert all(row.error is None and row.timings.total > 0 for row in rows)


@every_system
def test_an_answer_is_given_before_the_next_question_is_read(
    name: str, build: Build, towns: Draw, tiny_model: LocalModel, read: list[int]
) -> None:
    first, second, _ = questions = towns.corpus.questions[:3]
    with build(name) as system:
        system.prepare(towns.corpus)
        read.clear()
        stream = system.answer(questions)
        for asked, later in ((first, second), (second, questions[2])):
            assert next(stream).question_id == asked.id
            assert holds(read, tiny_model.question_ids(asked.text))
            assert not holds(read, tiny_model.question_ids(later.text))


@every_system
def test_a_batch_is_answered_as_its_questions_alone(name: str, build: Build, towns: Draw) -> None:
    single, batched = answers(build(name), towns), answers(build(name, batch=4), towns)
    assert told(batched) == told(single)
    assert [row.tokens for row in batched] == [row.tokens for row in single]
    assert len({row.output_ids for row in single}) > 1


@every_system
def test_unanswerable_request_fails_alone_with_reason(
    name: str, build: Build, towns: Draw, tiny_model: LocalModel
) -> None:
    model = replace(tiny_model, context_limit=340)
    good = list(towns.corpus.questions)
    expected = told(answers(build(name, model), towns, good))
    asked = [*good[:3], Question("q3", "Who is the mayor? " * 65), *good[4:]]
    for batch in (1, 4):
        rows = answers(build(name, model, batch=batch), towns, asked)
        assert [row.question_id for row in rows] == [question.id for question in asked]
        assert told(rows[:3] + rows[4:]) == expected[:3] + expected[4:], f"in batches of {batch}"
        failed = rows[3]
        assert (failed.finish, failed.text, failed.output_ids) == ("error", "", ())
        assert failed.error is not None
        assert "exceed" in failed.error


def test_a_failed_retrieval_answer_keeps_what_was_retrieved(build: Build, towns: Draw, tiny_model: LocalModel) -> None:
    [row] = answers(build("rag-sparse", replace(tiny_model, context_limit=40)), towns, [towns.corpus.questions[0]])
    assert row.error is not None
    assert len(row.retrieved) == 2


def test_cag_refuses_a_corpus_that_leaves_no_room_for_an_answer(
    build: Build, towns: Draw, tiny_model: LocalModel
) -> None:
    with build("cag", replace(tiny_model, context_limit=300)) as system, pytest.raises(UserError) as caught:
        system.prepare(towns.corpus)
    assert caught.value.where == "corpus towns-all-seed0-draw0"
    assert "exceed the model's context of 300" in caught.value.what
    assert caught.value.remedy == "choose a smaller --size"


@pytest.mark.parametrize("name", WITH_MEMORY)
def test_memory_tokens_are_refused_to_text_only_model(name: str, build: Build, tiny_model: LocalModel) -> None:
    with pytest.raises(UserError, match="cannot be given memory tokens") as caught:
        build(name, Endpoint(tiny_model))
    assert (caught.value.where, caught.value.remedy) == (f"--system {name}", "use a local model, or rmt-text")


def test_cag_refuses_a_model_whose_cache_is_elsewhere(build: Build, towns: Draw, tiny_model: LocalModel) -> None:
    with build("cag", Endpoint(tiny_model)) as system, pytest.raises(UserError, match="keeps no cache here") as caught:
        system.prepare(towns.corpus)
    assert caught.value.remedy == "use a local model"


@pytest.mark.parametrize("name", [name for name in system_names() if name not in ("cag", *WITH_MEMORY)])
def test_every_other_system_serves_any_model_behind_the_seam(
    name: str, build: Build, towns: Draw, tiny_model: LocalModel
) -> None:
    assert told(answers(build(name, Endpoint(tiny_model)), towns)) == told(answers(build(name), towns))


def test_an_error_that_is_no_answers_fault_is_not_swallowed() -> None:
    def generate(prompts: object) -> list[Generation]:
        raise LookupError

    with pytest.raises(LookupError):
        generate_apart(generate, ["a", "b"])


def test_batches_are_consecutive_and_the_last_may_be_smaller(towns: Draw) -> None:
    found = [[question.id for question in batch] for batch in batches(towns.corpus.questions, 4)]
    assert found == [["q0", "q1", "q2", "q3"], ["q4", "q5"]]
    assert list(batches([], 4)) == []


def holds(ids: list[int], part: list[int]) -> bool:
    return any(ids[start : start + len(part)] == part for start in range(len(ids)))


class Endpoint:
    """A model that speaks texts alone, as one behind an API does."""

    def __init__(self, model: LocalModel) -> None:
        self._model = model
        self.context_limit, self.provenance = model.context_limit, model.provenance
        self.count_tokens, self.token_ids = model.count_tokens, model.token_ids

    def generate(self, prompts: list[Prompt]) -> list[Generation]:
        return self._model.generate(prompts)
