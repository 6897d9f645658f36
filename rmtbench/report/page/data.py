"""All that the page knows before a block is unpacked: tables, contests with their verdicts, runs and colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rmtbench.analysis.contest import Contest, Terms
from rmtbench.analysis.decision import Decided
from rmtbench.analysis.figure_data import position_records
from rmtbench.analysis.metrics import shown_answer_values
from rmtbench.analysis.sections import Section
from rmtbench.core import MetricValue
from rmtbench.report.figures.style import look_of
from rmtbench.report.page.blocks import SLICE, Blocks
from rmtbench.report.tables import Chapter
from rmtbench.report.verdicts import verdict_lines


def page_data(chapters: Sequence[Chapter], decided: Sequence[Decided], blocks: Blocks) -> dict[str, Any]:
    """Return the page's data; passages are read and added to the blocks here.

    Args:
        chapters: All sections with their tables.
        decided: All contests by all metrics, under the usual terms.
        blocks: The questions and answers of all runs.
    """
    titles, terms = [each.title for each in chapters], Terms()
    values = shown_answer_values([run for each in chapters for run in each.section.runs])
    names = {each.run_id: each.name for contest, _ in decided for each in contest.candidates}
    return {
        "schema": 2,
        "sections": [
            {"title": each.title, "provenance": each.provenance, "tables": [*map(asdict, each.tables + each.anatomy)]}
            for each in chapters
        ],
        "contests": [
            contest_data(contest, titles.index(contest.section)) | {"verdict": verdict_lines(contest, terms, verdict)}
            for contest, verdict in decided
        ],
        "positions": [row for place, each in enumerate(chapters) for row in _positions(each.section, place, values)],
        "terms": asdict(terms),
        "runs": [row for place, each in enumerate(chapters) for row in _runs(each.section, place, names, blocks)],
        "looks": [_looks(each.section, names) for each in chapters],
        "corpora": blocks.cut_passages(),
        "draws": blocks.passages.draws,
        "slice": SLICE,
    }


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
        for grid in section.grids
        for value in values
        for record in position_records(grid, value.name)
    ]
