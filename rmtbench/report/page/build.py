"""Puts data, style and scripts into one HTML file, whose policy allows these scripts by their hashes, and no others."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from string import Template
from typing import Any

from rmtbench.analysis.contest import Contest, Terms
from rmtbench.analysis.figure_data import position_records
from rmtbench.analysis.grid import make_grids
from rmtbench.analysis.metrics import shown_answer_values
from rmtbench.analysis.sections import Section
from rmtbench.core import MetricValue
from rmtbench.report.page.blocks import Blocks, elements, to_json
from rmtbench.report.tables import Table

SCRIPTS = ("decide.js", "figures.js", "tables.js", "answers.js", "app.js")
HEADINGS = "const HEADINGS = {"
"""How the one table of headings begins in the scripts."""
LIBRARY = "vendor/chart.umd.min.js"
"""Chart.js 4.6.1 (MIT), as its npm package has it but for the line that names its source map."""


@dataclass(frozen=True, slots=True)
class PagePart:
    """One section's part of the page: its runs and all its tables."""

    section: Section
    tables: tuple[Table, ...]


def build_page(parts: Sequence[PagePart], contests: Sequence[Contest], blocks: Blocks) -> str:
    """The page; the same data give the same bytes.

    Args:
        parts: All sections.
        contests: All contests by all metrics.
        blocks: The questions and answers of all runs.
    """
    library = _read(LIBRARY)
    script = _with_headings("\n".join(_read(name) for name in SCRIPTS), parts)
    style = _read("style.css")
    return Template(_read("page.html")).substitute(
        policy=f"default-src 'none'; script-src {_hash(library)} {_hash(script)}; style-src {_hash(style)}",
        style=style,
        library=library,
        script=script,
        data=to_json(_data(parts, contests, blocks)),
        blocks=elements(blocks),
    )


def _data(parts: Sequence[PagePart], contests: Sequence[Contest], blocks: Blocks) -> dict[str, Any]:
    titles = [part.section.title for part in parts]
    values = shown_answer_values([run for part in parts for run in part.section.runs])
    names = {each.run_id: each.name for contest in contests for each in contest.candidates}
    runs = [
        {
            "id": run.run_id,
            "section": place,
            "name": names.get(run.run_id, run.spec.system),
            "dataset": run.dataset,
            "size": run.spec.size,
            "complete": run.complete,
            "failed": run.summary.errors,
            "questions": blocks.runs[run.run_id][0],
            "answers": blocks.runs[run.run_id][1],
            "count": blocks.runs[run.run_id][2],
        }
        for place, part in enumerate(parts)
        for run in part.section.runs
    ]
    return {
        "schema": 1,
        "sections": [
            {"title": part.section.title, "provenance": part.section.provenance, "tables": [*map(asdict, part.tables)]}
            for part in parts
        ],
        "contests": [_contest(contest, titles.index(contest.section)) for contest in contests],
        "positions": [row for place, part in enumerate(parts) for row in _positions(part.section, place, values)],
        "terms": asdict(Terms()),
        "runs": runs,
    }


def _positions(section: Section, place: int, values: Sequence[MetricValue]) -> list[dict[str, Any]]:
    """Scores by the fifth of the corpus in which the evidence stands: a row a run, metric and fifth that has facts."""
    names = ("dataset", "size", "metric", "label", "position", "mean", "low", "high", "facts")
    return [
        {"section": place} | {name: record[name] for name in names}
        for grid in make_grids(section.runs)
        for value in values
        for record in position_records(grid, value.name)
    ]


def _contest(contest: Contest, section: int) -> dict[str, Any]:
    return {
        "section": section,
        "dataset": contest.dataset,
        "size": contest.size,
        "metric": contest.metric,
        "unit": contest.unit,
        "units": contest.units,
        "questions": contest.questions,
        "candidates": [asdict(candidate) for candidate in contest.candidates],
        "pairs": {
            f"{first},{second}": [pair.difference, pair.standard_error, pair.low, pair.high]
            for (first, second), pair in contest.pairs.items()
        },
        "comparisons": contest.family.count,
        "all_pairs": contest.family.all_pairs,
        "adjusted": {f"{leader},{other}": p for (leader, other), p in contest.family.adjusted.items()},
    }


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
