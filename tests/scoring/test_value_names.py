"""What metrics declare of their values is what they make, and what reports of older runs suppose."""

from __future__ import annotations

from rmtbench.analysis.metrics import USUAL
from rmtbench.scoring.kinds import find_metric, judged_names, metric_names, our_metrics


def test_ours_are_found_in_the_order_of_their_columns() -> None:
    assert list(our_metrics()) == ["em", "f1", "judged", "any_script", "minilm_cosine", "bertscore", "recall", "notes"]
    assert metric_names()[:7] == ("em", "f1", "any_script", "minilm_cosine", "bertscore", "recall", "notes")


def test_what_a_judge_makes_is_made_only_where_one_is_named() -> None:
    assert judged_names()[:1] == ("judged",)
    assert "judged" not in metric_names()


def test_every_metric_makes_the_values_that_it_declares() -> None:
    for name in metric_names()[:6]:
        kind = find_metric(name)
        assert [value.name for value in kind.values] == list(kind.make("minilm").scorers)


def test_the_table_for_older_runs_agrees_with_declared_values() -> None:
    declared = {value.name: value for kind in our_metrics().values() for value in kind.values}
    assert {value.name: declared[value.name] for value in USUAL} == {value.name: value for value in USUAL}
