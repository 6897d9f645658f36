"""What stands in the tables, cell by cell."""

import json
from dataclasses import replace

import pytest
from report_runs import EMBEDDER, PROVENANCE, add_run, append, spec_of

from rmtbench.analysis.run_figures import MeanTokens, make_run_figures
from rmtbench.analysis.sections import make_sections
from rmtbench.journal.find import find_runs
from rmtbench.journal.record import read_run
from rmtbench.report.anatomy import anatomy_tables
from rmtbench.report.notes import cache_notes
from rmtbench.report.tables import corpora_table, paper_table, score_table, time_table


def section_of(results):
    (section,) = make_sections(make_run_figures(read_run(path)) for path in find_runs(results))
    return section


def grid_of(results):
    (grid,) = section_of(results).grids
    return grid


def lines(table, *columns):
    """The table's rows, reduced to some columns."""
    places = [table.columns.index(name) for name in columns]
    return [tuple(row[place] for place in places) for row in table.rows]


def notes(table):
    return "\n".join(table.notes)


# Table 1


def test_table_1_shows_each_corpus_once(tmp_path):
    for system in ("cag", "oracle"):
        add_run(tmp_path, spec_of(system), questions=5)
    add_run(tmp_path, spec_of("cag", size="large", draws=3))
    table = corpora_table(section_of(tmp_path))
    assert table.rows == (
        ("hotpotqa", "small", "official", "2", "2", "21,250", "10"),
        ("hotpotqa", "large", "official", "3", "2", "21,500", "12"),
    )
    assert "tokenizer org/model-8b" in table.caption


def test_table_1_counts_the_draws_of_the_run_that_has_most(tmp_path):
    add_run(tmp_path, spec_of("cag", draws=1))
    add_run(tmp_path, spec_of("oracle", draws=3))
    assert lines(corpora_table(section_of(tmp_path)), "draws", "questions in all") == [("3", "12")]


def test_table_1_keeps_other_question_limits_apart(tmp_path):
    add_run(tmp_path, spec_of("cag"), questions=4)
    add_run(tmp_path, spec_of("cag", questions=2), questions=2)
    assert lines(corpora_table(section_of(tmp_path)), "questions in all") == [("8",), ("4",)]


def test_table_1_shows_a_corpus_before_its_first_draw_as_missing(tmp_path):
    folder = add_run(tmp_path, spec_of(), score=None)
    for path in (folder.corpora, folder.gold, folder.prepared, folder.answers):
        path.unlink()
    assert corpora_table(section_of(tmp_path)).rows == (("hotpotqa", "small", "–", "0", "–", "–", "–"),)


def test_own_documents_are_named_without_path_of_this_machine(tmp_path):
    add_run(tmp_path, spec_of(dataset="some/where/notes", data="own:notes@1"), kind="own")
    section = section_of(tmp_path)
    assert lines(corpora_table(section), "dataset", "source") == [("notes", "own")]
    assert section.grids[0].name == "notes"


# Table 2


def test_table_2_shows_missing_runs_as_missing(tmp_path):
    add_run(tmp_path, spec_of("rag-sparse", top_k=10))
    add_run(tmp_path, spec_of("rag-sparse", top_k=3))
    add_run(tmp_path, spec_of("closed-book"))
    add_run(tmp_path, spec_of("a-system-of-others", size="large"))
    table = score_table(grid_of(tmp_path))
    assert lines(table, "size", "system", "top-k", "EM", "answered", "failed") == [
        ("small", "closed-book", "", "0.550 ±.050", "8", "0"),
        ("small", "rag-sparse", "3", "0.550 ±.050", "8", "0"),
        ("small", "rag-sparse", "10", "0.550 ±.050", "8", "0"),
        ("small", "a-system-of-others", "", "–", "–", "–"),
        ("large", "closed-book", "", "–", "–", "–"),
        ("large", "rag-sparse", "3", "–", "–", "–"),
        ("large", "rag-sparse", "10", "–", "–", "–"),
        ("large", "a-system-of-others", "", "0.550 ±.050", "8", "0"),
    ]


def test_recall_stands_for_retrieving_systems_alone(tmp_path):
    add_run(tmp_path, spec_of("cag"), answered=5)
    add_run(tmp_path, spec_of("rag-sparse", top_k=3))
    assert lines(score_table(grid_of(tmp_path)), "recall") == [("n/a",), ("0.275 ±.025",)]


