"""From a results folder to the report's files: read everything, make everything, and only then write anything."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rmtbench.errors import UserError, disk_errors
from rmtbench.journal.record import find_runs, read_run
from rmtbench.report import csv_files, markdown
from rmtbench.report.anatomy import anatomy_tables
from rmtbench.report.cells import Cell, make_cell
from rmtbench.report.csv_files import Record
from rmtbench.report.grid import make_grids
from rmtbench.report.sections import Facts, Section, make_sections
from rmtbench.report.tables import Table, corpora_table, paper_table, score_table, time_table


@dataclass(frozen=True, slots=True)
class Chapter:
    """One section's tables, under what produced them: the paper's, and those that explain them."""

    title: str
    provenance: Facts
    tables: tuple[Table, ...]
    anatomy: tuple[Table, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """A results folder as tables.

    Attributes:
        chapters: The tables for people; runs of different chapters must not be compared.
        records: The same for scripts, by the name of their CSV file without its ending.
        folder: Where the files lie.
        files: Their names.
    """

    chapters: tuple[Chapter, ...]
    records: Mapping[str, list[Record]]
    folder: Path
    files: tuple[str, ...]


def write_report(results: Path) -> Report:
    """Read all runs of a folder and write ``report.md`` and the CSV files into its ``report`` folder.

    The same runs give the same bytes. CSV files of an earlier report whose dataset is gone are removed.

    Args:
        results: The folder that holds the runs, or one run's folder.

    Returns:
        What was written, for printing.

    Raises:
        UserError: There are no runs, one is damaged or of another version, or the files cannot be written; then the
            files of an earlier report are left as they were.
    """
    sections = make_sections(_read_cells(results))
    chapters = tuple(_chapter(section) for section in sections)
    records = csv_files.records(sections)
    files = {"report.md": _document(chapters, sum(len(section.cells) for section in sections))}
    files |= {f"{name}.csv": csv_files.to_csv(rows) for name, rows in records.items()}
    folder = results / "report"
    _write_all(folder, files)
    return Report(chapters, records, folder, tuple(files))


def _read_cells(results: Path) -> list[Cell]:
    runs = find_runs(results)
    if not runs:
        raise UserError("no runs here", where=str(results), remedy="run something first: rmtbench run --help")
    # One run at a time: its answers are let go before the next one's are read.
    return [make_cell(read_run(path)) for path in runs]


def _chapter(section: Section) -> Chapter:
    grids = make_grids(section.cells)
    tables = [corpora_table(section)]
    for grid in grids:
        tables += [table for table in (score_table(grid), paper_table(grid)) if table is not None]
    if (times := time_table(grids)) is not None:
        tables.append(times)
    anatomy = tuple(table for grid in grids for table in anatomy_tables(grid))
    return Chapter(section.title, section.provenance, tuple(tables), anatomy)


def _document(chapters: tuple[Chapter, ...], runs: int) -> str:
    blocks = [
        markdown.heading("rmtbench report", 1),
        f"{runs} run(s). Runs under different headings must not be compared.",
    ]
    for chapter in chapters:
        blocks += [
            markdown.heading(chapter.title, 2),
            "What produced these tables:",
            markdown.facts(chapter.provenance),
        ]
        blocks += [markdown.table(table) for table in chapter.tables + chapter.anatomy]
    return "\n\n".join(blocks) + "\n"


def _write_all(folder: Path, files: Mapping[str, str]) -> None:
    """Write all files under temporary names first, so that a full disk leaves the earlier report as it was."""
    waiting = {folder / f".{name}.{os.getpid()}.tmp": folder / name for name in files}
    try:
        with disk_errors(folder):
            folder.mkdir(exist_ok=True)
            for temporary, final in waiting.items():
                temporary.write_bytes(files[final.name].encode("utf-8", "replace"))
            for temporary, final in waiting.items():
                temporary.replace(final)
            for old in folder.glob("table2-*.csv"):
                if old.name not in files:
                    old.unlink()
    except FileExistsError as error:
        raise UserError(
            "a file stands where the report's folder should be", where=str(folder), remedy="move it"
        ) from error
    finally:
        for temporary in waiting:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
