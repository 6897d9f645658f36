"""Did retrieval find the evidence? From the chunks in the journal and the gold spans alone."""

from __future__ import annotations

from rmtbench.core import MetricValue
from rmtbench.scoring.base import EachItem, Item, MetricKind

NAMES = ("recall", "precision", "reciprocal_rank")


def retrieval_scores(item: Item) -> dict[str, float | None]:
    """Recall, precision and rank of what was retrieved for one question.

    A supporting fact is found when a retrieved chunk overlaps one of its spans.

    Args:
        item: An answer and its gold.

    Returns:
        ``recall``: share of facts found. ``precision``: share of chunks that overlap some span; 0 without chunks.
        ``reciprocal_rank``: 1 / rank of the first such chunk, 0 if there is none. All None where the system does not
        retrieve, or the question has no evidence.
    """
    facts = item.gold.evidence
    if not item.retrieves or not facts:
        return dict.fromkeys(NAMES)
    chunks = [chunk.span for chunk in item.answer.retrieved]
    found = [any(span.overlaps(chunk) for span in fact for chunk in chunks) for fact in facts]
    useful = [any(chunk.overlaps(span) for fact in facts for span in fact) for chunk in chunks]
    return {
        "recall": sum(found) / len(found),
        "precision": sum(useful) / len(useful) if useful else 0.0,
        "reciprocal_rank": 1 / (useful.index(True) + 1) if any(useful) else 0.0,
    }


def retrieval_metric(_scorer_model: str) -> EachItem:
    """`retrieval_scores` as a metric."""
    return EachItem(dict.fromkeys(NAMES, "evidence spans v1"), retrieval_scores)


METRIC = MetricKind(
    "recall",
    (
        MetricValue("recall", "recall", order=90, of="retrieval"),
        MetricValue("precision", "precision", of="retrieval"),
        MetricValue("reciprocal_rank", "reciprocal rank", of="retrieval"),
    ),
    retrieval_metric,
)
