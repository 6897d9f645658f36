"""Data files of published figures: every table names its source, and every row has a value for each column."""

import json
from importlib.resources import files

import pytest

from rmtbench.analysis.published import figures
from rmtbench.analysis.published.reader import read_facts, read_rows

FOLDER = files("rmtbench.analysis.published")
TABLES = [
    (path.name.removesuffix(".json"), table)
    for path in FOLDER.iterdir()
    if path.name.endswith(".json")
    for table in json.loads(path.read_text(encoding="utf-8"))["tables"]
]


@pytest.mark.parametrize(("paper", "table"), TABLES)
def test_every_row_is_whole_and_names_its_source(paper, table):
    rows = read_rows(paper, table)
    assert rows
    assert all("arXiv" in row["source"] for row in rows)
    assert read_facts(paper)["paper"]


def test_every_figure_carries_the_source_of_its_table():
    known = {row["source"] for paper, table in TABLES for row in read_rows(paper, table)}
    groups = (figures.CORPORA, figures.SCORES, figures.TIMES, figures.MODELS, figures.published_for("detect"))
    assert {each.source for group in groups for each in group} <= known


def test_the_models_that_read_more_are_continued_by_second_table():
    longest = {each.model: max(each.scores) for each in figures.MODELS}
    assert longest["gemini-1.5-pro"] == 2_000_000
    assert longest["gpt-4o-2024-05-13"] == figures.TABLED_TOKENS == 125_000
    assert longest["llama-3-70b-instruct"] == 8_000
