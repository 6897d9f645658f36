"""The page of a results folder without what the rest of a report draws, and how to read the page."""

import base64
import gzip
import json
import os
import re
from pathlib import Path

from rmtbench.analysis.candidates import make_contests
from rmtbench.analysis.contest import Terms
from rmtbench.analysis.decision import decide_all
from rmtbench.analysis.metrics import shown_answer_values
from rmtbench.analysis.read import read_figures
from rmtbench.analysis.sections import make_sections
from rmtbench.report.anatomy import anatomy_tables
from rmtbench.report.page.blocks import Blocks
from rmtbench.report.page.build import build_page
from rmtbench.report.page.documents import Documents
from rmtbench.report.page.passages import Passages
from rmtbench.report.tables import Chapter, corpora_table, score_table


def page_of(results: Path, passages="near", environ=os.environ) -> str:
    blocks = Blocks(Passages(Documents(passages, environ)))
    sections = make_sections(read_figures(results, blocks.add))
    chapters = []
    for section in sections:
        grids = section.grids
        tables = [corpora_table(section), *map(score_table, grids)]
        chapters.append(Chapter(section, (*tables,), tuple(table for grid in grids for table in anatomy_tables(grid))))
    values = shown_answer_values([run for section in sections for run in section.runs])
    contests = [each for value in values for each in make_contests(sections, value.name)]
    return build_page(chapters, decide_all(contests, Terms()), blocks)


def write_page(results: Path, passages="near") -> Path:
    path = results / "index.html"
    path.write_bytes(page_of(results, passages).encode())
    return path


def data_of(page: str, name: str = "data"):
    """What one of the page's data elements holds."""
    kind, text = re.search(rf'<script type="([^"]+)" id="{name}">([^<]*)</script>', page).groups()
    return json.loads(gzip.decompress(base64.b64decode(text)) if "gzip" in kind else text)


def answers_of(page: str, run: dict) -> list:
    """All rows of a run's answers."""
    return [row for block in run["answers"] for row in data_of(page, f"block-{block}")["rows"]]


TABS = ("Summary", "Decision", "Tables", "Figures", "Answers", "Provenance")


def show(page, tab):
    page.get_by_role("tab", name=tab).click()
    page.wait_for_selector(f"#panel[aria-labelledby=tab-{tab}]")


def overlap(one, other):
    """Whether two boxes share any ground."""
    return all(
        one[start] < other[start] + other[length] and other[start] < one[start] + one[length]
        for start, length in (("x", "width"), ("y", "height"))
    )


def chart(page, title):
    """What the figure of a title draws: its marks across, and each line's values, whiskers and name."""
    (canvas,) = page.locator(f'canvas[aria-label^="{title}"]').all()
    assert canvas.get_attribute("role") == "img"
    return canvas.evaluate(
        "(canvas) => { const {labels, datasets} = Chart.getChart(canvas).data;"
        " return {labels, lines: datasets.map(({label, data, spread}) => ({label, data, spread})),"
        " looks: datasets.map(({borderColor, pointStyle}) => `${borderColor} ${pointStyle}`)}; }"
    )
