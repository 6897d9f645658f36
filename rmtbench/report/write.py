"""From a results folder to the report's files: read everything, make everything, and only then write anything."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rmtbench.analysis.figure_data import Record
from rmtbench.analysis.grid import Grid, make_grids
from rmtbench.analysis.metrics import FIRST, shown_answer_values
from rmtbench.analysis.pairs import Pair, compare_all
from rmtbench.analysis.read import read_figures
from rmtbench.analysis.sections import Facts, Section, make_sections
from rmtbench.errors import UserError, disk_errors
from rmtbench.journal.lines import refuse_link
from rmtbench.report import csv_files, latex, markdown
from rmtbench.report.anatomy import anatomy_tables
from rmtbench.report.figures import FOLDER
from rmtbench.report.judge_tables import judge_tables
from rmtbench.report.overview import overview_table
from rmtbench.report.page.blocks import Blocks
from rmtbench.report.page.documents import Choice, Documents
from rmtbench.report.page.passages import Passages
from rmtbench.report.power import power_table
from rmtbench.report.published_length_tables import context_table, length_records, memory_table
from rmtbench.report.published_tables import paper_comparison_records, paper_comparison_table
from rmtbench.report.significance import MATRIX_METRIC, matrix_table, pair_record, pairs_table
from rmtbench.report.tables import Table, corpora_table, model_table, paper_table, score_table, time_table

if TYPE_CHECKING:
    from rmtbench.analysis.decision import Contest
    from rmtbench.report.figures.make import Drawn

OURS = (
    "table2-*.csv",
    "pairs-*.csv",
    "published.csv",
    "index.html",
    f"{FOLDER}/*-[0-9].*",
    f"{FOLDER}/*-[0-9][0-9].*",
    f"{FOLDER}/training.*",
)
"""Files of which a report may have fewer than the one before it."""

Compared = tuple[Grid, str, tuple[Pair, ...]]
"""All pairs at one size of a grid, in one metric."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """One section's tables, under what produced them: the paper's, those that explain them, and its figures."""

    title: str
    provenance: Facts
    tables: tuple[Table, ...]
    anatomy: tuple[Table, ...]
    figures: tuple[Drawn, ...] = ()


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """A results folder as tables.

    Attributes:
        chapters: The tables for people; runs of different chapters must not be compared.
        records: The same for scripts, by the name of their CSV file without its ending.
        folder: Where the files lie.
        files: Their names.
        contests: What may be chosen between, by exact match; none in a quick report.
    """

    chapters: tuple[Chapter, ...]
    records: Mapping[str, list[Record]]
    folder: Path
    files: tuple[str, ...]
    contests: tuple[Contest, ...]


def write_report(
    results: Path, *, quick: bool = False, training_logs: Sequence[Path] = (), passages: Choice = "near"
) -> WrittenReport:
    """Read all runs of a folder and write tables, figures and ``index.html`` into its ``report`` folder.

    The same runs give the same bytes. Files of an earlier report whose dataset or figure is gone are removed.

    Args:
        results: The folder that holds the runs, or one run's folder.
        quick: Leave out what needs NumPy and matplotlib: comparisons of all pairs, figures, and the page.
        training_logs: Logs of trainings, whose curves are drawn too.
        passages: Which documents are read again, so that the page shows the text of passages.

    Returns:
        What was written, for printing.

    Raises:
        UserError: There are no runs, one is damaged or of another version, or the files cannot be written; then the
            files of an earlier report are left as they were.
    """
    blocks = None if quick else Blocks(Passages(Documents(passages)))
    sections = make_sections(read_figures(results, None if blocks is None else blocks.add))
    drawn, files = _figures(() if quick else sections, training_logs)
    trainings = tuple(figure for figure in drawn if figure.chapter is None)
    records = csv_files.records(sections)
    chapters = []
    for number, section in enumerate(sections):
        grids = make_grids(section.runs)
        pairs = [] if quick else _pairs(grids)
        _add_records(records, section, grids, pairs)
        own = tuple(figure for figure in drawn if figure.chapter == number)
        chapters.append(_chapter(section, grids, pairs, own))
    texts = {
        "report.md": _document(chapters, sum(len(section.runs) for section in sections), trainings),
        "report.tex": latex.document((each.title, each.provenance, each.tables + each.anatomy) for each in chapters),
        **{f"{name}.csv": csv_files.to_csv(rows) for name, rows in records.items()},
    }
    contests: tuple[Contest, ...] = ()
    if blocks is not None:
        contests, texts["index.html"] = _page(sections, chapters, blocks)
    files |= {name: text.encode("utf-8", "replace") for name, text in texts.items()}
    folder = results / "report"
    _write_all(folder, files)
    return WrittenReport(tuple(chapters), records, folder, tuple(files), contests)


def _figures(sections: Sequence[Section], logs: Sequence[Path]) -> tuple[tuple[Drawn, ...], dict[str, bytes]]:
    """The sections' figures and the trainings' curves; for tables alone nothing that draws is loaded."""
    if not sections and not logs:
        return (), {}
    from rmtbench.report.figures.make import make_figures, training_figure

    drawn, files = make_figures(sections)
    if logs:
        curves, curve_files = training_figure(logs)
        drawn, files = (*drawn, curves), files | curve_files
    return drawn, files


def _page(sections: Sequence[Section], chapters: Sequence[Chapter], blocks: Blocks) -> tuple[tuple[Contest, ...], str]:
    """What may be chosen between by exact match, and the page with all of them. NumPy is loaded here."""
    from rmtbench.analysis.candidates import make_contests
    from rmtbench.report.page.build import PagePart, build_page

    values = shown_answer_values([run for section in sections for run in section.runs])
    contests = [make_contests(sections, value.name) for value in values]
    parts = [
        PagePart(section, chapter.tables + chapter.anatomy) for section, chapter in zip(sections, chapters, strict=True)
    ]
    first = next(place for place, value in enumerate(values) if value.name == FIRST)
    return contests[first], build_page(parts, [each for some in contests for each in some], blocks)


def _pairs(grids: Sequence[Grid]) -> list[Compared]:
    return [
        (grid, size, compare_all(grid, size, value.name))
        for grid in grids
        for size in grid.sizes
        for value in shown_answer_values(list(grid.shown.values()))
    ]


def _add_records(
    records: dict[str, list[Record]], section: Section, grids: Sequence[Grid], pairs: Sequence[Compared]
) -> None:
    """The figures of comparisons and of what is published, for scripts."""
    setting = {name.replace(" ", "_"): value for name, value in section.setting}
    for grid, size, found in pairs:
        if found:
            sheet = records.setdefault(f"pairs-{csv_files.slug(grid.dataset)}", [])
            sheet += [pair_record(grid, size, pair) | setting for pair in found]
    beside = [
        row for grid in grids for row in (*paper_comparison_records(section, grid), *length_records(section, grid))
    ]
    if beside:
        records.setdefault("published", []).extend(row | setting for row in beside)


def _chapter(section: Section, grids: Sequence[Grid], pairs: Sequence[Compared], figures: tuple[Drawn, ...]) -> Chapter:
    shown = [(grid, size, found) for grid, size, found in pairs if found and found[0].metric == MATRIX_METRIC]
    tables: list[Table | None] = [*map(overview_table, grids), model_table(section), corpora_table(section)]
    for grid in grids:
        tables += [score_table(grid), paper_table(grid)]
        tables += [matrix_table(grid, size, found) for other, size, found in shown if other is grid]
        tables.append(power_table(grid, [(size, found) for other, size, found in shown if other is grid]))
    tables.append(time_table(grids))
    tables += [paper_comparison_table(section, grid) for grid in grids]
    tables += [context_table(section, grid) for grid in grids]
    tables.append(memory_table(section, grids))
    anatomy: list[Table | None] = [table for grid in grids for table in judge_tables(grid)]
    anatomy += [table for grid in grids for table in anatomy_tables(grid)]
    anatomy += [pairs_table(grid, size, found) for grid, size, found in shown]
    return Chapter(section.title, section.provenance, _made(tables), _made(anatomy), figures)


def _made(tables: Sequence[Table | None]) -> tuple[Table, ...]:
    return tuple(table for table in tables if table is not None)


def _document(chapters: Sequence[Chapter], runs: int, trainings: Sequence[Drawn]) -> str:
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
        blocks += [markdown.table(table) for table in chapter.tables]
        blocks += [_image(figure) for figure in chapter.figures]
        blocks += [markdown.table(table) for table in chapter.anatomy]
    if trainings:
        blocks += [markdown.heading("Trainings", 2), *map(_image, trainings)]
    return "\n\n".join(blocks) + "\n"


def _image(figure: Drawn) -> str:
    return f"![{figure.title}]({figure.stem}.svg)"


def _write_all(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write all files under temporary names first, so that a full disk leaves the earlier report as it was."""
    waiting = {_temporary(folder / name): (folder / name, data) for name, data in files.items()}
    try:
        for place in (folder, folder / FOLDER):  # what is outdated is removed there too
            refuse_link(place)
        with disk_errors(folder):
            folder.mkdir(exist_ok=True)
            for temporary, (final, data) in waiting.items():
                final.parent.mkdir(exist_ok=True)
                refuse_link(temporary)
                temporary.write_bytes(data)
            for temporary, (final, _) in waiting.items():
                temporary.replace(final)
            kept = {final for final, _ in waiting.values()}
            for old in {path for pattern in OURS for path in folder.glob(pattern)} - kept:
                old.unlink()
    except FileExistsError as error:
        raise UserError(
            "a file stands where the report's folder should be", where=str(folder), remedy="move it"
        ) from error
    finally:
        for temporary in waiting:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")
