"""The metric `f1`: token F1 by the official rules of the data set."""

from __future__ import annotations

from rmtbench.core import MetricValue
from rmtbench.scoring.answers import token_f1_metric
from rmtbench.scoring.base import MetricKind

METRIC = MetricKind("f1", (MetricValue("f1", "F1", order=20),), token_f1_metric)
