"""The overview sets score, seconds, preparation and bytes of all systems side by side."""

from pathlib import Path

from report_runs import EMBEDDER, PROVENANCE, add_run, spec_of

from rmtbench.analysis.run_figures import make_run_figures
from rmtbench.analysis.sections import make_sections
from rmtbench.journal.find import find_runs
from rmtbench.journal.record import read_run
from rmtbench.report.overview import overview_table
from rmtbench.report.tables import Table
from rmtbench.report.write import write_report


def overview(results: Path) -> Table:
    (section,) = make_sections(make_run_figures(read_run(path)) for path in find_runs(results))
    (grid,) = section.grids
    return overview_table(grid)


def test_a_row_holds_score_seconds_preparation_and_bytes(tmp_path: Path) -> None:
    add_run(tmp_path, spec_of("cag"), score=0.5, seconds=0.2, prepare={"prefill": 3.0}, kept=2**20)
    add_run(
        tmp_path,
        spec_of("rag-dense", top_k=3, embedder="minilm"),
        score=0.25,
        seconds=2.0,
        provenance=PROVENANCE | EMBEDDER,
    )
    table = overview(tmp_path)
    assert table.columns == ("size", "system", "top-k", "EM", "F1", "recall", "median", "p90", "preparation", "kept")
    cag, dense = table.rows
    assert cag[:3] == ("small", "cag", "")
    assert cag[3].startswith("0.550")
    assert cag[6:] == ("200 ms", "200 ms", "3.00 s", "1.00 MiB")
    assert dense[:3] == ("small", "rag-dense", "3")
    assert dense[6] == "2.00 s"


def test_a_system_that_was_not_run_at_a_size_is_a_row_of_dashes(tmp_path: Path) -> None:
    add_run(tmp_path, spec_of("cag"))
    add_run(tmp_path, spec_of("oracle", size="large"))
    missing = [row for row in overview(tmp_path).rows if row[3] == "–"]
    assert {row[:2] for row in missing} == {("small", "oracle"), ("large", "cag")}


def test_the_overview_is_the_first_table_of_a_report(tmp_path: Path) -> None:
    add_run(tmp_path, spec_of("cag"))
    (chapter,) = write_report(tmp_path, quick=True).chapters
    assert chapter.tables[0].title == "Overview, hotpotqa"
