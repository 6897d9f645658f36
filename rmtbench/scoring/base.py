"""The seam of all metrics: items in, one dictionary of values an item out. A metric never sees a model under test."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from rmtbench.core import Answer, Gold, MetricValue

if TYPE_CHECKING:
    from rmtbench.scoring.judge_model import Judge

Progress = Callable[[str, int, int], None]
"""Told what is being scored, how many of it are done, and how many there are."""


@dataclass(frozen=True, slots=True)
class Item:
    """One answer with its gold.

    Attributes:
        dataset: Decides the official rules that apply.
        answer: As it stands in the journal.
        gold: References and evidence.
        retrieves: Whether the system retrieves at all.
        question: The question's text.
        takes_notes: Whether the system writes notes on the corpus before it answers.
    """

    dataset: str
    answer: Answer
    gold: Gold
    retrieves: bool
    question: str = ""
    takes_notes: bool = False

    @property
    def text(self) -> str:
        """What is scored: a failed answer counts as an empty one."""
        return "" if self.answer.error is not None else self.answer.text


class Metric(Protocol):
    """One or several values for every item."""

    @property
    def scorers(self) -> Mapping[str, str]:
        """What produces each value: name, version and hash, by the value's name."""
        ...

    def score(self, items: Sequence[Item], progress: Progress) -> list[dict[str, float | None]]:
        """Values by name for each item, in order; None where a value does not apply."""
        ...


@runtime_checkable
class Accounting(Protocol):
    """A metric whose making costs something or may fail, so that a run's summary says what it took."""

    def account(self, items: Sequence[Item]) -> dict[str, Any]:
        """Return JSON values by name, of the items of one run after they were scored."""
        ...


@dataclass(frozen=True, slots=True)
class MetricKind:
    """A metric as its module declares it, under the name ``METRIC``: see `rmtbench.scoring.kinds`.

    Attributes:
        name: What a command asks for.
        values: What it gives every answer.
        make: Builds it, given the model that BERTScore uses (``minilm``, a hub id or a path); loads nothing before it
            first scores.
        judged: Builds it in place of `make`, given the model that judges. Such a metric is made only where the user
            names one. None for every other metric.
    """

    name: str
    values: tuple[MetricValue, ...]
    make: Callable[[str], Metric]
    judged: Callable[[Judge], Metric] | None = None


@dataclass(frozen=True)
class EachItem:
    """A `Metric` that looks at one item at a time."""

    scorers: Mapping[str, str]
    values: Callable[[Item], dict[str, float | None]]

    def score(self, items: Sequence[Item], progress: Progress) -> list[dict[str, float | None]]:  # noqa: ARG002
        """Values by name for each item, in order."""
        return [self.values(item) for item in items]
