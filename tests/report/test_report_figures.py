"""Figures: made where the results hold what they show, from the records beside them, the same bytes every time."""

import csv
import io
import json
import re
import warnings

import pytest
from report_runs import add_run, append, spec_of

from rmtbench.analysis import figure_data as records
from rmtbench.analysis.learning_curves import points, read_log, stages
from rmtbench.analysis.run_figures import make_run_figures
from rmtbench.analysis.score_interval import score_interval
from rmtbench.analysis.sections import make_sections
from rmtbench.core import Corpus, Document, Gold, Question, Source, Span, SystemTraits
from rmtbench.errors import UserError
from rmtbench.journal.find import find_runs
from rmtbench.journal.record import read_run
from rmtbench.journal.rows import evidence_positions
from rmtbench.report.figures.make import drawing, training_figure
from rmtbench.report.figures.style import look_of
from rmtbench.systems.registry import our_systems

PNG = b"\x89PNG"


def sections_of(results):
    return make_sections(make_run_figures(read_run(path)) for path in find_runs(results))


def make_figures(sections):
    with drawing(sections) as finished:
        return finished()


def grid_of(results):
    (section,) = sections_of(results)
    return section.grids[0]


def place_evidence(folder, position):
    """Give every question of a run one fact at a place that depends on its number."""
    rows = [json.loads(line) for line in folder.gold.read_text().splitlines()]
    folder.gold.unlink()
    append(folder.gold, [row | {"positions": [position(number)]} for number, row in enumerate(rows)])


def test_one_run_of_everything_draws_every_figure_with_records(tmp_path):
    for size in ("small", "large"):
        for system, top_k in (("full-context", None), ("cag", None), ("rag-sparse", 3)):
            folder = add_run(tmp_path, spec_of(system, size=size, top_k=top_k), kept=10**6)
            place_evidence(folder, lambda number: number % 4 / 4)
    drawn, files = make_figures(sections_of(tmp_path))
    assert [figure.stem for figure in drawn] == [
        f"figures/{name}-1"
        for name in (
            "score", "score-by-length", "score-by-position", "time-by-size", "memory-by-length", "break-even",
            "frontier",
        )
    ]  # fmt: skip
    for figure in drawn:
        assert files[f"{figure.stem}.png"].startswith(PNG)
        svg = files[f"{figure.stem}.svg"].decode()
        assert figure.title in svg
        assert "org/model-8b, official data" in svg
        assert not re.search(r"<dc:date>|\d{4}-\d\d-\d\dT", svg)
        rows = list(csv.DictReader(io.StringIO(files[f"{figure.stem}.csv"].decode())))
        assert {row["dataset"] for row in rows} == {"hotpotqa"}
    assert make_figures(sections_of(tmp_path))[1] == files


@pytest.mark.parametrize(
    ("fields", "options", "absent"),
    [
        ({}, {"score": None}, {"score", "frontier", "score-by-length", "score-by-position", "break-even"}),
        ({"system": "oracle"}, {}, {"time-by-size", "memory-by-length", "break-even", "score-by-length"}),
    ],
)
def test_a_figure_without_its_data_is_not_made(tmp_path, fields, options, absent):
    add_run(tmp_path, spec_of(**fields), **options)
    drawn, _ = make_figures(sections_of(tmp_path))
    assert not {figure.stem.removeprefix("figures/").removesuffix("-1") for figure in drawn} & absent


def test_random_weights_and_miniature_data_are_told_in_figure(tmp_path):
    add_run(tmp_path, spec_of(model="random:tiny", data="miniature:x@1"), kind="miniature")
    drawn, _ = make_figures(sections_of(tmp_path))
    assert all("miniature data" in figure.label for figure in drawn)
    assert all("random weights: scores mean nothing" in figure.label for figure in drawn)


def test_a_model_of_the_miniatures_english_is_told_in_figure(tmp_path):
    add_run(tmp_path, spec_of(model="mini"))
    drawn, _ = make_figures(sections_of(tmp_path))
    assert all("mini knows the miniature alone: scores mean nothing" in figure.label for figure in drawn)


