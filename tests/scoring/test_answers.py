"""Exact match and F1 as metrics: the data set decides the rules, and a failed answer gets nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rmtbench
from rmtbench.core import Answer, Gold
from rmtbench.scoring.answers import exact_match, exact_match_metric, token_f1, token_f1_metric
from rmtbench.scoring.base import Item

TEXTS = st.text(alphabet="ab tThe_-'’.éyesno", max_size=24)
DATASETS = ("squad", "hotpotqa", "triviaqa")


def item(text, *references, dataset="squad", error=None):
    answer = Answer("q", text, "error" if error else "eos", error=error)
    return Item(dataset, answer, Gold("q", references), retrieves=False)


def values(*items):
    """Exact match and F1 of each item, by the metrics."""
    made = [make("minilm").score(items, lambda *_: None) for make in (exact_match_metric, token_f1_metric)]
    return [(first["em"], second["f1"]) for first, second in zip(*made, strict=True)]


def test_each_item_gets_best_over_its_references_in_order_given():
    assert values(
        item("The mill.", "a bridge", "mill"), item("old mill", "mill", "an old water mill"), item("barn", "mill")
    ) == [(1, 1), (0, pytest.approx(4 / 5)), (0, 0)]


def test_the_data_set_of_an_item_decides_its_rules():
    said = [item("yes it is", "yes", dataset=dataset) for dataset in ("squad", "hotpotqa")]
    assert values(*said) == [(0, pytest.approx(0.5)), (0, 0)]
    said = [item("O’Neil", "O'Neil", dataset=dataset) for dataset in ("squad", "triviaqa")]
    assert values(*said) == [(0, 0), (1, 1)]


HOPS = """
from rmtbench.corpora.base import DatasetKind

DATASET = DatasetKind(name="hops", label="Hops", embedded=lambda: None, normal_form="hotpotqa")
"""


def test_another_packages_data_set_names_the_rules_that_apply(tmp_path):
    (tmp_path / "hops_plugin.py").write_text(HOPS)
    told = tmp_path / "hops_plugin-1.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: hops-plugin\nVersion: 1.0\n")
    (told / "entry_points.txt").write_text("[rmtbench.datasets]\nhops = hops_plugin:DATASET\n")
    script = "from rmtbench.scoring.answers import token_f1; print(token_f1('yes it is', ['yes'], 'hops'))"
    environ = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(rmtbench.__file__).parents[1]}"}
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environ, check=True)
    assert said.stdout == "0.0\n"


def test_failed_answer_is_wrong_even_where_blank_is_right():
    assert values(item("", "The"), item("", "The", error="out of memory")) == [(1, 0), (0, 0)]


def test_a_failed_answer_gets_nothing_for_what_it_had_written():
    assert values(item("mill", "mill", error="connection lost")) == [(0, 0)]


def test_each_metric_says_by_which_rules_it_was_made():
    assert exact_match_metric("minilm").scorers == {"em": "official rules v1"}
    assert token_f1_metric("minilm").scorers == {"f1": "official rules v1"}


@pytest.mark.parametrize("dataset", DATASETS)
@given(prediction=TEXTS, references=st.lists(TEXTS, min_size=1, max_size=3))
def test_f1_is_share_and_match_has_all_of_it(prediction, references, dataset):
    match, f1 = exact_match(prediction, references, dataset), token_f1(prediction, references, dataset)
    assert match in {0, 1}
    assert 0 <= f1 <= 1
    if match:
        assert f1 == token_f1(prediction, [prediction], dataset)


@pytest.mark.parametrize("dataset", DATASETS)
@given(one=TEXTS, other=TEXTS)
def test_f1_and_exact_match_do_not_care_which_side_is_reference(one, other, dataset):
    assert token_f1(one, [other], dataset) == pytest.approx(token_f1(other, [one], dataset))
    assert exact_match(one, [other], dataset) == exact_match(other, [one], dataset)


@pytest.mark.parametrize("dataset", DATASETS)
@given(prediction=TEXTS, references=st.lists(TEXTS, min_size=1, max_size=3), more=TEXTS)
def test_another_reference_never_lowers_a_value(prediction, references, more, dataset):
    for metric in (exact_match, token_f1):
        assert metric(prediction, [*references, more], dataset) >= metric(prediction, references, dataset)
