"""Tasks by name, and what a wrong name is told."""

import random

import pytest
from task_contracts import contract_of

from rmtbench.errors import UserError
from rmtbench.rmt.tasks.registry import make_task, task_names


@pytest.mark.parametrize("name", task_names())
@pytest.mark.parametrize("kind", ["mini", "bert"])
def test_every_name_makes_a_task_of_that_name_in_either_style(name: str, kind: str) -> None:
    for style in ("bridge", "direct"):
        task = make_task(name, contract_of(kind, style), 200)
        assert task.name == name
        sample = task.sample(2, random.Random(0))
        assert sample.answer[-1] == sample.not_yet[-1]
        assert len(list(sample.segments)) == 2


def test_the_names_are_those_that_the_command_promises() -> None:
    assert set(task_names()) >= {"memorize", "detect", "facts-2", "facts-4", "facts-8", "two-hop", "reading"}


@pytest.mark.parametrize(
    ("name", "guess"),
    [("detct", "did you mean 'detect'"), ("facts-3", "did you mean 'facts-"), ("qa1", "babilong:FILE")],
)
def test_an_unknown_task_is_refused_with_the_nearest_name(name: str, guess: str) -> None:
    with pytest.raises(UserError, match=f"no task '{name}'") as refused:
        make_task(name, contract_of(), 200)
    assert guess in refused.value.remedy


def test_an_unknown_choice_of_names_is_refused() -> None:
    with pytest.raises(UserError, match="no names 'unseen'") as refused:
        make_task("detect", contract_of(), 200, names="unseen")
    assert "held-out" in refused.value.remedy


@pytest.mark.parametrize(("name", "asked"), [("detect", 2), ("reading", 4), ("facts-4", 0)])
def test_as_many_questions_as_a_task_cannot_ask_are_refused(name: str, asked: int) -> None:
    with pytest.raises(UserError, match=f"'{name}' cannot ask {asked} questions") as refused:
        make_task(name, contract_of(), 200, asked=asked)
    assert refused.value.where == "--asked"


def test_a_segment_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one token"):
        make_task("detect", contract_of(), 0)
