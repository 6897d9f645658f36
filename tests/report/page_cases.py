"""The page of a results folder without the figures and comparisons that the rest of a report draws."""

from pathlib import Path

from rmtbench.analysis.candidates import make_contests
from rmtbench.analysis.grid import make_grids
from rmtbench.analysis.metrics import shown_answer_values
from rmtbench.analysis.read import read_figures
from rmtbench.analysis.sections import make_sections
from rmtbench.report.anatomy import anatomy_tables
from rmtbench.report.page.blocks import Blocks
from rmtbench.report.page.build import PagePart, build_page
from rmtbench.report.tables import corpora_table, score_table


def page_of(results: Path) -> str:
    blocks = Blocks()
    sections = make_sections(read_figures(results, blocks.add))
    parts = []
    for section in sections:
        grids = make_grids(section.runs)
        tables = [corpora_table(section), *map(score_table, grids)]
        parts.append(PagePart(section, (*tables, *(table for grid in grids for table in anatomy_tables(grid)))))
    values = shown_answer_values([run for section in sections for run in section.runs])
    return build_page(parts, [each for value in values for each in make_contests(sections, value.name)], blocks)


def write_page(results: Path) -> Path:
    path = results / "index.html"
    path.write_bytes(page_of(results).encode())
    return path
