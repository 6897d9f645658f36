"""From a results folder to the report's files: read everything, make everything, and only then write anything."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rmtbench.analysis.contest import Terms
from rmtbench.analysis.decision import Decided, decide_all
from rmtbench.analysis.figure_data import Record
from rmtbench.analysis.metrics import FIRST, shown_answer_values
from rmtbench.analysis.pairs import Pair, compare_all
from rmtbench.analysis.read import is_large, read_figures, read_large, runs_of
from rmtbench.analysis.run_figures import RunFigures
from rmtbench.analysis.sections import Grid, Section, make_sections
from rmtbench.errors import UserError, disk_errors
from rmtbench.files import remove_left_temporaries, temporary_of
from rmtbench.journal.lines import refuse_link
from rmtbench.options import flag
from rmtbench.report import csv_files, latex, markdown
from rmtbench.report.anatomy import anatomy_tables
from rmtbench.report.figures import FOLDER
from rmtbench.report.figures.make import drawing
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
from rmtbench.report.tables import Chapter, Table, corpora_table, model_table, paper_table, score_table, time_table

TABLES = ("table2-*.csv", "published.csv")
"""Files of tables of which a report may have fewer than the one before it."""
COMPARED = (
    "pairs-*.csv",
    "leader-*.csv",
    "index.html",
    f"{FOLDER}/*-[0-9].*",
    f"{FOLDER}/*-[0-9][0-9].*",
    f"{FOLDER}/training.*",
    f"{ANSWERS}/run-*.js",
    f"{ANSWERS}/questions-*.js",
    f"{ANSWERS}/passages-*.js",
)
"""The same for files that a quick report does not make: it leaves those of an earlier report as they are."""

OWN = ("own", "embedded")
"""Kinds of data sources beside which nothing of other people's data stands unless it is asked for."""

Compared = tuple[Grid, str, tuple[Pair, ...]]
"""All pairs at one size of a grid, in one metric."""


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """A results folder as tables.

    Attributes:
        blocks: The first screen: a verdict and a table for each data set and size.
        chapters: The tables for people; runs of different chapters must not be compared.
        records: The same for scripts, by the name of their CSV file without its ending.
        folder: Where the files lie.
        files: Their names.
        earlier: Names of files of an earlier report that a quick one left as they were.
        decided: What may be chosen between, by exact match under the usual terms; none in a quick report.
    """

    blocks: tuple[Block, ...]
    chapters: tuple[Chapter, ...]
    records: Mapping[str, list[Record]]
    folder: Path
    files: tuple[str, ...]
    earlier: tuple[str, ...]
    decided: tuple[Decided, ...]


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
    with drawing(() if quick else sections, training_logs, processes=processes if large else 1) as figures:
        decided = () if quick else _decide(sections, all_pairs=all_pairs)
        compared = [() if quick else _pairs(section.grids) for section in sections]
        drawn, files = figures()
    records = csv_files.records(sections)
    first = tuple(each for each in decided if each[0].metric == FIRST)
    chapters = []
    for section, pairs in zip(sections, compared, strict=True):
        beside = published or dict(section.setting)["data source"] not in OWN
        own = [each for each in decided if each[0].section == section.title]
        made = _Made(section, own, pairs, all_pairs=all_pairs, published=beside)
        _add_records(records, made)
        chapters.append(_chapter(made))
    blocks = first_screen(sections, first, () if quick else _by_recall(sections))
    texts = {
        "report.md": markdown.document(blocks, chapters, drawn),
        "report.tex": latex.document((each.title, each.provenance, each.tables + each.anatomy) for each in chapters),
        **{f"{name}.csv": csv_files.to_csv(rows) for name, rows in records.items()},
    }
    if page_blocks is not None:
        from rmtbench.report.page.build import build_page

        verdicts = [(each.title, *each.said, each.settle) for each in blocks]
        texts["index.html"] = build_page(chapters, decided, page_blocks, verdicts)
    files |= {name: text.encode("utf-8", "replace") for name, text in texts.items()}
    answers = page_blocks.files if isinstance(page_blocks, BlocksBeside) else ()
    _write_all(folder, files, TABLES if quick else (*TABLES, *COMPARED), answers)
    earlier = sorted(path.relative_to(folder).as_posix() for path in _present(folder, COMPARED) - _paths(folder, files))
    return WrittenReport(blocks, tuple(chapters), records, folder, tuple(files), tuple(earlier), first)


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
    decided: Sequence[Decided]
    pairs: Sequence[Compared]
    all_pairs: bool
    published: bool


