"""What became of each question, as one letter an answer: what the page lists and filters by, without the answers."""

from __future__ import annotations

from collections.abc import Mapping

from rmtbench.core import Answer
from rmtbench.normalize import normalize_squad

MISSING = "-"
"""The letter of a question that this run has not answered."""
REFUSALS = frozenset(
    {
        "unknown",
        "not known",
        "not stated",
        "not mentioned",
        "not given",
        "unanswerable",
        "no answer",
        "i do not know",
        "i dont know",
    }
)
"""Answers that decline to answer, in the normal form of the SQuAD evaluator."""
LONGEST_REFUSAL = 40
"""Characters of an answer that may be one of them: longer ones are not put into normal form."""


def outcome(answer: Answer, scores: Mapping[str, float | None]) -> str:
    """Return one letter: failed, right, unknown, partly right, wrong, or not scored (``f r u p w n``).

    A refusal that is the right answer is right. Exact match decides what is right, token F1 what is partly right.

    Args:
        answer: The answer.
        scores: Its scores; empty before scoring.
    """
    if answer.error is not None:
        return "f"
    exact = scores.get("em")
    if exact is not None and exact > 0:
        return "r"
    if len(answer.text) <= LONGEST_REFUSAL and normalize_squad(answer.text) in REFUSALS:
        return "u"
    if exact is None:
        return "n"
    return "p" if (scores.get("f1") or 0.0) > 0 else "w"


def flag(answer: Answer) -> str:
    """Return ``c`` for an answer that was cut off at the token limit, ``e`` for an empty one, else a space."""
    if answer.error is not None:
        return " "
    if answer.finish == "length":
        return "c"
    return " " if answer.text.strip() else "e"
