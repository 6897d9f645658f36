"""The committed results are what the report makes of the runs beside them, and what README and docs show of them."""

import csv
import io
import re
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from rmtbench.analysis.contest import Terms
from rmtbench.analysis.decision import decide
from rmtbench.cli.tables import draw_chapter, draw_verdict
from rmtbench.report.write import WrittenReport, write_report

ROOT = Path(__file__).parent.parent
COMMITTED = ROOT / "results" / "mini"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> WrittenReport:
    copy = tmp_path_factory.mktemp("results") / "mini"
    shutil.copytree(COMMITTED, copy, ignore=shutil.ignore_patterns("report"))
    return write_report(copy)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> WrittenReport:
    copy = tmp_path_factory.mktemp("results") / "handbook"
    shutil.copytree(ROOT / "results" / "handbook", copy, ignore=shutil.ignore_patterns("report"))
    return write_report(copy)


def test_the_committed_report_is_made_again_byte_for_byte(made: WrittenReport) -> None:
    assert files_of(made.folder) == files_of(COMMITTED / "report")


def test_the_report_behind_findings_is_made_again_byte_for_byte(tmp_path: Path) -> None:
    copy = tmp_path / "mini-draws"
    shutil.copytree(COMMITTED.parent / "mini-draws", copy, ignore=shutil.ignore_patterns("report"))
    made, kept = files_of(write_report(copy).folder), files_of(COMMITTED.parent / "mini-draws" / "report")
    assert len(kept) > 25
    assert {name: made.get(name) for name in kept} == kept


def files_of(folder: Path) -> dict[str, bytes | None]:
    """Every file's bytes; of pictures the name alone, since another matplotlib or font draws other bytes."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): None if path.suffix in (".png", ".svg") else path.read_bytes()
        for path in paths
    }


def test_the_demo_report_is_made_again_byte_for_byte(demo: WrittenReport) -> None:
    made, kept = files_of(demo.folder), files_of(ROOT / "results" / "handbook" / "report")
    assert len(kept) > 5
    assert {name: made.get(name) for name in kept} == kept


def test_no_run_on_real_data_is_committed() -> None:
    folder = ROOT / "results" / "real"
    runs = [*folder.rglob("*.jsonl"), *folder.rglob("*.zip")]
    assert not [path for path in runs if ".git" not in path.parts]
    assert not (folder / "report" / "index.html").exists()


def test_the_readme_shows_tables_of_the_committed_results(demo: WrittenReport) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"<!-- demo: begin -->\n```\n(.*?)\n```\n<!-- demo: end -->", readme, re.DOTALL)
    assert block is not None
    drawn = io.StringIO()
    console = Console(width=120, file=drawn)
    for chapter in demo.chapters:
        console.print(draw_chapter(chapter))
    printed = [line.strip() for line in drawn.getvalue().splitlines()]
    shown = [line.strip() for line in block[1].splitlines() if line.strip()]
    assert len(shown) > 10
    assert [line for line in shown if line not in printed] == []


def test_the_example_of_a_decision_is_that_of_committed_results(made: WrittenReport) -> None:
    page = (ROOT / "docs" / "explanation" / "decision.md").read_text(encoding="utf-8")
    block = re.search(r"## An example\n.*?```\n(.*?)\n```", page, re.DOTALL)
    assert block is not None
    (contest,) = [each for each, _ in made.decided if (each.dataset, each.size) == ("hotpotqa", "large")]
    terms, drawn = Terms(price_per_hour=2.5), io.StringIO()
    Console(width=120, file=drawn).print(draw_verdict(contest, terms, decide(contest, terms)))
    printed = [line.strip() for line in drawn.getvalue().splitlines() if line.strip()]
    assert [line.strip() for line in block[1].splitlines() if line.strip()] == printed


FINDINGS = {
    "gold evidence": ("2k", "oracle", "smollm2+reading"),
    "whole context: 1k": ("1k", "cag", "smollm2+reading"),
    "2k": ("2k", "cag", "smollm2+reading"),
    "4k": ("4k", "cag", "smollm2+reading"),
    "7k": ("7k", "cag", "smollm2+reading"),
    "4k by BM25, top-3 passages of 128 tokens": ("4k", "rag-sparse", "smollm2+reading"),
    "4k by MiniLM, the same": ("4k", "rag-dense", "smollm2+reading"),
    "21k by BM25, the same": ("small", "rag-sparse", "smollm2+reading"),
    "21k by MiniLM, the same": ("small", "rag-dense", "smollm2+reading"),
    "no documents": ("2k", "closed-book", "smollm2+reading"),
    "without the adapter: gold evidence": ("2k", "oracle", "smollm2"),
    "without the adapter: whole context, 2k": ("2k", "cag", "smollm2"),
    "without the adapter: no documents": ("2k", "closed-book", "smollm2"),
}
"""Rows of the findings' table about real text, by the runs that they come from."""


def test_the_findings_about_real_text_are_those_of_the_report() -> None:
    text = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    lines = text[text.index("| exact match | SQuAD | HotpotQA | TriviaQA |") :].split("\n\n")[0].splitlines()[2:]
    shown = {cells[0]: cells[1:4] for cells in ([cell.strip() for cell in line.split("|")[1:]] for line in lines)}
    assert shown.keys() == FINDINGS.keys()
    for number, name in enumerate(("squad", "hotpotqa", "triviaqa")):
        table = (ROOT / "results" / "real" / "report" / f"table2-{name}.csv").read_text(encoding="utf-8")
        rows = {(row["size"], row["system"], row["model"]): row for row in csv.DictReader(io.StringIO(table))}
        for label, key in FINDINGS.items():
            measured = [float(rows[key][column] or "nan") for column in ("em", "em_standard_error") if key in rows]
            figures = re.findall(r"\.\d+", shown[label][number].partition("(")[0])
            assert len(figures) <= len(measured), (name, label)
            for figure, true in zip(figures, measured, strict=False):
                assert float(figure) == pytest.approx(true, abs=0.00501), (name, label)
