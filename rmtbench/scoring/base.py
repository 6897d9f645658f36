"""The seam of all metrics: items in, one dictionary of values an item out. A metric never sees a model under test."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from rmtbench.core import Answer, Gold
from rmtbench.errors import UserError, nearest

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
    """

    dataset: str
    answer: Answer
    gold: Gold
    retrieves: bool

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


_METRICS = {
    "em": "rmtbench.scoring.answers:exact_match_metric",
    "f1": "rmtbench.scoring.answers:token_f1_metric",
    "minilm_cosine": "rmtbench.scoring.cosine:cosine_metric",
    "bertscore": "rmtbench.scoring.bertscore:bertscore_metric",
    "recall": "rmtbench.scoring.retrieval:retrieval_metric",
}
METRICS = tuple(_METRICS)
VALUES = (
    "em",
    "f1",
    "minilm_cosine",
    "bertscore_precision",
    "bertscore_recall",
    "bertscore_f1",
    "recall",
    "precision",
    "reciprocal_rank",
)
"""Names of the values that all of them make."""


def make_metric(name: str, scorer_model: str) -> Metric:
    """Build a metric; loads its model, if it has one, when it first scores.

    Args:
        name: One of `METRICS`.
        scorer_model: The model that BERTScore uses: ``minilm``, a hub id or a path.

    Raises:
        UserError: No metric has that name.
    """
    if name not in _METRICS:
        raise UserError(f"no metric '{name}'", where="--metrics", remedy=nearest(name, METRICS))
    module, _, attribute = _METRICS[name].partition(":")
    make: Callable[[str], Metric] = getattr(importlib.import_module(module), attribute)
    return make(scorer_model)


@dataclass(frozen=True)
class EachItem:
    """A `Metric` that looks at one item at a time."""

    scorers: Mapping[str, str]
    values: Callable[[Item], dict[str, float | None]]

    def score(self, items: Sequence[Item], progress: Progress) -> list[dict[str, float | None]]:  # noqa: ARG002
        """Values by name for each item, in order."""
        return [self.values(item) for item in items]
