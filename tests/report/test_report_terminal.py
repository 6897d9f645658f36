"""What `rmtbench report` prints: readable in 120 columns, every mark in its place, records for scripts."""

import io
import json
import shutil
from pathlib import Path

import pytest
import typer
from golden_runs import make_golden_runs
from report_runs import EMBEDDER, add_run, spec_of
from rich.cells import cell_len
from rich.console import Console
from typer.testing import CliRunner

from rmtbench.cli.report import report
from rmtbench.cli.tables import draw_table
from rmtbench.report.tables import Table
from rmtbench.report.write import write_report

COMMITTED = Path(__file__).parents[2] / "results"

app = typer.Typer()
app.command()(report)


def printed(results, *options):
    result = CliRunner().invoke(app, [str(results), *options], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_widest_report_fits_120_columns(tmp_path):
    prepare = {
        "tokenize": 0.1,
        "chunk": 0.0123,
        "embed": 41.5,
        "index": 0.0312,
        "prefill": 105.0,
        "save": 1.5,
        "load": 0.123,
    }
    random = {"model": "random:tiny", "dataset": "hotpotqa", "data": "miniature:x@1", "draws": 3}
    for size in ("smoke", "small", "medium", "large"):
        for system in ("full-context", "cag"):
            spec = spec_of(system, size=size, **random)
            add_run(
                tmp_path, spec, score=0.456, seconds=123.4, prepare=prepare, kept=10**10, kind="miniature", shared=True
            )
        for system in ("rag-sparse", "rag-dense"):
            spec = spec_of(system, size=size, top_k=10, embedder="minilm" if system == "rag-dense" else None, **random)
            add_run(tmp_path, spec, score=0.456, seconds=0.0123, prepare=prepare, kind="miniature", provenance=EMBEDDER)
    text = printed(tmp_path, "--anatomy")
    lines = text.splitlines()
    # The last line holds a path, which must not be broken.
    assert max(len(line.rstrip()) for line in lines[:-1]) <= 120
    row = next(line for line in lines if line.lstrip().startswith("rag-dense †") and line.count("±") > 3)
    assert row.split() == ["rag-dense", "†", "10", *["0.489†", "±.033"] * 4, "0.245†", "±.017", "12", "0"]
    time_row = next(line for line in lines if line.lstrip().startswith("rag-dense †") and "/" in line and " ms" in line)
    assert " ".join(time_row.split()[4:]) == "1.23/1.23 ms 6.15/6.15 ms 7.38/7.38 ms 3.08/3.08 ms 12.3/12.3 ms"


def test_a_pipe_gets_same_text_every_time_and_where_files_lie(tmp_path):
    make_golden_runs(tmp_path)
    first = printed(tmp_path, "--quick", "--full")
    assert printed(tmp_path, "--quick", "--full") == first
    written = "report.md, report.tex, 6 CSV files, 0 figures"
    assert first.splitlines()[-1] == f"Written to {tmp_path / 'report'}: {written}"
    assert "\x1b" not in first


@pytest.mark.parametrize(
    "told",
    [
        "org/model-8b, official data, cpu float32, latency",
        "random:tiny (random weights), miniature data, cpu float32, latency",
        "Table 1: corpora",
        "Table 2: scores, hotpotqa",
        "Table 2 in the paper's shape: MiniLM cosine, hotpotqa",
        "Table 3: generation time with and without cache",
        "† random weights: answers are meaningless, timings are real",
        "5 of 8*",
        "0.325*",
        "not scored",
    ],
)
def test_headings_and_marks_are_printed(tmp_path, told):
    make_golden_runs(tmp_path)
    assert told in printed(tmp_path, "--quick", "--full")


def test_what_explains_tables_is_printed_where_it_is_asked_for(tmp_path):
    make_golden_runs(tmp_path)
    title = "Anatomy: tokens and outcomes, squad"
    assert title in printed(tmp_path, "--anatomy", "--quick")
    text = printed(tmp_path, "--quick")
    assert title not in text
    assert "--anatomy" in text


def test_tables_alone_promise_no_verdict(tmp_path):
    make_golden_runs(tmp_path)
    assert "Use cag for now." not in printed(tmp_path, "--quick")
    assert "Use cag for now." in printed(tmp_path)


def test_json_is_one_object_with_the_records_of_every_table(tmp_path):
    make_golden_runs(tmp_path)
    value = json.loads(printed(tmp_path, "--json"))
    tables = {"table1", "table2-hotpotqa", "table2-squad", "table3", "anatomy", "published"}
    comparisons = {"pairs-hotpotqa", "pairs-squad", "leader-hotpotqa", "leader-squad"}
    assert set(value) == {"schema", "verdicts", *tables, *comparisons}
    assert {each["use"] for each in value["verdicts"]} == {None, "full-context", "cag"}
    assert (tmp_path / "report" / "report.md").is_file()


def test_texts_are_literal_and_first_column_shown_once():
    table = Table(
        "A [bold]title[/]", "caption", ("size", "n"), (("small", "[red]1[/]"), ("small", "2"), ("large", "3")), 1
    )
    console = Console(width=60, record=True, file=None, quiet=False)
    with console.capture() as capture:
        console.print(draw_table(table))
    text = capture.get()
    assert "A [bold]title[/]" in text
    assert "[red]1[/]" in text
    assert text.count("small") == 1


def test_wide_table_drops_columns_names_them_and_cuts_no_figure() -> None:
    names = tuple(f"system {number}" for number in range(16))
    wide = Table("Differences", "", ("system", *names), tuple((name, *["−0.125"] * 16) for name in names), 1)
    drawn = {width: io.StringIO() for width in (80, 200)}
    for width, file in drawn.items():
        Console(width=width, file=file).print(draw_table(wide))
    told = drawn[80].getvalue()
    assert "not shown at this width: system " in told
    assert told.count("−0.125") == 16 * (16 - told.partition("not shown")[2].count("system "))
    assert drawn[200].getvalue().count("−0.125") == 256
    assert "not shown" not in drawn[200].getvalue()


@pytest.mark.parametrize("width", [60, 80, 100, 200])
@pytest.mark.parametrize("name", ["handbook", "mini"])
def test_no_table_vanishes_and_no_figure_is_cut_at_any_width(
    name: str, width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    results = tmp_path / name
    shutil.copytree(COMMITTED / name, results, ignore=shutil.ignore_patterns("report"))
    tables = [
        table for chapter in write_report(results, quick=True).chapters for table in (*chapter.tables, *chapter.anatomy)
    ]
    assert tables
    for table in tables:
        console = Console(file=io.StringIO())
        assert console.width == width
        console.print(draw_table(table))
        text = console.file.getvalue()
        lines = text.splitlines()
        assert max(map(cell_len, map(str.rstrip, lines))) <= width, table.title
        told = text.partition("not shown at this width: ")[2]
        told = " ".join(told.split()).partition(" (see report.md")[0].split("; ")
        for place, heading in enumerate(table.columns):
            if heading in told or place < table.labels:
                continue
            for row in table.rows:
                assert row[place] in text, (table.title, heading)
        if width == 200:
            assert told == [""], table.title
