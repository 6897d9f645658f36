"""The plain prefix keeps room for the longest questions it was told of, and refuses whatever does not fit there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rmtbench.errors import AnswerError
from rmtbench.kvcache.exact.plain import PlainPrefix, read_prefix
from rmtbench.models.base import Passage
from rmtbench.models.local import LocalModel

CONTEXT = (Passage("Arden", "Arden lies on the river Oss. " * 10), Passage("Belmo", "Its market is on Fridays. " * 8))
SHORT, LONG = "Who?", "Who is the mayor of Arden, please, and where does the river end?"


def prefix(model: LocalModel, batch: int = 1, *questions: str) -> PlainPrefix:
    return read_prefix(model, CONTEXT, questions or (SHORT, LONG), batch).value


@pytest.mark.parametrize("batch", [1, 3])
def test_room_is_kept_for_batch_of_longest_questions_and_answers(tiny_model: LocalModel, batch: int) -> None:
    with prefix(tiny_model, batch) as held:
        context, longest = len(tiny_model.context_ids(CONTEXT)), len(tiny_model.question_ids(LONG))
        assert held.tokens == context
        slots = context + batch * (longest + tiny_model.max_answer_tokens)
        layers, heads, width, keys_and_values, float32 = 2, 2, 16, 2, 4
        assert held.bytes == slots * layers * heads * width * keys_and_values * float32
        assert [row.finish for row in held.generate([LONG] * batch)] == ["length"] * batch
        with pytest.raises(AnswerError):
            held.generate([LONG] * batch + [SHORT])


def test_one_token_too_many_is_refused_with_both_numbers(tiny_model: LocalModel) -> None:
    room = len(tiny_model.question_ids(LONG)) + tiny_model.max_answer_tokens
    with prefix(tiny_model) as held:
        longer = f"{LONG} why"
        assert len(tiny_model.question_ids(longer)) == len(tiny_model.question_ids(LONG)) + 1
        with pytest.raises(AnswerError) as caught:
            held.generate([longer])
        assert str(caught.value) == f"questions and answers of {room + 1} tokens exceed the {room} kept for them"


def test_question_beyond_context_is_refused_despite_room(tiny_model: LocalModel) -> None:
    limit = len(tiny_model.context_ids(CONTEXT)) + len(tiny_model.question_ids(LONG)) + tiny_model.max_answer_tokens
    with prefix(replace(tiny_model, context_limit=limit), 2) as held:
        assert held.generate([LONG])[0].prompt_tokens == limit - tiny_model.max_answer_tokens
        with pytest.raises(AnswerError, match=f"exceed the model's context of {limit}"):
            held.generate([f"{LONG} why"])


def test_a_context_without_room_for_longest_answer_is_refused(tiny_model: LocalModel) -> None:
    needed = len(tiny_model.context_ids(CONTEXT)) + len(tiny_model.question_ids(LONG)) + tiny_model.max_answer_tokens
    prefix(replace(tiny_model, context_limit=needed))
    with pytest.raises(AnswerError, match=f"exceed the model's context of {needed - 1}"):
        prefix(replace(tiny_model, context_limit=needed - 1))


def test_a_refused_question_leaves_the_prefix_ready(tiny_model: LocalModel) -> None:
    with prefix(tiny_model) as held:
        before = held.generate([SHORT])[0].output_ids
        with pytest.raises(AnswerError):
            held.generate([LONG * 9])
        assert held.generate([SHORT])[0].output_ids == before


def test_prefix_without_question_keeps_room_for_answer(tiny_model: LocalModel) -> None:
    with (
        read_prefix(tiny_model, CONTEXT, [], 1).value as held,
        pytest.raises(AnswerError, match=f"exceed the {tiny_model.max_answer_tokens} kept"),
    ):
        held.generate([SHORT])


def test_a_closed_prefix_raises_and_holds_nothing(tiny_model: LocalModel) -> None:
    with prefix(tiny_model) as held:
        assert held.bytes > 0
    assert held.bytes == 0
    with pytest.raises(RuntimeError, match="the prefix is closed"):
        held.generate([SHORT])


def test_a_prefix_is_closed_by_an_error_in_its_block_too(tiny_model: LocalModel) -> None:
    held = prefix(tiny_model)
    with pytest.raises(KeyError), held:
        raise KeyError
    with pytest.raises(RuntimeError, match="the prefix is closed"):
        held.generate([SHORT])


def test_what_it_cost_is_told_by_part(tiny_model: LocalModel) -> None:
    made = read_prefix(tiny_model, CONTEXT, (SHORT, LONG), 1)
    assert list(made.seconds) == ["tokenize", "prefill"]
    assert min(made.seconds.values()) > 0


def test_an_answer_counts_the_context_as_cached(tiny_model: LocalModel) -> None:
    with prefix(tiny_model, 2) as held:
        rows = held.generate([SHORT, LONG])
        assert [row.cached_tokens for row in rows] == [held.tokens] * 2
        lengths = [len(tiny_model.question_ids(question)) for question in (SHORT, LONG)]
        assert [row.prompt_tokens - row.cached_tokens for row in rows] == lengths
