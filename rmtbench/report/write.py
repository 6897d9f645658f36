"""From a results folder to the report's files: read everything, make everything, and only then write anything."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rmtbench.analysis.contest import Terms
from rmtbench.analysis.figure_data import Record
from rmtbench.analysis.grid import Grid, make_grids
from rmtbench.analysis.metrics import FIRST, shown_answer_values
from rmtbench.analysis.pairs import Pair, compare_all
from rmtbench.analysis.read import is_large, read_figures, read_large, runs_of
from rmtbench.analysis.run_figures import RunFigures
from rmtbench.analysis.sections import Facts, Section, make_sections
from rmtbench.errors import UserError, disk_errors
from rmtbench.journal.lines import refuse_link
from rmtbench.report import csv_files, latex, markdown
from rmtbench.report.anatomy import anatomy_tables
from rmtbench.report.figures import FOLDER
from rmtbench.report.first_screen import Block, first_screen
from rmtbench.report.judge_tables import judge_tables
from rmtbench.report.overview import overview_table
from rmtbench.report.page.answer_files import FOLDER as ANSWERS
from rmtbench.report.page.answer_files import AnswerFiles, BlocksBeside
from rmtbench.report.page.blocks import Blocks
from rmtbench.report.page.documents import Choice, Documents
from rmtbench.report.page.passages import Passages
from rmtbench.report.power import power_table
from rmtbench.report.published_length_tables import context_table, length_records, memory_table
from rmtbench.report.published_tables import paper_comparison_records, paper_comparison_table
from rmtbench.report.significance import (
    MATRIX_METRIC,
    leader_records,
    leader_table,
    matrix_table,
    pair_record,
    pairs_table,
)
from rmtbench.report.tables import Table, corpora_table, model_table, paper_table, score_table, time_table

if TYPE_CHECKING:
    from rmtbench.analysis.contest import Contest
    from rmtbench.analysis.decision import Verdict
    from rmtbench.report.figures.make import Drawn

OURS = (
    "table2-*.csv",
    "pairs-*.csv",
    "leader-*.csv",
    "published.csv",
    "index.html",
    f"{FOLDER}/*-[0-9].*",
    f"{FOLDER}/*-[0-9][0-9].*",
    f"{FOLDER}/training.*",
    f"{ANSWERS}/run-*.js",
    f"{ANSWERS}/questions-*.js",
    f"{ANSWERS}/passages-*.js",
)
"""Files of which a report may have fewer than the one before it."""

OWN = ("own", "embedded")
"""Kinds of data sources beside which nothing of other people's data stands unless it is asked for."""

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
        blocks: The first screen: a verdict and a table for each data set and size.
        chapters: The tables for people; runs of different chapters must not be compared.
        records: The same for scripts, by the name of their CSV file without its ending.
        folder: Where the files lie.
        files: Their names.
        contests: What may be chosen between, by exact match; none in a quick report.
    """

    blocks: tuple[Block, ...]
    chapters: tuple[Chapter, ...]
    records: Mapping[str, list[Record]]
    folder: Path
    files: tuple[str, ...]
    contests: tuple[Contest, ...]


def write_report(
    results: Path,
    *,
    quick: bool = False,
    training_logs: Sequence[Path] = (),
    passages: Choice = "near",
    published: bool = False,
    all_pairs: bool = False,
    processes: int = 1,
) -> WrittenReport:
    """Read all runs of a folder and write tables, figures and ``index.html`` into its ``report`` folder.

    The same runs give the same bytes. Files of an earlier report whose dataset or figure is gone are removed.

    Args:
        results: The folder that holds the runs, or one run's folder.
        quick: Leave out what needs NumPy and matplotlib: comparisons, verdicts, figures, and the page.
        training_logs: Logs of trainings, whose curves are drawn too.
        passages: Which documents are read again, so that the page shows the text of passages.
        published: Set published figures of other people's data beside own documents, too.
        all_pairs: Compare all pairs and correct for their number, in verdicts too; else the leader with each other.
        processes: As for `rmtbench.analysis.read.read_large`.

    Returns:
        What was written, for printing.

    Raises:
        UserError: There are no runs, one is damaged or of another version, or the files cannot be written; then the
            files of an earlier report are left as they were.
    """
    folder = results / "report"
    page_blocks = None if quick else _page_blocks(results, folder, passages)
    sections = make_sections(_read(results, page_blocks, processes))
    large = isinstance(page_blocks, BlocksBeside)  # of few answers the figures take less time than other processes
    drawn, files = _figures(() if quick else sections, training_logs, processes if large else 1)
    records = csv_files.records(sections)
    contests = {} if quick else _contests(sections, all_pairs=all_pairs)
    first = contests.get(FIRST, ())
    chapters = []
    for number, section in enumerate(sections):
        grids = make_grids(section.runs)
        pairs = [] if quick else _pairs(grids)
        beside = published or dict(section.setting)["data source"] not in OWN
        made = _Made(section, grids, first, pairs, all_pairs=all_pairs, published=beside)
        _add_records(records, made, _leaders(contests, section))
        chapters.append(_chapter(made, tuple(figure for figure in drawn if figure.chapter == number)))
    blocks = first_screen(sections, first, () if quick else _by_recall(sections))
    trainings = tuple(figure for figure in drawn if figure.chapter is None)
    texts = {
        "report.md": _document(blocks, chapters, sum(len(section.runs) for section in sections), trainings),
        "report.tex": latex.document((each.title, each.provenance, each.tables + each.anatomy) for each in chapters),
        **{f"{name}.csv": csv_files.to_csv(rows) for name, rows in records.items()},
    }
    if page_blocks is not None:
        texts["index.html"] = _page(sections, chapters, contests, page_blocks)
    files |= {name: text.encode("utf-8", "replace") for name, text in texts.items()}
    _write_all(folder, files, page_blocks.files if isinstance(page_blocks, BlocksBeside) else ())
    return WrittenReport(blocks, tuple(chapters), records, folder, tuple(files), first)


def _page_blocks(results: Path, folder: Path, passages: Choice) -> Blocks:
    """What the page's texts are gathered in: the page itself, or files beside it where there are many."""
    documents = Passages(Documents(passages))
    if not is_large(runs_of(results)):
        return Blocks(documents)
    refuse_link(folder)
    return BlocksBeside(documents, folder=folder / ANSWERS)