def words_of(svg):
    return " ".join(re.sub("<[^>]+>", " ", svg.decode()).split())


def test_figures_of_scores_name_incomplete_runs(tmp_path):
    add_run(tmp_path, spec_of("cag"), answered=5)
    add_run(tmp_path, spec_of("full-context"))
    _, files = make_figures(sections_of(tmp_path))
    for name in ("score", "frontier"):
        told = words_of(files[f"figures/{name}-1.svg"])
        assert "incomplete, questions without an answer count as zero: cag small" in told


@pytest.mark.parametrize("sizes", [("small",), ("small", "medium", "large")])
def test_a_figure_of_one_system_has_room_for_its_panel(tmp_path, sizes):
    settings = (("memory", "mini-query-first@a256c9f9"), ("rmt_heads", "4"))
    for size in sizes:
        add_run(tmp_path, spec_of("rmt-memory", model="mini", size=size, settings=settings), answered=5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns where a panel has no room
        make_figures(sections_of(tmp_path))


def test_a_cache_breaks_even_whatever_its_settings(tmp_path):
    add_run(tmp_path, spec_of("full-context"), seconds=2.0)
    add_run(tmp_path, spec_of("cag", settings=(("kv_bits", "8"),)), seconds=0.1, prepare={"prefill": 100.0})
    _, files = make_figures(sections_of(tmp_path))
    assert "53" in words_of(files["figures/break-even-1.svg"]).split(), (
        "(100 - 0.1) / (2 - 0.1) questions, and one more"
    )


def test_a_data_set_named_like_a_formula_is_drawn_as_text(tmp_path):
    add_run(tmp_path, spec_of(dataset="a$^{b", data="own:x@1"), kind="own")
    _, files = make_figures(sections_of(tmp_path))
    assert "a$^{b" in files["figures/score-1.svg"].decode()


def test_intervals_are_students_t_and_none_of_one_draw(tmp_path):
    add_run(tmp_path, spec_of("cag", draws=6))
    add_run(tmp_path, spec_of("oracle", draws=1))
    by_system = {record["system"]: record for record in records.score_records(grid_of(tmp_path))}
    # Three draws of mean 0.5 and three of 0.6: an error of .02236, and t of five degrees of freedom is 2.5706.
    assert by_system["cag"]["low"] == pytest.approx(0.55 - 2.5706 * 0.0223607, abs=1e-5)
    assert by_system["cag"]["level"] == 0.95
    assert (by_system["oracle"]["low"], by_system["oracle"]["level"]) == (None, None)


def set_scores(folder, values):
    """Give the answers of a run these F1."""
    rows = [json.loads(line) for line in folder.scores.read_text().splitlines()]
    folder.scores.unlink()
    append(folder.scores, [row | {"scores": {"f1": value}} for row, value in zip(rows, values, strict=True)])


def test_intervals_of_figures_are_those_of_tables(tmp_path):
    right = add_run(tmp_path, spec_of("cag", draws=6))
    place_evidence(right, lambda _: 0.1)
    set_scores(right, [1.0] * 24)
    two = add_run(tmp_path, spec_of("full-context"))
    place_evidence(two, lambda _: 0.1)
    set_scores(two, [1.0] * 4 + [0.5] * 4)
    grid = grid_of(tmp_path)
    known = {run.spec.system: tuple(map(records.six_digits, score_interval(run, "f1"))) for run in grid.shown.values()}
    assert known == {"cag": (pytest.approx(0.025 ** (1 / 6), abs=1e-6), 1.0), "full-context": (0.0, 1.0)}
    for made in (records.score_records(grid), records.position_records(grid)):
        assert {record["system"]: (record["low"], record["high"]) for record in made} == known


def test_runs_that_took_no_time_are_in_no_figure_of_times(tmp_path):
    for system in ("cag", "full-context"):
        add_run(tmp_path, spec_of(system), seconds=0.0, prepare={"prefill": 0.0})
    drawn, _ = make_figures(sections_of(tmp_path))
    assert [figure.stem for figure in drawn] == ["figures/score-1"]


def test_length_needs_two_sizes_of_the_same_system(tmp_path):
    add_run(tmp_path, spec_of("cag"))
    add_run(tmp_path, spec_of("cag", size="large"))
    add_run(tmp_path, spec_of("oracle"))
    assert {record["label"] for record in records.length_records(grid_of(tmp_path))} == {"cag"}


def test_scores_by_position_are_means_over_the_facts_of_a_fifth(tmp_path):
    place_evidence(add_run(tmp_path, spec_of("cag"), score=0.5), lambda number: 0.1 if number < 6 else 1.0)
    first, last = records.position_records(grid_of(tmp_path))
    assert (first["position"], first["facts"], first["mean"]) == (
        0.1,
        6,
        pytest.approx((4 * 0.5 + 2 * 0.6) / 6, abs=1e-5),
    )
    assert (last["position"], last["facts"], last["mean"]) == (0.9, 2, 0.6)
    assert first["low"] is not None
    assert last["low"] is None


def test_an_incomplete_run_hides_no_other_by_position(tmp_path):
    for top_k, answered in ((1, None), (3, None), (5, 5)):
        place_evidence(add_run(tmp_path, spec_of("rag-sparse", top_k=top_k), answered=answered), lambda _: 0.1)
    assert [record["label"] for record in records.position_records(grid_of(tmp_path))] == ["rag-sparse top-3"]


def test_an_index_is_shown_once_however_many_chunks_are_read(tmp_path):
    for top_k in (1, 3):
        add_run(tmp_path, spec_of("rag-sparse", top_k=top_k), kept=1000)
    assert [record["label"] for record in records.memory_records(grid_of(tmp_path))] == ["rag-sparse"]


def test_positions_count_characters_of_all_documents_in_order():
    documents = (Document("a", "A", "x" * 60), Document("b", "B", "y" * 40))
    corpus = Corpus("c", "own", "all", 0, documents, (Question("q", "Why?"),), Source("own", "folder", "ab"))
    gold = Gold("q", ("z",), ((Span("a", 30, 31), Span("b", 0, 1)), (Span("b", 20, 25),)))
    assert evidence_positions(corpus, gold) == (0.3, 0.8)
    assert evidence_positions(corpus, Gold("q", ("z",))) == ()
    assert evidence_positions(corpus, Gold("q", ("z",), ((Span("gone", 0, 1),),))) == ()


def test_no_two_systems_share_a_colour_and_a_marker():
    looks = [look_of(system, None) for system in our_systems().values()]
    assert len({look.marker for look in looks}) == len(looks)
    assert len({look_of(SystemTraits("rag-sparse"), top_k).line for top_k in (1, 3, 5, 10)}) == 4


def log_line(tokens, stage, value):
    return {"tokens": tokens, "stage": stage, "metrics": {"right": value}}


def test_curves_are_means_of_lines_with_stages_by_name():
    lines = [log_line(1e6 * (place + 1), "one" if place < 5 else "two", float(place)) for place in range(9)]
    assert points(lines, "right") == ([1.0, 5.0, 9.0], [0.0, 2.0, 4.5])
    assert stages(lines) == [(1.0, "one"), (6.0, "two")]


def test_a_training_log_is_drawn_and_another_file_is_refused(tmp_path):
    log = tmp_path / "log.jsonl"
    append(log, [log_line(1e6 * place, "one", place / 10) for place in range(1, 9)])
    figure, files = training_figure([log])
    assert (figure.stem, figure.chapter) == ("figures/training", None)
    assert files["figures/training.png"].startswith(PNG)
    assert "right" in files["figures/training.svg"].decode()
    rows = list(csv.DictReader(io.StringIO(files["figures/training.csv"].decode())))
    assert rows == [
        {"training": "", "metric": "right", "millions_of_tokens": tokens, "mean": mean}
        for tokens, mean in (("1.0", "0.1"), ("5.0", "0.3"))
    ]
    (tmp_path / "bad.jsonl").write_text('{"loss": 1}\n')
    with pytest.raises(UserError, match="no log of a training"):
        read_log(tmp_path / "bad.jsonl")
