"""What a number of questions costs, preparation included, and from how many on another system is cheaper."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rmtbench.analysis.run_figures import RunFigures


@dataclass(frozen=True, slots=True)
class CostLine:
    """Cost of any number of questions about one corpus, in seconds or in money: ``fixed + each * questions``.

    Attributes:
        name: Whose.
        fixed: Of preparing the corpus.
        each: Of one question.
    """

    name: str
    fixed: float
    each: float

    def total(self, questions: float) -> float:
        """Cost of so many questions."""
        return self.fixed + self.each * questions


@dataclass(frozen=True, slots=True)
class Crossing:
    """From `questions` on, `below` costs less in all than `above`, which is the cheaper one before."""

    below: str
    above: str
    questions: float
    cost: float


def cost_line(name: str, run: RunFigures) -> CostLine | None:
    """Return a run's line in seconds; None before it was timed or prepared.

    Args:
        name: What it is called.
        run: The run.
    """
    mean, preparation = run.machine_seconds, run.preparation
    return None if mean is None or preparation is None else CostLine(name, preparation, mean)


def break_even(one: CostLine, other: CostLine) -> float | None:
    """Return the number of questions for which two lines cost the same.

    Beyond it the line with the smaller cost a question is the cheaper one.

    Returns:
        The number, at least one; None where one line is the cheaper one from the first question on, or both are
        parallel.
    """
    if one.each == other.each:
        return None
    questions = (other.fixed - one.fixed) / (one.each - other.each)
    return questions if questions >= 1 else None


def first_cheaper(questions: float) -> int:
    """Return the first whole number of questions beyond a break-even."""
    return math.floor(questions) + 1


def crossings(lines: Sequence[CostLine]) -> list[Crossing]:
    """Return all crossings of any two lines, from the fewest questions to the most."""
    found = []
    for place, one in enumerate(lines):
        for other in lines[place + 1 :]:
            questions = break_even(one, other)
            if questions is not None:
                below, above = (one, other) if one.each < other.each else (other, one)
                found.append(Crossing(below.name, above.name, questions, below.total(questions)))
    return sorted(found, key=lambda point: (point.questions, point.below, point.above))
