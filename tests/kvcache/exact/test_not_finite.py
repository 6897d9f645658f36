"""A row whose logits are NaN or infinite fails with that reason, and spoils no other row of its batch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from rmtbench.kvcache.exact.plain import read_prefix
from rmtbench.kvcache.exact.reading import read_in_chunks
from rmtbench.kvcache.exact.shared import read_shared
from rmtbench.models.base import Generation, Passage, Prompt
from rmtbench.models.local import LocalModel

if TYPE_CHECKING:
    from transformers.modeling_outputs import CausalLMOutput

CONTEXT = (Passage("Arden", "Arden lies on the river Oss. Its market is held on Fridays. " * 3),)
POISON = "volcano"
QUESTIONS = (
    f"Is there a {POISON} in Arden, and is it a long way to go from there to the river and to the market?",
    "Where does the river Oss end, please?",
    "Who?",
    f"Which {POISON}?",
    "When is the market held?",
)

Answer = Callable[[LocalModel, Sequence[str]], list[Generation]]


def own_prompts(model: LocalModel, questions: Sequence[str]) -> list[Generation]:
    return model.generate([Prompt(CONTEXT, question) for question in questions])


def plain(model: LocalModel, questions: Sequence[str]) -> list[Generation]:
    with read_prefix(model, CONTEXT, questions, len(questions), read_in_chunks).value as prefix:
        return prefix.generate(questions)


def shared(model: LocalModel, questions: Sequence[str]) -> list[Generation]:
    """Two places for all questions, so that a later one takes the place of one that failed."""
    with read_shared(model, CONTEXT, questions, batch=2).value as prefix:
        return list(prefix.stream(questions))


@pytest.fixture(scope="module")
def poisoned(tiny_model: LocalModel) -> LocalModel:
    """The tiny model, but one word is read as NaN."""
    model = copy.deepcopy(tiny_model.model)
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())  # else the word is written as NaN
    [word] = tiny_model.token_ids(POISON)
    with torch.no_grad():
        model.get_input_embeddings().weight[word] = torch.nan
    return replace(tiny_model, model=model)


@pytest.mark.parametrize("answer", [own_prompts, plain, shared])
def test_a_row_that_is_not_finite_fails_alone(tiny_model: LocalModel, poisoned: LocalModel, answer: Answer) -> None:
    expected, found = answer(tiny_model, QUESTIONS), answer(poisoned, QUESTIONS)
    for question, right, row in zip(QUESTIONS, expected, found, strict=True):
        if POISON in question:
            assert (row.finish, row.raw, row.output_ids) == ("error", "", ())
            assert row.error == "the model's logits are not finite (NaN or infinite) after 0 tokens of the answer"
        else:
            assert (row.finish, row.error, row.output_ids) == (right.finish, None, right.output_ids)


@pytest.mark.parametrize("answer", [own_prompts, plain, shared])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_damaged_head_fails_every_row(tiny_model: LocalModel, answer: Answer, value: float) -> None:
    model = copy.deepcopy(tiny_model.model)
    with torch.no_grad():
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
        model.lm_head.weight[77] = value
    found = answer(replace(tiny_model, model=model), QUESTIONS)
    assert [row.finish for row in found] == ["error"] * len(QUESTIONS)


def test_an_answer_that_becomes_not_finite_on_way_is_no_answer(tiny_model: LocalModel) -> None:
    asked = QUESTIONS[1]
    written = own_prompts(tiny_model, [asked])[0].output_ids
    read = {*tiny_model.context_ids(CONTEXT), *tiny_model.question_ids(asked), *written[:2]}
    assert written[2] not in read, "the third token must be the first of its kind"
    model = copy.deepcopy(tiny_model.model)
    with torch.no_grad():
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
        model.get_input_embeddings().weight[written[2]] = torch.nan
    [row] = own_prompts(replace(tiny_model, model=model), [asked])
    assert row.error is not None
    assert "after 3 tokens" in row.error
    assert row.output_ids == ()


def test_a_word_that_a_model_never_writes_is_no_error(tiny_model: LocalModel) -> None:
    def hide(_module: torch.nn.Module, _given: object, made: CausalLMOutput) -> None:
        made.logits[..., 5] = -torch.inf

    model = copy.deepcopy(tiny_model.model)
    model.register_forward_hook(hide)
    found = own_prompts(replace(tiny_model, model=model), QUESTIONS)
    assert [row.error for row in found] == [None] * len(QUESTIONS)
