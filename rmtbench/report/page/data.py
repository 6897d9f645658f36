"""All that the page knows before a block is unpacked: tables, contests with their verdicts, runs and colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rmtbench.analysis.contest import Contest, Terms
from rmtbench.analysis.decision import decide
from rmtbench.analysis.figure_data import position_records
from rmtbench.analysis.grid import make_grids
from rmtbench.analysis.metrics import shown_answer_values
from rmtbench.analysis.sections import Section
from rmtbench.core import MetricValue
from rmtbench.report.figures.style import look_of
from rmtbench.report.page.blocks import SLICE, Blocks
from rmtbench.report.tables import Table
from rmtbench.report.verdicts import verdict_lines


@dataclass(frozen=True, slots=True)
class PagePart:
    """One section's part of the page: its runs and all its tables."""

    section: Section
    tables: tuple[Table, ...]


def page_data(parts: Sequence[PagePart], contests: Sequence[Contest], blocks: Blocks) -> dict[str, Any]:
    """Return the page's data; passages are read and added to the blocks here.

    Args:
        parts: All sections.
        contests: All contests by all metrics.
        blocks: The questions and answers of all runs.
    """
    titles = [part.section.title for part in parts]
    values = shown_answer_values([run for part in parts for run in part.section.runs])
    names = {each.run_id: each.name for contest in contests for each in contest.candidates}
    return {
        "schema": 2,
        "sections": [
            {"title": part.section.title, "provenance": part.section.provenance, "tables": [*map(asdict, part.tables)]}
            for part in parts
        ],
        "contests": [contest_data(contest, titles.index(contest.section)) for contest in contests],
        "positions": [row for place, part in enumerate(parts) for row in _positions(part.section, place, values)],
        "terms": asdict(Terms()),
        "runs": [row for place, part in enumerate(parts) for row in _runs(part.section, place, names, blocks)],
        "looks": [_looks(part.section, names) for part in parts],
        "corpora": blocks.cut_passages(),
        "draws": blocks.passages.draws,
        "slice": SLICE,
    }


def verdict_text(contest: Contest) -> tuple[str, ...]:
    """Return the verdict under the usual terms, as the terminal prints it: the first line is the answer."""
    return verdict_lines(contest, Terms(), decide(contest, Terms()))


def contest_data(contest: Contest, section: int) -> dict[str, Any]:
    """Return a contest as the page's rules take it.

    Args:
        contest: The contest.
        section: Position of its section.
    """
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
        "verdict": verdict_text(contest),
    }


def _runs(section: Section, place: int, names: dict[str, str], blocks: Blocks) -> list[dict[str, Any]]:
    """All runs, in the order of the tables; those that another run replaces there come last."""
    order = {name: at for at, name in enumerate(names)}
    return [
        {
            "id": run.run_id,
            "section": place,
            "name": names.get(run.run_id, run.spec.system),
            "dataset": run.dataset,
            "size": run.spec.size,
            "complete": run.complete,
            "failed": run.summary.errors,
        }
        | asdict(blocks.runs[run.run_id])
        for run in sorted(section.runs, key=lambda run: order.get(run.run_id, len(order)))
    ]


def _looks(section: Section, names: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Colour and marker of every system by its name, from the one place that all figures take them from."""
    found = {}
    for run in section.runs:
        look = look_of(run.system, run.spec.top_k)
        found[names.get(run.run_id, run.spec.system)] = (look.colour, look.marker)
    return found


def _positions(section: Section, place: int, values: Sequence[MetricValue]) -> list[dict[str, Any]]:
    """Scores by the fifth of the corpus in which the evidence stands: a row a run, metric and fifth that has facts."""
    names = ("dataset", "size", "metric", "label", "position", "mean", "low", "high", "facts")
    return [
        {"section": place} | {name: record[name] for name in names}
        for grid in make_grids(section.runs)
        for value in values
        for record in position_records(grid, value.name)
    ]
