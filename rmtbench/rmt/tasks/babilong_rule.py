"""BABILong's own rule of what is right (Kuratov et al., 2024): the target is named, and no other answer of its task is.

Equal to `compare_answers` of the official repository's ``babilong/metrics.py``, its substring matching included.
"""

from __future__ import annotations

from collections.abc import Mapping

_PLACES = "bathroom bedroom garden hallway kitchen office"
_LABELS: Mapping[str, frozenset[str]] = {
    name: frozenset(words.split())
    for names, words in (
        ("qa1 qa2 qa3 qa4 qa11 qa12 qa13", _PLACES),
        ("qa5", "bill fred jeff mary apple football milk"),
        ("qa6 qa9 qa17 qa18", "no yes"),
        ("qa7", "none one three two"),
        ("qa8", "apple football milk nothing"),
        ("qa10", "maybe no yes"),
        ("qa14", "bedroom cinema kitchen office park school"),
        ("qa15", "cat mouse sheep wolf"),
        ("qa16", "gray green white yellow"),
        ("qa19", "e,e e,n e,s n,e n,n n,w s,e s,s s,w w,n w,s w,w"),
        ("qa20", "bedroom bored garden hungry kitchen thirsty tired"),
    )
    for name in names.split()
}
"""What can be answered in each task, in lower case."""


def is_scored(task: str) -> bool:
    """Whether the rule knows a task, such as ``qa1``."""
    return task in _LABELS


def is_right(task: str, question: str, target: str, answer: str) -> bool:
    """Whether an answer names the target and no other label of its task.

    Labels that the question names do not count. A target with commas, longer than three characters, is a list of
    labels that must all be named.

    Args:
        task: One that `is_scored`.
        question: The question.
        target: The right answer.
        answer: What was answered; its first sentence counts.

    Raises:
        KeyError: There is no such task.
    """
    said = answer.lower().split(".")[0].split("<context>")[0].split("<example>")[0]
    named = {label for label in _LABELS[task] if label in said and label not in question.lower()}
    wanted = target.lower()
    parts = wanted.split(",") if "," in wanted and len(wanted) > 3 else [wanted]
    return named.issuperset(parts) and len(named) == len(parts)
