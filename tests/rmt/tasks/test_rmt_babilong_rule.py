"""BABILong answers are right by the benchmark's own rule, with the cases that set it apart from exact match."""

import pytest

from rmtbench.rmt.tasks.babilong_rule import is_right, is_scored

WHERE = "Where is Mary?"


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("kitchen", True),
        ("Mary is in the Kitchen", True),
        ("The kitchen. Before that she was in the garden.", True),
        ("The garden or the kitchen", False),
        ("the hall", False),
        ("", False),
        ("kitchen<example>garden", True),
        ("kitchens", True),
    ],
)
def test_the_first_sentence_must_name_target_and_no_other_place(answer: str, right: bool) -> None:
    assert is_right("qa1", WHERE, "kitchen", answer) is right


def test_what_the_question_names_does_not_count() -> None:
    question = "Where was the apple before the kitchen?"
    assert is_right("qa3", question, "garden", "It was in the garden before the kitchen")
    assert not is_right("qa3", question, "kitchen", "kitchen")


def test_several_targets_must_all_be_named() -> None:
    question = "What is Mary carrying?"
    assert is_right("qa8", question, "apple,milk", "milk and the apple")
    assert not is_right("qa8", question, "apple,milk", "milk")
    assert not is_right("qa8", question, "apple", "milk and the apple")


def test_two_directions_are_one_label() -> None:
    assert is_right("qa19", "How do you go from the hall to the park?", "n,e", "N,E")
    assert not is_right("qa19", "How do you go from the hall to the park?", "n,e", "e,n")


def test_label_within_another_word_counts_as_benchmark_counts_it() -> None:
    assert not is_right("qa7", "How many objects is Mary carrying?", "none", "none, not one")
    assert not is_right("qa7", "How many objects is Mary carrying?", "one", "none")


def test_tasks_are_known_by_name() -> None:
    assert all(is_scored(f"qa{number}") for number in range(1, 21))
    assert not is_scored("qa21")
    assert not is_scored("stories")
