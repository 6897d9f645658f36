"""Which metrics the tables show, and by which of them systems are compared."""

from __future__ import annotations

METRICS = (
    ("em", "EM"),
    ("f1", "F1"),
    ("minilm_cosine", "MiniLM cosine"),
    ("bertscore_f1", "BERTScore F1"),
    ("recall", "recall"),
)
"""Metrics of table 2 and their headings; files hold all that were made."""
QUALITY = tuple(metric for metric, _ in METRICS if metric != "recall")
"""Metrics of answers, by which systems are compared and chosen; retrieval's do not apply to all systems."""

PAPER_METRIC = "minilm_cosine"
