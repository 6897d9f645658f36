"""Was the answer in the notes of a model that reads a text section by section, and was it still there at the end?

After Multi-Head Recurrent Memory agents (Li, Yeh, Li, 2026, arXiv:2607.01523): capture rate and retention rate.
"""

from __future__ import annotations

from rmtbench.core import MetricValue
from rmtbench.scoring.answers import normal_form
from rmtbench.scoring.base import EachItem, Item, MetricKind

NAMES = ("captured", "retained")
UNSTATED = frozenset({"", "yes", "no", "noanswer"})
"""Normal forms of answers that a text does not state in so many words."""


def note_scores(item: Item) -> dict[str, float | None]:
    """Whether notes ever had a reference in them, and whether the last ones do.

    A reference is in the notes where its normal form is, as whole words. A failed answer has the notes up to there; one
    that failed before its first notes has captured nothing.

    Args:
        item: An answer and its gold.

    Returns:
        ``captured``: 1 if notes had one after some section, else 0. ``retained``: of captured ones, 1 if the last notes
        do, else 0; None where nothing was captured. Both None where no notes were taken, or every reference is ``yes``
        or ``no``.
    """
    normal = normal_form(item.dataset)
    wanted = {normal(reference) for reference in item.gold.references} - UNSTATED
    without = not item.answer.notes and not (item.takes_notes and item.answer.error is not None)
    if without or not wanted:
        return dict.fromkeys(NAMES)
    heads = item.answer.note_heads
    there = [any(f" {each} " in f" {normal(text)} " for each in wanted) for text in item.answer.notes]
    if not any(there):
        return {"captured": 0.0, "retained": None}
    return {"captured": 1.0, "retained": float(item.answer.error is None and any(there[-heads:]))}


def notes_metric(_scorer_model: str) -> EachItem:
    """`note_scores` as a metric."""
    return EachItem(dict.fromkeys(NAMES, "words of references v2"), note_scores)


METRIC = MetricKind(
    "notes",
    (
        # Only runs that take notes have the values, and these have no recall: columns stand nowhere else.
        MetricValue("captured", "captured", order=92, of="retrieval", beside="recall"),
        MetricValue("retained", "retained", order=93, of="retrieval", beside="recall"),
    ),
    notes_metric,
)
