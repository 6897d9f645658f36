"""The names of all values that metrics make: what a command may be asked for by name."""

from __future__ import annotations

from rmtbench.scoring.base import METRICS, VALUES, make_metric


def test_every_value_that_a_metric_makes_has_its_name_in_the_list() -> None:
    assert [name for metric in METRICS for name in make_metric(metric, "minilm").scorers] == list(VALUES)
