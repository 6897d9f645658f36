"""Puts data, style and scripts into one HTML file, whose policy allows these scripts by their hashes, and no others."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from string import Template

from rmtbench.analysis.decision import Decided
from rmtbench.analysis.metrics import shown_answer_values
from rmtbench.report.page.blocks import Blocks, elements, to_json
from rmtbench.report.page.data import page_data
from rmtbench.report.tables import Chapter

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


def build_page(
    chapters: Sequence[Chapter], decided: Sequence[Decided], blocks: Blocks, verdicts: Sequence[tuple[str, ...]] = ()
) -> str:
    """The page; the same data give the same bytes.

    Args:
        chapters: All sections with their tables.
        decided: All contests by all metrics, under the usual terms.
        verdicts: For readers without JavaScript: of each data set and size its name, then the sentences of its verdict.
        blocks: The questions and answers of all runs.
    """
    library = _read(LIBRARY)
    script = _with_headings("\n".join(_read(name) for name in SCRIPTS), chapters)
    style = "\n".join(_read(name) for name in STYLES)
    data = to_json(page_data(chapters, decided, blocks))
    beside = " 'self' file:" if blocks.beside else ""  # the files of answers, beside the page or on its server
    return Template(_read("page.html")).substitute(
        policy=f"default-src 'none'; script-src {_hash(library)} {_hash(script)}{beside}; style-src {_hash(style)}",
        style=style,
        library=library,
        script=script,
        data=data,
        verdicts="\n".join(_static(*verdict) for verdict in verdicts),
        blocks=elements(blocks),
    )


def _static(title: str, *sentences: str) -> str:
    return f"<h2>{escape(title)}</h2>\n<p>{escape(' '.join(sentences))}</p>"


def _read(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def _with_headings(script: str, chapters: Sequence[Chapter]) -> str:
    """The scripts with the headings of what these runs are compared by, which the usual runs leave as they stand."""
    values = shown_answer_values([run for each in chapters for run in each.section.runs])
    told = ", ".join(f"{_key(value.name)}: {to_json(value.label)}" for value in values)
    head, _, rest = script.partition(HEADINGS)
    _, end, after = rest.partition("};")
    return f"{head}{HEADINGS}{told}{end}{after}"


def _key(name: str) -> str:
    return name if re.fullmatch("[a-z][a-z0-9_]*", name) else to_json(name)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"
