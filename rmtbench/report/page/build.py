"""Puts data, style and scripts into one HTML file, whose policy allows these scripts by their hashes, and no others."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from importlib.resources import files
from string import Template

from rmtbench.analysis.contest import Contest
from rmtbench.analysis.metrics import shown_answer_values
from rmtbench.report.page.blocks import Blocks, elements, to_json
from rmtbench.report.page.data import PagePart, page_data

SCRIPTS = (
    "decide.js",
    "elements.js",
    "texts.js",
    "tables.js",
    "looks.js",
    "charts.js",
    "figures.js",
    "address.js",
    "stored.js",
    "filters.js",
    "passages.js",
    "compare.js",
    "answer_list.js",
    "question_set.js",
    "answers_panel.js",
    "candidates.js",
    "summary_panel.js",
    "decision_panel.js",
    "tables_panel.js",
    "figures_panel.js",
    "provenance_panel.js",
    "app.js",
)
"""In the order in which they are read: each knows those before it only."""
STYLES = ("style.css", "answers.css")
HEADINGS = "const HEADINGS = {"
"""How the one table of headings begins in the scripts."""
LIBRARY = "vendor/chart.umd.min.js"
"""Chart.js 4.6.1 (MIT), as its npm package has it but for the line that names its source map."""


def build_page(parts: Sequence[PagePart], contests: Sequence[Contest], blocks: Blocks) -> str:
    """The page; the same data give the same bytes.

    Args:
        parts: All sections.
        contests: All contests by all metrics.
        blocks: The questions and answers of all runs.
    """
    library = _read(LIBRARY)
    script = _with_headings("\n".join(_read(name) for name in SCRIPTS), parts)
    style = "\n".join(_read(name) for name in STYLES)
    data = to_json(page_data(parts, contests, blocks))
    beside = " 'self' file:" if blocks.beside else ""  # the files of answers, beside the page or on its server
    return Template(_read("page.html")).substitute(
        policy=f"default-src 'none'; script-src {_hash(library)} {_hash(script)}{beside}; style-src {_hash(style)}",
        style=style,
        library=library,
        script=script,
        data=data,
        blocks=elements(blocks),
    )


def _read(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def _with_headings(script: str, parts: Sequence[PagePart]) -> str:
    """The scripts with the headings of what these runs are compared by, which the usual runs leave as they stand."""
    values = shown_answer_values([run for part in parts for run in part.section.runs])
    told = ", ".join(f"{_key(value.name)}: {to_json(value.label)}" for value in values)
    head, _, rest = script.partition(HEADINGS)
    _, end, after = rest.partition("};")
    return f"{head}{HEADINGS}{told}{end}{after}"


def _key(name: str) -> str:
    return name if re.fullmatch("[a-z][a-z0-9_]*", name) else to_json(name)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"
