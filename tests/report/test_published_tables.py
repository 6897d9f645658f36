"""Published figures: what is known of them holds, the wrong cells are told, like stands beside like."""

import pytest
from report_runs import add_run, spec_of

from rmtbench.analysis.published.figures import CORPORA, MODELS, SCORES, TIMES, published_score, published_time
from rmtbench.analysis.run_figures import make_run_figures
from rmtbench.analysis.sections import make_sections
from rmtbench.journal.find import find_runs
from rmtbench.journal.record import read_run
from rmtbench.report.published_tables import paper_comparison_records, paper_comparison_table


def section_of(results):
    (section,) = make_sections(make_run_figures(read_run(path)) for path in find_runs(results))
    return section, section.grids[0]


def test_only_three_published_scores_differ_from_logs():
    wrong = {(each.dataset, each.size, each.system, each.top_k) for each in SCORES if each.wrong}
    assert wrong == {
        ("hotpotqa", "small", "rag-sparse", 1), ("hotpotqa", "small", "rag-sparse", 3),
        ("squad", "small", "rag-sparse", 10),
    }  # fmt: skip
    for each in SCORES:
        if each.published is not None:
            assert (abs(each.published - each.logged) > 0.0002) == bool(each.wrong)


def test_the_wrong_squad_cell_is_the_logs_top_20():
    assert (
        published_score("squad", "small", "rag-sparse", 10).published
        == published_score("squad", "small", "rag-sparse", 20).logged
    )


def test_every_dataset_and_size_of_the_paper_has_all_its_cells():
    assert len(CORPORA) == 6
    assert len(SCORES) == 2 * 3 * 11
    assert len(TIMES) == 2 * 3 * 2
    assert published_time("hotpotqa", "large", "full-context").seconds == pytest.approx(94.34917)
    assert published_score("triviaqa", "small", "cag", None) is None


def test_each_length_row_has_its_published_mean():
    assert len(MODELS) == 20
    for row in MODELS:
        assert sum(row.scores.values()) / len(row.scores) == pytest.approx(row.mean, abs=0.0011), row.model


def test_run_stands_beside_its_published_cell_with_what_differs(tmp_path):
    add_run(tmp_path, spec_of("rag-sparse", top_k=1), score=0.6)
    add_run(tmp_path, spec_of("cag"), seconds=0.5)
    table = paper_comparison_table(*section_of(tmp_path))
    row = ("small", "cag", "", "0.550 ±.050", "0.7759", "0.7759", "500 ms", "853 ms", "100 ms", "11.3 s")
    assert table.rows[0] == row
    assert table.rows[1][3:6] == ("0.650 ±.050", "0.0673§", "0.6664")
    notes = "\n".join(table.notes)
    assert "model: published meta-llama/Llama-3.1-8B-Instruct, measured org/model-8b" in notes
    assert "small: published 1,392 questions in 87 draws of 16 rows; measured 8 in 2 draws" in notes
    assert "BM25's preparation time" in notes
    assert "data: " not in notes
    record = paper_comparison_records(*section_of(tmp_path))[1]
    assert (record["published_minilm_cosine"], record["logged_minilm_cosine"]) == (0.0673, 0.6664)


@pytest.mark.parametrize(("draws", "told"), [(1, False), (2, True)])
def test_squad_is_published_in_one_draw(tmp_path, draws, told):
    spec = spec_of("cag", dataset="squad", draws=draws)
    add_run(tmp_path, spec, questions=500 // draws)
    notes = "\n".join(paper_comparison_table(*section_of(tmp_path)).notes)
    assert ("small: published 500 questions in 1 draw of 3 articles" in notes) == told


def test_hotpotqa_is_published_with_one_row_a_question():
    rows = [each for each in CORPORA if each.dataset == "hotpotqa"]
    assert [each.draws for each in rows] == [87, 33, 21]
    assert all(each.draws * each.documents == each.questions for each in rows)


def test_cache_making_is_beside_its_published_time(tmp_path):
    add_run(tmp_path, spec_of("cag", size="large"), prepare={"tokenize": 0.5, "prefill": 41.5})
    add_run(tmp_path, spec_of("rag-sparse", top_k=1, size="large"), prepare={"index": 0.25})
    table = paper_comparison_table(*section_of(tmp_path))
    assert table.columns[-2:] == ("preparation", "published preparation")
    assert [row[-2:] for row in table.rows] == [("42.0 s", "105 s"), ("–", "–")]
    cached, retrieved = paper_comparison_records(*section_of(tmp_path))
    assert (cached["measured_preparation_seconds"], cached["published_preparation_seconds"]) == (42.0, 105.0)
    assert (retrieved["measured_preparation_seconds"], retrieved["published_preparation_seconds"]) == (None, None)


def test_loaded_cache_has_no_time_of_making_beside_it(tmp_path):
    add_run(tmp_path, spec_of("cag"), prepare={"load": 0.1}, counts={"reused_tokens": 42_000})
    table = paper_comparison_table(*section_of(tmp_path))
    assert table.rows[0][-2:] == ("–", "11.3 s")
    assert any(note.startswith("preparation not shown, loaded from kept caches") for note in table.notes)
    assert paper_comparison_records(*section_of(tmp_path))[0]["measured_preparation_seconds"] is None


def test_no_published_making_time_means_no_column(tmp_path):
    add_run(tmp_path, spec_of("cag", dataset="squad"))
    assert "preparation" not in paper_comparison_table(*section_of(tmp_path)).columns


def test_miniature_data_beside_published_figures_are_told_apart(tmp_path):
    add_run(tmp_path, spec_of("cag", data="miniature:x@1"), kind="miniature")
    notes = "\n".join(paper_comparison_table(*section_of(tmp_path)).notes)
    assert "data: published the public data set, measured miniature data of its name" in notes


@pytest.mark.parametrize(
    "fields",
    [{"dataset": "triviaqa"}, {"size": "smoke"}, {"system": "oracle"}, {"settings": (("prefix", "composed"),)}],
)
def test_what_the_paper_has_no_cell_for_stands_beside_nothing(tmp_path, fields):
    add_run(tmp_path, spec_of(**{"system": "cag", **fields}))
    assert paper_comparison_table(*section_of(tmp_path)) is None
