"""The shared prefix keeps one copy and ragged room behind it, answers in order, and fails one question at a time."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from rmtbench.core import Draw, RunSpec
from rmtbench.errors import AnswerError, UserError
from rmtbench.kvcache.base import PrefixKV
from rmtbench.kvcache.exact.plain import read_prefix
from rmtbench.kvcache.exact.shared import SharedPrefixCache, read_shared, shared_prefix
from rmtbench.models.base import Passage, Prompt
from rmtbench.models.local import LocalModel
from rmtbench.options.identity import RunOptions
from rmtbench.systems.base import Resources
from rmtbench.systems.cag import KIND as CAG

CONTEXT = (Passage("Arden", "Arden lies on the river Oss. " * 10), Passage("Belmo", "Its market is on Fridays. " * 8))
SHORT, LONG = "Who?", "Who is the mayor of Arden, please, and where does the river end?"
MANY = [f"Who is {name}, {'please, ' * (number % 4)}and why?" for number, name in enumerate("ABCDEFGHIJK")]


def prefix(model: LocalModel, batch: int = 1, *questions: str) -> SharedPrefixCache:
    return read_shared(model, CONTEXT, questions or (SHORT, LONG), batch).value


def ending(model: LocalModel) -> LocalModel:
    """The model with end tokens, such that the answers to `MANY` end at different steps."""
    answers = [model.generate([Prompt(CONTEXT, question)])[0].output_ids for question in MANY]
    ends = {answer[2 + number % 3] for number, answer in enumerate(answers) if number % 2}
    return replace(model, end_ids=frozenset(ends))


@pytest.mark.parametrize("batch", [1, 3])
def test_room_is_kept_for_batch_of_longest_questions_and_answers(tiny_model: LocalModel, batch: int) -> None:
    with prefix(tiny_model, batch) as held:
        context, longest = len(tiny_model.context_ids(CONTEXT)), len(tiny_model.question_ids(LONG))
        assert held.tokens == context
        slots = context + batch * (longest + tiny_model.max_answer_tokens)
        layers, heads, width, keys_and_values, float32 = 2, 2, 16, 2, 4
        assert held.bytes == slots * layers * heads * width * keys_and_values * float32
        assert [row.finish for row in held.generate([LONG] * 5)] == ["length"] * 5


def test_tensors_that_stand_ready_are_taken_without_a_copy(tiny_model: LocalModel) -> None:
    states = tuple(torch.zeros(2, 5, 16) for _ in range(4))
    tensors = PrefixKV(states[:2], states[2:], (1, 2, 3, 4, 5))
    with shared_prefix(tiny_model, tensors, longest=10, batch=2) as held:
        assert held._held is not None
        assert held._held[0] is tensors
        assert held.tokens == 5
        assert held.generate([SHORT])[0].cached_tokens == 5


@pytest.mark.parametrize("batch", [1, 2, 3, 11, 16])
def test_admitted_questions_answer_as_alone_and_in_order(tiny_model: LocalModel, batch: int) -> None:
    model = ending(tiny_model)
    expected = [model.generate([Prompt(CONTEXT, question)])[0] for question in MANY]
    assert len({len(row.output_ids) for row in expected}) > 3, "the rows would end together"
    with prefix(model, batch, *MANY) as held:
        found = list(held.stream(MANY))
    assert [(row.output_ids, row.finish) for row in found] == [(row.output_ids, row.finish) for row in expected]
    assert [row.prompt_tokens for row in found] == [row.prompt_tokens for row in expected]


def test_answer_comes_as_soon_as_it_and_all_before_it_are_there(tiny_model: LocalModel) -> None:
    asked = 0
    contract = tiny_model.contract

    class Counted(type(contract)):  # type: ignore[misc]
        def question_ids(self, question: str) -> list[int]:
            nonlocal asked
            asked += 1
            return super().question_ids(question)  # type: ignore[no-any-return]

    counted = Counted(contract.tokenizer, contract.style, contract.head, contract.bridge, contract.tail)
    with prefix(tiny_model, 2, *MANY) as held:
        held._model = replace(tiny_model, contract=counted)
        stream = held.stream(MANY)
        next(stream)
        assert asked <= 4, "later questions were read before the first answer was given"
        assert len(list(stream)) == len(MANY) - 1


def test_question_seconds_add_up_to_elapsed_time(tiny_model: LocalModel) -> None:
    with prefix(tiny_model, 3, *MANY) as held:
        held.generate(MANY[:1])
        start, elsewhere, rows = time.perf_counter(), 0.0, []
        for row in held.stream(MANY):
            rows.append(row)
            before = time.perf_counter()
            time.sleep(0.01)
            elsewhere += time.perf_counter() - before
        wall = time.perf_counter() - start - elsewhere
    shares = sum(row.prefill_seconds + row.decode_seconds for row in rows)
    assert 0.8 * wall < shares <= wall
    assert all(row.prefill_seconds > 0 and row.decode_seconds > 0 for row in rows)


def test_a_question_too_long_fails_alone_and_says_both_numbers(tiny_model: LocalModel) -> None:
    room = len(tiny_model.question_ids(LONG)) + tiny_model.max_answer_tokens
    with prefix(tiny_model, 2) as held:
        alone = [held.generate([question])[0].output_ids for question in (SHORT, LONG)]
        rows = list(held.stream([f"{LONG} why", SHORT, LONG * 9, LONG, f"{LONG} why"]))
        assert [row.finish for row in rows] == ["error", "length", "error", "length", "error"]
        assert rows[0].error == f"question and answer of {room + 1} tokens exceed the {room} kept for them"
        assert [rows[1].output_ids, rows[3].output_ids] == alone
        with pytest.raises(AnswerError, match=f"exceed the {room} kept"):
            held.generate([SHORT, f"{LONG} why"])
        assert held.generate([SHORT])[0].output_ids == alone[0]


def test_question_beyond_context_is_refused_despite_room(tiny_model: LocalModel) -> None:
    limit = len(tiny_model.context_ids(CONTEXT)) + len(tiny_model.question_ids(LONG)) + tiny_model.max_answer_tokens
    with prefix(replace(tiny_model, context_limit=limit), 1, f"{LONG[:-1]}", LONG) as held:
        assert held.generate([LONG])[0].prompt_tokens == limit - tiny_model.max_answer_tokens
    with pytest.raises(AnswerError, match=f"exceed the model's context of {limit - 1}"):
        prefix(replace(tiny_model, context_limit=limit - 1))


def test_a_closed_prefix_raises_and_holds_nothing(tiny_model: LocalModel) -> None:
    with prefix(tiny_model) as held:
        assert held.bytes > 0
    assert held.bytes == 0
    with pytest.raises(RuntimeError, match="the prefix is closed"):
        held.generate([SHORT])


def test_answers_over_reused_places_are_refused(tiny_model: LocalModel) -> None:
    with prefix(tiny_model, 2, *MANY) as held:
        first = held.stream(MANY)
        next(first)
        expected = held.generate(MANY[:1])[0].output_ids
        with pytest.raises(RuntimeError, match="other questions were asked meanwhile"):
            list(first)
        assert held.generate(MANY[:1])[0].output_ids == expected
        last = held.stream(MANY)
        next(last)
    with pytest.raises(RuntimeError, match="the prefix was closed"):
        list(last)


def test_what_it_cost_is_told_by_part(tiny_model: LocalModel) -> None:
    made = read_shared(tiny_model, CONTEXT, (SHORT, LONG), 1)
    assert list(made.seconds) == ["tokenize", "prefill"]
    assert min(made.seconds.values()) > 0


def test_models_attention_is_restored_even_after_error(tiny_model: LocalModel) -> None:
    config = tiny_model.model.config
    with prefix(tiny_model) as held:
        held.generate([SHORT])
        assert config._attn_implementation == "sdpa"
        assert held._held is not None
        held._held[1].keys.clear()
        with pytest.raises(IndexError):
            held.generate([SHORT])
        assert config._attn_implementation == "sdpa"


WIDTHS = {"vocab_size": 30522, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2}
HEADS = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 512}
LONGROPE = {"rope_type": "longrope", "rope_theta": 1e4, "factor": 2.0, "original_max_position_embeddings": 256,
            "short_factor": [1.0] * 8, "long_factor": [2.0] * 8}  # fmt: skip
REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "sliding-window layers": ("mistral", {"sliding_window": 24}),
    "sliding-window layers and capped attention scores": ("gemma2", {}),
    "capped attention scores": ("gemma2", {"layer_types": ["full_attention"] * 2, "sliding_window": None}),
    "attention sinks": ("gpt_oss", {"layer_types": ["full_attention"] * 2, "sliding_window": None}),
    "rotary positions that depend on the length": ("llama", {"rope_parameters": LONGROPE}),
}


def made(kind: str, **settings: Any) -> Any:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **WIDTHS, **HEADS, **settings)).eval()


@pytest.mark.parametrize("reason", REFUSED)
def test_other_attention_is_refused_with_reason_and_remedy(tiny_model: LocalModel, reason: str) -> None:
    kind, settings = REFUSED[reason]
    model = LocalModel(made(kind, **settings), tiny_model.contract, frozenset(), 512, 4, {})
    with pytest.raises(UserError) as caught:
        read_shared(model, CONTEXT, [SHORT], 1)
    assert f" has {reason}, which the shared prefix cannot serve" in str(caught.value)
    assert "--cache-layout plain" in (caught.value.remedy or "")


def test_cag_refuses_sliding_window_until_plain_prefix_is_named(tiny_model: LocalModel, towns: Draw) -> None:
    model = LocalModel(made("mistral", sliding_window=24), tiny_model.contract, frozenset(), 512, 4, {})
    spec = RunSpec("cag", "towns", "all", "tiny", "own:towns@0", max_answer_tokens=4)
    with CAG.make(Resources(spec, model)) as system, pytest.raises(UserError, match="sliding-window"):
        system.prepare(towns.corpus)
    with CAG.make(Resources(replace(spec, options=RunOptions(cache_layout="plain")), model)) as system:
        system.prepare(towns.corpus)
        found = [answer.output_ids for answer in system.answer(towns.corpus.questions)]
    passages = tuple(Passage(document.title, document.text) for document in towns.corpus.documents)
    asked = [question.text for question in towns.corpus.questions]
    assert found == [model.generate([Prompt(passages, question)])[0].output_ids for question in asked]
    with read_prefix(model, passages, asked, 1).value as plain:
        assert found == [plain.generate([question])[0].output_ids for question in asked]