def _decide(sections: Sequence[Section], *, all_pairs: bool) -> tuple[Decided, ...]:
    """What may be chosen between, by every value of answers, under the usual terms. NumPy is loaded here."""
    from rmtbench.analysis.candidates import make_contests

    values = shown_answer_values([run for section in sections for run in section.runs])
    contests = (each for value in values for each in make_contests(sections, value.name, all_pairs=all_pairs))
    return decide_all(contests, Terms())


def _by_recall(sections: Sequence[Section]) -> tuple[Decided, ...]:
    """What may be chosen between by recall, where the answers mean nothing."""
    from rmtbench.analysis.candidates import make_contests

    silent = [each for each in sections if each.runs[0].random_weights or each.runs[0].reads_other_english]
    return decide_all(make_contests(silent, "recall"), Terms())


def _pairs(grids: Sequence[Grid]) -> tuple[Compared, ...]:
    return tuple(
        (grid, size, compare_all(grid, size, value.name))
        for grid in grids
        for size in grid.sizes
        for value in shown_answer_values(list(grid.shown.values()))
    )


def _add_records(records: dict[str, list[Record]], made: _Made) -> None:
    """The figures of comparisons and of what is published, for scripts."""
    setting = {name.replace(" ", "_"): value for name, value in made.section.setting}
    datasets = {grid.name: grid.dataset for grid in made.section.grids}
    for contest, verdict in made.decided:
        if rows := leader_records(contest, verdict):
            name = csv_files.slug(datasets[contest.dataset])
            records.setdefault(f"leader-{name}", []).extend(row | setting for row in rows)
    for grid, size, found in made.pairs:
        if found:
            sheet = records.setdefault(f"pairs-{csv_files.slug(grid.dataset)}", [])
            sheet += [pair_record(grid, size, pair) | setting for pair in found]
    beside = [
        row
        for grid in made.section.grids
        if made.published
        for row in (*paper_comparison_records(made.section, grid), *length_records(made.section, grid))
    ]
    if beside:
        records.setdefault("published", []).extend(row | setting for row in beside)


def _chapter(made: _Made) -> Chapter:
    section, grids = made.section, made.section.grids
    shown = [each for each in made.pairs if each[2] and each[2][0].metric == MATRIX_METRIC and made.all_pairs]
    tables: list[Table | None] = [*map(overview_table, grids), model_table(section), corpora_table(section)]
    for grid in grids:
        tables += [score_table(grid), paper_table(grid)]
        tables += [
            leader_table(*each) for each in made.decided if (each[0].metric, each[0].dataset) == (FIRST, grid.name)
        ]
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
    return Chapter(section, _existing(tables), _existing(anatomy))


def _existing(tables: Sequence[Table | None]) -> tuple[Table, ...]:
    return tuple(table for table in tables if table is not None)


def _present(folder: Path, patterns: Sequence[str]) -> set[Path]:
    # What begins with a dot is not there yet: another report, written at the same time, will give it its name.
    return {path for pattern in patterns for path in folder.glob(pattern) if not path.name.startswith(".")}


def _paths(folder: Path, files: Mapping[str, bytes]) -> set[Path]:
    return {folder / name for name in files}


def _write_all(folder: Path, files: Mapping[str, bytes], outdated: Sequence[str], beside: Collection[str]) -> None:
    """Write all files under temporary names first, so that a full disk leaves the earlier report as it was.

    Args:
        folder: The report's folder.
        files: Contents by name.
        outdated: Patterns of files of an earlier report that are removed where this one has none of their name.
        beside: Names of the page's files of answers, which are there already.
    """
    waiting = {temporary_of(folder / name): (folder / name, data) for name, data in files.items()}
    try:
        for place in (folder, folder / FOLDER, folder / ANSWERS):  # what is outdated is removed there too
            refuse_link(place)
        with disk_errors(folder, flag.results):
            folder.mkdir(exist_ok=True)
            for temporary, (final, data) in waiting.items():
                final.parent.mkdir(exist_ok=True)
                refuse_link(temporary)
                remove_left_temporaries(final)
                temporary.write_bytes(data)
            for temporary, (final, _) in waiting.items():
                temporary.replace(final)
            kept = _paths(folder, files) | {folder / ANSWERS / name for name in beside}
            for old in _present(folder, outdated) - kept:
                old.unlink()
    except FileExistsError as error:
        raise UserError(
            "a file stands where the report's folder should be", where=str(folder), remedy="move it"
        ) from error
    finally:
        for temporary in waiting:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