def test_failed_answers_stay_in_the_denominator_and_are_counted(tmp_path):
    add_run(tmp_path, spec_of(draws=1), questions=4, failed=1, score=1.0)
    assert lines(score_table(grid_of(tmp_path)), "EM", "answered", "failed") == [("0.750", "4", "1")]


def test_one_draw_has_no_standard_error_and_the_table_says_why(tmp_path):
    add_run(tmp_path, spec_of(draws=1))
    table = score_table(grid_of(tmp_path))
    assert lines(table, "EM") == [("0.500",)]
    assert "a score without ±: standard error undefined (one draw)" in table.notes


def test_random_weights_mark_every_score_and_the_name(tmp_path):
    add_run(tmp_path, spec_of(model="random:tiny"))
    table = score_table(grid_of(tmp_path))
    assert lines(table, "system", "EM", "BERTScore F1") == [("cag †", "0.550† ±.050", "0.550† ±.050")]
    assert "† random weights: answers are meaningless, timings are real" in table.notes


def test_a_label_in_the_provenance_marks_random_weights_too(tmp_path):
    add_run(tmp_path, spec_of(), provenance={"model": PROVENANCE["model"] | {"label": "random weights"}})
    assert lines(score_table(grid_of(tmp_path)), "system") == [("cag †",)]


def test_incomplete_run_is_marked_and_has_no_error(tmp_path):
    add_run(tmp_path, spec_of(draws=4), questions=16, answered=37, score=1.0)
    table = score_table(grid_of(tmp_path))
    mean = (16 + 16 * 1.1 + 5) / 48
    assert lines(table, "system", "EM", "answered") == [("cag *", f"{mean:.3f}*", "37 of 48*")]
    assert "37 of 48 questions answered, 3 of 4 draws begun" in notes(table)
    assert "scores marked * count every question without an answer as zero" in notes(table)


def test_a_run_without_scores_says_so_and_names_the_remedy(tmp_path):
    add_run(tmp_path, spec_of(), score=None)
    table = score_table(grid_of(tmp_path))
    assert set(lines(table, "EM", "recall")[0]) == {"not scored"}
    assert "not scored (rmtbench score does it, from the answers on disk): small cag" in notes(table)


def test_incomplete_scores_are_not_means_with_zeros(tmp_path):
    add_run(tmp_path, spec_of(), scored=5)
    table = score_table(grid_of(tmp_path))
    assert lines(table, "EM") == [("not scored",)]
    assert "scores lack 3 of 8 answers" in notes(table)


def test_a_failed_answer_needs_no_score(tmp_path):
    add_run(tmp_path, spec_of(), failed=1, scored=7)
    assert lines(score_table(grid_of(tmp_path)), "failed", "answered")[0] == ("1", "8")
    assert lines(score_table(grid_of(tmp_path)), "EM")[0][0].startswith("0.4")


def test_metric_that_was_not_made_is_not_scored_while_others_are(tmp_path):
    folder = add_run(tmp_path, spec_of(draws=1))
    rows = [json.loads(line) for line in folder.scores.read_text().splitlines()]
    folder.scores.unlink()
    append(folder.scores, [row | {"scores": {"em": row["scores"]["em"]}} for row in rows])
    assert lines(score_table(grid_of(tmp_path)), "EM", "F1") == [("0.500", "not scored")]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(({"draws": 1}, {}), ({"draws": 3}, {"answered": 9}), id="complete before more draws"),
        pytest.param(({"draws": 2}, {}), ({"draws": 1}, {}), id="more draws"),
        pytest.param(({"questions": 9}, {"questions": 9}), ({"questions": 4}, {}), id="more questions"),
        pytest.param(
            ({"questions": 5}, {"provenance": {"started": "2026-12-01"}}),
            ({"questions": 6}, {"provenance": {"started": "2026-11-01"}}),
            id="newest",
        ),
        pytest.param(({"questions": 5}, {}), ({"questions": 6}, {"provenance": {"started": None}}), id="start known"),
    ],
)
def test_better_of_two_runs_in_cell_is_shown_other_named(tmp_path, first, second):
    shown, other = (add_run(tmp_path, spec_of(**fields), **options) for fields, options in (first, second))
    grid = grid_of(tmp_path)
    assert [cell.run_id for cell in grid.shown.values()] == [shown.path.name]
    assert f"not shown: small cag (run {other.path.name[-8:]})" in notes(score_table(grid))
    assert f"run {shown.path.name[-8:]} has the same setting" in notes(score_table(grid))