def _read(results: Path, blocks: Blocks | None, processes: int) -> list[RunFigures]:
    """All runs in figures; their texts go into the blocks."""
    if not isinstance(blocks, BlocksBeside):
        return read_figures(results, None if blocks is None else blocks.add, processes=processes)
    runs = []
    writer = AnswerFiles(blocks.folder, blocks.passages.documents.choice)
    for run in read_large(results, runs_of(results), writer, processes=processes):
        if run.made is not None:
            blocks.add_texts(run.figures, run.made)
        runs.append(run.figures)
    return runs


@dataclass(frozen=True, slots=True)
class _Made:
    """One section with what its chapter is made of."""

    section: Section
    grids: Sequence[Grid]
    contests: Sequence[Contest]
    pairs: Sequence[Compared]
    all_pairs: bool
    published: bool


def _figures(
    sections: Sequence[Section], logs: Sequence[Path], processes: int
) -> tuple[tuple[Drawn, ...], dict[str, bytes]]:
    """The sections' figures and the trainings' curves; for tables alone nothing that draws is loaded."""
    if not sections and not logs:
        return (), {}
    from rmtbench.report.figures.make import make_figures, training_figure

    drawn, files = make_figures(sections, processes=processes)
    if logs:
        curves, curve_files = training_figure(logs)
        drawn, files = (*drawn, curves), files | curve_files
    return drawn, files


def _contests(sections: Sequence[Section], *, all_pairs: bool) -> dict[str, tuple[Contest, ...]]:
    """What may be chosen between, by every value of answers. NumPy is loaded here."""
    from rmtbench.analysis.candidates import make_contests

    values = shown_answer_values([run for section in sections for run in section.runs])
    return {value.name: make_contests(sections, value.name, all_pairs=all_pairs) for value in values}


def _by_recall(sections: Sequence[Section]) -> tuple[Contest, ...]:
    """What may be chosen between by recall, where the answers mean nothing."""
    from rmtbench.analysis.candidates import make_contests

    silent = [each for each in sections if each.runs[0].random_weights or each.runs[0].reads_other_english]
    return make_contests(silent, "recall")


def _page(
    sections: Sequence[Section],
    chapters: Sequence[Chapter],
    contests: Mapping[str, tuple[Contest, ...]],
    blocks: Blocks,
) -> str:
    from rmtbench.report.page.build import build_page
    from rmtbench.report.page.data import PagePart

    parts = [
        PagePart(section, chapter.tables + chapter.anatomy) for section, chapter in zip(sections, chapters, strict=True)
    ]
    return build_page(parts, [each for some in contests.values() for each in some], blocks)


def _leaders(contests: Mapping[str, tuple[Contest, ...]], section: Section) -> list[tuple[Contest, Verdict]]:
    """A section's contests by every metric, with their verdicts under the usual terms."""
    from rmtbench.analysis.decision import decide

    own = [each for some in contests.values() for each in some if each.section == section.title]
    return [(each, decide(each, Terms())) for each in own]


def _pairs(grids: Sequence[Grid]) -> list[Compared]:
    return [
        (grid, size, compare_all(grid, size, value.name))
        for grid in grids
        for size in grid.sizes
        for value in shown_answer_values(list(grid.shown.values()))
    ]


