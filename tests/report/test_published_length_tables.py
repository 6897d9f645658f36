"""Published scores by length: the nearest one stands beside a run, and whatever is not alike is told."""

import json

import pytest
from report_runs import add_run, spec_of

from rmtbench.analysis.published.figures import BABILONG_POINTS, LENGTHS, LONG_CONTEXT_SETUP, MODELS, scores_at
from rmtbench.analysis.published_comparison import FARTHEST, nearest
from rmtbench.analysis.run_figures import make_run_figures
from rmtbench.analysis.sections import make_sections
from rmtbench.journal.find import find_runs
from rmtbench.journal.record import read_run
from rmtbench.report.published_length_tables import MOST_ROWS, context_table, length_records, memory_table
from rmtbench.report.write import write_report


def section_of(results):
    (section,) = make_sections(make_run_figures(read_run(path)) for path in find_runs(results))
    return section, section.grids


def contexts_of(results):
    section, grids = section_of(results)
    return context_table(section, grids[0])


def rewrite(path, change):
    """Pass every row of a file of JSON lines through a function."""
    rows = [change(json.loads(line)) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def add_reading(results, spec, tokens, *, judged=True, **options):
    """A run whose questions read so many tokens each, and whose answers a judge finds as right as their F1 says."""
    folder = add_run(results, spec, **options)
    rewrite(folder.answers, lambda row: row | {"tokens": row["tokens"] | {"prompt": tokens}})
    if judged and folder.scores.exists():
        rewrite(folder.scores, lambda row: row | {"scores": row["scores"] | {"judged": row["scores"]["f1"]}})
        rewrite(folder.summary, lambda row: row | {"scorers": row["scorers"] | {"judged": "openai:grader, prompt 1"}})
    return folder


def add_of_length(results, spec, tokens, **options):
    """A run whose corpora have so many tokens each."""
    folder = add_run(results, spec, **options)
    rewrite(folder.corpora, lambda row: row | {"tokens": tokens})
    return folder


# Which length


@pytest.mark.parametrize(
    ("tokens", "found"),
    [(2_000, 2_000), (21_020, 16_000), (23_000, 32_000), (85_000, 96_000), (1_500, 2_000), (1_400, None), (None, None),
     (0, None), (300_000, 256_000), (5_000_000, None)],
)  # fmt: skip
def test_nearest_length_is_by_ratio_within_half_doubling(tokens, found):
    assert nearest(tokens, LENGTHS) == found
    assert found is None or max(found / tokens, tokens / found) <= FARTHEST


def test_nothing_is_near_to_a_published_length_of_zero():
    assert nearest(1, [0]) is None


def test_scores_at_a_length_are_those_of_models_that_reach_it():
    assert set(scores_at(2_000)) == {row.model for row in MODELS}
    assert set(scores_at(2_000_000)) == {"gemini-1.5-pro", "gemini-1.5-flash"}
    assert scores_at(125_000)["llama-3.1-8b-instruct"] == 0.15
    assert "gpt-3.5-turbo" not in scores_at(32_000)
    assert scores_at(3_000) == {}


# Contexts


def test_run_stands_beside_scores_at_length_that_questions_read(tmp_path):
    add_reading(tmp_path, spec_of("cag"), 21_020)
    table = contexts_of(tmp_path)
    known = sorted(scores_at(16_000).values())
    assert table.columns[2:6] == ("tokens read", "measured", "published at", "llama-3.1-8b-instruct")
    assert table.rows == (
        ("small", "cag", "21,020", "0.550 ±.050", "16,000", "0.523", f"{known[0]:.3f}", f"{known[9]:.3f}",
         f"{known[-1]:.3f}", "19"),
    )  # fmt: skip


def test_notes_name_every_difference_of_scores(tmp_path):
    add_reading(tmp_path, spec_of("cag", data="miniature:x@1"), 21_020, kind="miniature")
    notes = "\n".join(contexts_of(tmp_path).notes)
    assert "model: published 20 models, measured org/model-8b" in notes
    assert f"data: published {LONG_CONTEXT_SETUP}; measured miniature data named hotpotqa" in notes
    assert "scorer: published a language model's judgement of answers, measured openai:grader, prompt 1" in notes
    assert "context: published retrieved chunks alone" in notes


def test_retrieval_stands_at_length_of_chunks_and_not_of_corpus(tmp_path):
    add_reading(tmp_path, spec_of("rag-sparse", top_k=10, size="125k"), 4_300)
    ((size, system, read, _, published, *_),) = contexts_of(tmp_path).rows
    assert (size, system, read, published) == ("125k", "rag-sparse top-10", "4,300", "4,000")


def test_one_run_a_length_is_shown_and_records_hold_all(tmp_path):
    for top_k, tokens in ((3, 1_700), (5, 2_200), (10, 4_300)):
        add_reading(tmp_path, spec_of("rag-sparse", top_k=top_k), tokens)
    table = contexts_of(tmp_path)
    assert [row[1] for row in table.rows] == ["rag-sparse top-5", "rag-sparse top-10"]
    assert "1 more run in published.csv" in table.notes
    section, (grid,) = section_of(tmp_path)
    records = length_records(section, grid)
    assert [(each["top_k"], each["measured_tokens"], each["published_tokens"]) for each in records] == [
        (3, 1_700, 2_000), (5, 2_200, 2_000), (10, 4_300, 4_000)
    ]  # fmt: skip


def test_no_table_is_longer_than_a_reader_can_take_in(tmp_path):
    for number in range(MOST_ROWS + 3):
        add_reading(tmp_path, spec_of(f"their-system-{number}", draws=1), 2_000)
    table = contexts_of(tmp_path)
    assert len(table.rows) == MOST_ROWS
    assert "3 more runs in published.csv" in table.notes


@pytest.mark.parametrize(
    ("system", "tokens", "options"),
    [
        pytest.param("closed-book", 2_000, {}, id="reads no corpus"),
        pytest.param("oracle", 2_000, {}, id="reads the gold evidence alone"),
        pytest.param("rmt-memory", 2_000, {}, id="reads a memory"),
        pytest.param("cag", 600, {}, id="reads less than was published of"),
        pytest.param("cag", 2_000, {"score": None}, id="has no score"),
        pytest.param("cag", 2_000, {"judged": False}, id="was not judged"),
    ],
)
def test_without_a_score_at_a_published_length_there_is_no_table(tmp_path, system, tokens, options):
    add_reading(tmp_path, spec_of(system), tokens, **options)
    section, (grid,) = section_of(tmp_path)
    assert context_table(section, grid) is None
    assert [each for each in length_records(section, grid) if each["table"] == "length of context"] == []


def test_scores_of_random_weights_stand_beside_nothing(tmp_path):
    add_reading(tmp_path, spec_of(model="random:tiny"), 21_020)
    assert contexts_of(tmp_path) is None


# Recurrent memories


def test_recurrent_memory_is_shown_at_its_corpus_length(tmp_path):
    add_of_length(tmp_path, spec_of("rmt-memory", dataset="squad", size="64k"), 63_500, score=0.25)
    add_of_length(tmp_path, spec_of("rmt-query-first", size="8k"), 7_900)
    table = memory_table(*section_of(tmp_path))
    assert table.columns[6:] == tuple(dict.fromkeys(point.system for point in BABILONG_POINTS))
    assert table.rows == (
        ("hotpotqa", "8k", "rmt-query-first", "7,900", "0.550 ±.050", "8,000", "0.900", "0.980", "0.450", "0.750"),
        ("squad", "64k", "rmt-memory", "63,500", "0.300 ±.050", "64,000", "0.700", "0.980", "0.420", "0.640"),
    )
    notes = "\n".join(table.notes)
    assert "data: published BABILong" in notes
    assert "measured official data named hotpotqa, squad" in notes
    assert "scorer: published accuracy by BABILong's own rule, measured EM (em:1)" in notes


def test_unpublished_system_has_no_figure_at_length(tmp_path):
    add_of_length(tmp_path, spec_of("rmt-memory", size="9999k"), 9_999_000)
    assert memory_table(*section_of(tmp_path)).rows[0][-1] == "–"
    section, (grid,) = section_of(tmp_path)
    assert {each["published_system"] for each in length_records(section, grid)} == {
        point.system for point in BABILONG_POINTS if point.tokens == 10_000_000
    }


def test_without_a_recurrent_memory_there_is_no_table_of_them(tmp_path):
    add_run(tmp_path, spec_of("cag"))
    assert memory_table(*section_of(tmp_path)) is None


# Their place in the report


def test_one_file_holds_all_published_tables(tmp_path):
    add_reading(tmp_path, spec_of("cag"), 21_020)
    add_of_length(tmp_path, spec_of("rmt-memory"), 21_000)
    report = write_report(tmp_path, quick=True)
    tables = [row["table"] for row in report.records["published"]]
    assert tables == ["scores and times", "length of context", *["recurrent memory"] * 4]
    assert len({tuple(row) for row in report.records["published"]}) == 1
    text = (report.folder / "report.md").read_text()
    assert "### Published by length of context, hotpotqa" in text
    assert "### Published of recurrent memory beside measured" in text