def test_rows_that_answer_other_questions_are_told(tmp_path):
    add_run(tmp_path, spec_of("cag"), questions=4)
    add_run(tmp_path, spec_of("oracle"), questions=4)
    add_run(tmp_path, spec_of("full-context", draws=1), questions=4)
    (note,) = [note for note in score_table(grid_of(tmp_path)).notes if "do not all answer the same questions" in note]
    assert note.startswith("small: ")
    assert "8 questions in 2 draws: oracle" in note
    assert "4 questions in 1 draw: full-context" in note


def test_rows_scored_by_other_scorers_are_told(tmp_path):
    add_run(tmp_path, spec_of("cag"), scorers={"em": "em:1", "bertscore_f1": "roberta"})
    add_run(tmp_path, spec_of("oracle"), scorers={"em": "em:1", "bertscore_f1": "minilm"})
    made = [note for note in score_table(grid_of(tmp_path)).notes if "different scorers" in note]
    (note,) = made
    assert note.startswith("bertscore_f1 was made by different scorers (minilm; roberta): do not compare rows")


def test_rows_embedded_with_other_weights_are_told(tmp_path):
    for top_k, digest in ((1, "ee55"), (3, "ff66")):
        spec = spec_of("rag-dense", top_k=top_k, embedder="minilm")
        add_run(tmp_path, spec, provenance={"embedder": {"name": "minilm", "sha256": digest}})
    assert (
        "embedder minilm had different weights (ee55; ff66): do not compare rows"
        in score_table(grid_of(tmp_path)).notes
    )


def test_a_row_is_named_with_whatever_is_not_usual_in_it(tmp_path):
    for embedder in ("minilm", "bge"):
        spec = spec_of("rag-dense", top_k=3, embedder=embedder)
        add_run(tmp_path, spec, provenance=EMBEDDER)
    add_run(tmp_path, spec_of("rag-sparse", top_k=3, chunk_tokens=256, chunk_overlap=32))
    add_run(tmp_path, spec_of("rag-sparse", top_k=3))
    add_run(tmp_path, spec_of("cag", settings=(("prefix", "composed"),)))
    add_run(tmp_path, spec_of("cag"))
    assert lines(score_table(grid_of(tmp_path)), "system") == [
        ("cag",),
        ("cag, prefix=composed",),
        ("rag-sparse",),
        ("rag-sparse, chunks of 256+32",),
        ("rag-dense, bge",),
        ("rag-dense, minilm",),
    ]


def test_two_sources_of_one_dataset_have_a_table_each(tmp_path):
    for data in ("official:dev.json:1", "official:train.json:2"):
        add_run(tmp_path, spec_of(data=data))
    grids = section_of(tmp_path).grids
    assert [grid.name for grid in grids] == ["hotpotqa (official:dev.json:1)", "hotpotqa (official:train.json:2)"]


def test_the_papers_shape_sets_sizes_side_by_side(tmp_path):
    for size in ("large", "small", "smoke"):
        add_run(tmp_path, spec_of("cag", size=size))
    add_run(tmp_path, spec_of("rag-sparse", size="small", top_k=5), score=None)
    table = paper_table(grid_of(tmp_path))
    assert table.columns == ("system", "smoke", "small", "large")
    assert table.rows == (
        ("cag", "0.550 ±.050", "0.550 ±.050", "0.550 ±.050"),
        ("rag-sparse top-5", "–", "not scored", "–"),
    )


@pytest.mark.parametrize("score", [None, 0.5])
def test_the_papers_shape_needs_two_sizes_and_a_score(tmp_path, score):
    add_run(tmp_path, spec_of(size="small"), score=score)
    if score is None:
        add_run(tmp_path, spec_of(size="large"), score=None)
    assert paper_table(grid_of(tmp_path)) is None


# Table 3