def _add_records(records: dict[str, list[Record]], made: _Made, leaders: Sequence[tuple[Contest, Verdict]]) -> None:
    """The figures of comparisons and of what is published, for scripts."""
    setting = {name.replace(" ", "_"): value for name, value in made.section.setting}
    for contest, verdict in leaders:
        if rows := leader_records(contest, verdict):
            name = csv_files.slug(contest.dataset.partition(" (")[0])
            records.setdefault(f"leader-{name}", []).extend(row | setting for row in rows)
    for grid, size, found in made.pairs:
        if found:
            sheet = records.setdefault(f"pairs-{csv_files.slug(grid.dataset)}", [])
            sheet += [pair_record(grid, size, pair) | setting for pair in found]
    beside = [
        row
        for grid in made.grids
        if made.published
        for row in (*paper_comparison_records(made.section, grid), *length_records(made.section, grid))
    ]
    if beside:
        records.setdefault("published", []).extend(row | setting for row in beside)


def _chapter(made: _Made, figures: tuple[Drawn, ...]) -> Chapter:
    section, grids = made.section, made.grids
    shown = [each for each in made.pairs if each[2] and each[2][0].metric == MATRIX_METRIC and made.all_pairs]
    tables: list[Table | None] = [*map(overview_table, grids), model_table(section), corpora_table(section)]
    for grid in grids:
        tables += [score_table(grid), paper_table(grid)]
        tables += _leader_tables(made, grid)
        tables += [matrix_table(grid, size, found) for other, size, found in shown if other is grid]
        tables.append(power_table(grid, [(size, found) for other, size, found in shown if other is grid]))
    tables.append(time_table(grids))
    if made.published:
        tables += [paper_comparison_table(section, grid) for grid in grids]
        tables += [context_table(section, grid) for grid in grids]
        tables.append(memory_table(section, grids))
    anatomy: list[Table | None] = [table for grid in grids for table in judge_tables(grid)]
    anatomy += [table for grid in grids for table in anatomy_tables(grid)]
    anatomy += [pairs_table(grid, size, found) for grid, size, found in shown]
    return Chapter(section.title, section.provenance, _existing(tables), _existing(anatomy), figures)


def _leader_tables(made: _Made, grid: Grid) -> list[Table | None]:
    from rmtbench.analysis.decision import decide

    own = [each for each in made.contests if (each.section, each.dataset) == (made.section.title, grid.name)]
    return [leader_table(each, decide(each, Terms())) for each in own]


def _existing(tables: Sequence[Table | None]) -> tuple[Table, ...]:
    return tuple(table for table in tables if table is not None)


def _document(screen: Sequence[Block], chapters: Sequence[Chapter], runs: int, trainings: Sequence[Drawn]) -> str:
    blocks = [
        markdown.heading("rmtbench report", 1),
        f"{runs} run(s). Runs under different headings must not be compared.",
        markdown.first_screen(screen),
        markdown.heading("All tables", 1),
    ]
    for chapter in chapters:
        blocks.append(markdown.heading(chapter.title, 2))
        blocks += [markdown.table(table) for table in chapter.tables]
        blocks += [_image(figure) for figure in chapter.figures]
        blocks += [markdown.table(table) for table in chapter.anatomy]
    if trainings:
        blocks += [markdown.heading("Trainings", 2), *map(_image, trainings)]
    blocks.append(markdown.heading("Provenance", 1))
    for chapter in chapters:
        blocks += [
            markdown.heading(f"What produced: {chapter.title}", 2),
            markdown.facts(chapter.provenance),
        ]
    return "\n\n".join(blocks) + "\n"


def _image(figure: Drawn) -> str:
    return f"![{figure.title}]({figure.stem}.svg)"


def _write_all(folder: Path, files: Mapping[str, bytes], beside: Collection[str]) -> None:
    """Write all files under temporary names first, so that a full disk leaves the earlier report as it was.

    Args:
        folder: The report's.
        files: By name within it.
        beside: Names of the page's files of answers, which are there already.
    """
    waiting = {_temporary(folder / name): (folder / name, data) for name, data in files.items()}
    try:
        for place in (folder, folder / FOLDER, folder / ANSWERS):  # what is outdated is removed there too
            refuse_link(place)
        with disk_errors(folder):
            folder.mkdir(exist_ok=True)
            for temporary, (final, data) in waiting.items():
                final.parent.mkdir(exist_ok=True)
                refuse_link(temporary)
                temporary.write_bytes(data)
            for temporary, (final, _) in waiting.items():
                temporary.replace(final)
            kept = {final for final, _ in waiting.values()} | {folder / ANSWERS / name for name in beside}
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
