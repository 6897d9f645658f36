"""The metric `em`: exact match by the official rules of the data set."""

from __future__ import annotations

from rmtbench.core import MetricValue
from rmtbench.scoring.answers import exact_match_metric
from rmtbench.scoring.base import MetricKind

METRIC = MetricKind("em", (MetricValue("em", "EM", order=10),), exact_match_metric)