def test_table_3_sets_cag_beside_whole_context_with_preparation(tmp_path):
    add_run(tmp_path, spec_of("full-context", draws=1), questions=4, seconds=9.0, prepare={"tokenize": 0.4})
    add_run(tmp_path, spec_of("cag", draws=1), questions=4, seconds=1.5, prepare={"tokenize": 1.0, "prefill": 11.0})
    table = time_table([grid_of(tmp_path)])
    # 12 s shared over 4 questions are 3 s; (9 + .1) / (1.5 + 3) = 2.02.
    assert table.rows == (
        ("hotpotqa", "small", "full-context", "9.00 s", "9.00 s", "1.00x", "400 ms", "9.10 s", "1.00x", "3"),
        ("hotpotqa", "small", "cag", "1.50 s", "1.50 s", "6.00x", "12.0 s", "4.50 s", "2.02x", "3"),
    )


def test_table_3_marks_preparation_that_other_runs_count_too(tmp_path):
    add_run(tmp_path, spec_of("cag"), shared=True)
    table = time_table([grid_of(tmp_path)])
    assert lines(table, "preparation") == [("–",), ("100 ms ‡",)]
    assert table.notes == ("hotpotqa: ‡ done for another run of the same command, and counted there too",)


@pytest.mark.parametrize(("run", "missing"), [("cag", "full-context"), ("full-context", "cag")])
def test_table_3_shows_the_one_that_was_not_run_as_missing(tmp_path, run, missing):
    add_run(tmp_path, spec_of(run), seconds=2.0)
    by_system = {row[2]: row[3:] for row in time_table([grid_of(tmp_path)]).rows}
    assert by_system[missing] == ("–",) * 7
    assert by_system[run][0] == "2.00 s"
    assert by_system["cag"][2] == "–"


def test_table_3_has_a_row_for_every_kind_of_cache(tmp_path):
    add_run(tmp_path, spec_of("full-context"), seconds=8.0)
    add_run(tmp_path, spec_of("cag"), seconds=2.0)
    add_run(tmp_path, spec_of("cag", settings=(("prefix", "composed"),)), seconds=1.0)
    assert lines(time_table([grid_of(tmp_path)]), "system", "faster") == [
        ("full-context", "1.00x"),
        ("cag", "4.00x"),
        ("cag, prefix=composed", "8.00x"),
    ]


def test_table_3_is_left_out_without_either_system(tmp_path):
    add_run(tmp_path, spec_of("oracle"))
    assert time_table([grid_of(tmp_path)]) is None


def test_table_3_marks_random_and_incomplete_runs(tmp_path):
    add_run(tmp_path, spec_of("cag", model="random:tiny", draws=1), answered=1)
    table = time_table([grid_of(tmp_path)])
    # Its one answer is the warm-up: nothing is left to time.
    assert table.rows[1] == ("hotpotqa", "small", "cag †*", "–", "–", "–", "100 ms", "–", "–", "0")
    assert len(table.notes) == 2


# Anatomy


def test_anatomy_holds_every_run_even_those_not_shown_elsewhere(tmp_path):
    names = [add_run(tmp_path, spec_of(draws=draws)).path.name for draws in (1, 2)]
    for table in anatomy_tables(grid_of(tmp_path)):
        assert sorted(lines(table, "run")) == sorted((name[-8:],) for name in names)


def test_anatomy_of_time_leaves_out_warm_up_and_failed_answers(tmp_path):
    add_run(tmp_path, spec_of("rag-sparse", top_k=3, draws=1), seconds=2.0, failed=1)
    times, _, _, outcomes = anatomy_tables(grid_of(tmp_path))
    assert times.rows[0][4:] == ("200/200 ms", "1.00/1.00 s", "1.20/1.20 s", "500/500 ms", "2.00/2.00 s")
    assert outcomes.rows[0][4:] == ("21,020", "0", "3.0", "4 of 4", "1", "0", "1", "1", "2")


def test_anatomy_of_preparation_has_parts_that_were_met_in_order(tmp_path):
    add_run(tmp_path, spec_of("cag"), prepare={"prefill": 2.0, "tokenize": 0.5}, kept=2**30)
    add_run(tmp_path, spec_of("theirs"), prepare={"dream": 1.0}, shared=True)
    table = anatomy_tables(grid_of(tmp_path))[1]
    assert table.columns[4:] == ("tokenize", "prefill", "dream", "total")
    assert lines(table, *table.columns[4:]) == [("500 ms", "2.00 s", "", "2.50 s"), ("", "", "1.00 s", "1.00 s ‡")]


