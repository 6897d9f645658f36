"""What a number of questions costs in time, preparation included, and from how many on another system is cheaper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rmtbench.analysis.run_figures import Cell


@dataclass(frozen=True, slots=True)
class CostLine:
    """Seconds of any number of questions about one corpus: ``preparation + seconds * questions``.

    Attributes:
        name: Whose.
        preparation: Mean seconds of getting a corpus ready.
        seconds: Mean seconds of the machine a question.
    """

    name: str
    preparation: float
    seconds: float

    def total(self, questions: float) -> float:
        """Seconds of so many questions."""
        return self.preparation + self.seconds * questions


@dataclass(frozen=True, slots=True)
class Crossing:
    """From `questions` on, `below` costs less in all than `above`, which is the cheaper one before."""

    below: str
    above: str
    questions: float
    seconds: float


def cost_line(name: str, cell: Cell) -> CostLine | None:
    """A run's line; None before it was timed or prepared.

    Args:
        name: What it is called.
        cell: The run.
    """
    mean, preparation = cell.machine_seconds, cell.preparation
    return None if mean is None or preparation is None else CostLine(name, preparation, mean)


def crossing(one: CostLine, other: CostLine) -> Crossing | None:
    """Where two lines cross at one question or more.

    Args:
        one: A line.
        other: Another.

    Returns:
        The point, with the line that is the lower one after it; None where one is the lower from the first question on.
    """
    if one.seconds == other.seconds:
        return None
    questions = (other.preparation - one.preparation) / (one.seconds - other.seconds)
    if questions < 1:
        return None
    below, above = (one, other) if one.seconds < other.seconds else (other, one)
    return Crossing(below.name, above.name, questions, below.total(questions))


def crossings(lines: Sequence[CostLine]) -> list[Crossing]:
    """All crossings of any two lines, from the fewest questions to the most."""
    found = [
        point
        for place, one in enumerate(lines)
        for other in lines[place + 1 :]
        if (point := crossing(one, other)) is not None
    ]
    return sorted(found, key=lambda point: (point.questions, point.below, point.above))