def test_kept_embeddings_do_not_count_as_embedding_cost(tmp_path):
    for top_k, parts in ((1, {"embed": 0.5}), (3, {"load": 0.5}), (5, {"embed": 0.3, "load": 0.2})):
        spec = spec_of("rag-dense", top_k=top_k, embedder="minilm")
        add_run(tmp_path, spec, prepare=parts, provenance=EMBEDDER)
    table = anatomy_tables(grid_of(tmp_path))[1]
    assert lines(table, "top-k", "total") == [("1", "500 ms"), ("3", "500 ms §"), ("5", "500 ms §")]
    (note,) = [note for note in table.notes if note.startswith("§")]
    assert "loaded from kept caches and not computed" in note
    assert [told.rpartition(": ")[2] for told in note.split("; ")] == ["all embeddings", "embeddings of some draws"]


def test_index_opened_after_making_was_spared_nothing(tmp_path):
    spec = spec_of("rag-dense", top_k=3, embedder="minilm", settings=(("index", "disk"),))
    add_run(tmp_path, spec, prepare={"embed": 0.3, "load": 0.2}, provenance=EMBEDDER)
    assert lines(anatomy_tables(grid_of(tmp_path))[1], "total") == [("500 ms",)]


def test_anatomy_of_memory_tells_highest_peak_of_all_processes(tmp_path):
    folder = add_run(tmp_path, spec_of(), kept=2**20)
    rows = [(0, 2**30, None), (1, 2**31, 2**29)]
    append(
        folder.usage,
        [
            {"draw": 0, "session": session, "peak_resident_bytes": resident, "peak_device_bytes": device}
            for session, resident, device in rows
        ],
    )
    assert anatomy_tables(grid_of(tmp_path))[2].rows[0][4:] == ("1.00 MiB", "2.00 GiB", "512 MiB")


# Windows


def test_rows_without_windows_are_named_if_both_are_there(tmp_path):
    on = (("embed_windows", "on"),)
    dense = {"top_k": 3, "embedder": "minilm"}
    add_run(tmp_path / "on", spec_of("rag-dense", **dense, settings=on), provenance=EMBEDDER)
    add_run(tmp_path / "off", spec_of("rag-dense", **dense), provenance=EMBEDDER)
    for results in (tmp_path / "on", tmp_path / "off"):
        grid = grid_of(results)
        assert [grid.label(row) for row in grid.rows] == ["rag-dense"]
    for settings in (on, ()):
        add_run(tmp_path / "both", spec_of("rag-dense", **dense, settings=settings), provenance=EMBEDDER)
    add_run(tmp_path / "both", spec_of("rag-sparse", top_k=3))
    grid = grid_of(tmp_path / "both")
    assert [grid.label(row) for row in grid.rows] == ["rag-sparse", "rag-dense, embed_windows=off", "rag-dense"]


def test_only_run_without_windows_notes_unread_chunks(tmp_path):
    dense = {"top_k": 3, "embedder": "minilm"}
    windows = {"chunks": 20, "truncated_chunks": 0, "windows": 31}
    spec = spec_of("rag-dense", **dense, settings=(("embed_windows", "on"),))
    add_run(tmp_path / "on", spec, provenance=EMBEDDER, counts=windows)
    add_run(
        tmp_path / "off", spec_of("rag-dense", **dense), provenance=EMBEDDER, counts={**windows, "truncated_chunks": 7}
    )
    assert "only the beginning" not in notes(score_table(grid_of(tmp_path / "on")))
    assert "reads only the beginning of 14 of 40 chunks" in notes(score_table(grid_of(tmp_path / "off")))


@pytest.mark.parametrize(
    ("system", "read", "told"), [("full-context", 4_096, 1), ("full-context", 19_000, 0), ("rag-sparse", 900, 0)]
)
def test_a_server_that_cuts_prompts_is_told(tmp_path, system, read, told):
    model = {**PROVENANCE["model"], "endpoint": "localhost:11434", "usage": True}
    top_k = 3 if system == "rag-sparse" else None
    folder = add_run(tmp_path, spec_of(system, model="openai:small", top_k=top_k), provenance={"model": model})
    figures = replace(make_run_figures(read_run(folder.path)), tokens=MeanTokens(read, 0, 3))
    found = [note for note in cache_notes([figures]) if "cut" in note]
    assert len(found) == told
    assert all("counts 4,096 tokens in prompts that hold 21,250 tokens" in note for note in found)
