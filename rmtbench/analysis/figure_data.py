"""What each figure shows, as records: all that is drawn is in its CSV file. Knows no matplotlib."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from statistics import fmean
from typing import Any

from rmtbench.analysis.break_even import cost_line
from rmtbench.analysis.pairs import CONFIDENCE
from rmtbench.analysis.run_figures import FIFTHS, RunFigures
from rmtbench.analysis.score_interval import Ends, interval_by_cluster, score_interval
from rmtbench.analysis.sections import Grid, Row
from rmtbench.analysis.stats.clustered import standard_error_of_sums

Record = dict[str, Any]
"""One line by column: texts, numbers, truth values, or None where there is no figure."""

METRIC = "f1"
"""What score figures show."""
COSTS_FOR = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)
"""Numbers of questions about one corpus."""


def score_records(grid: Grid) -> list[Record]:
    """Mean score of every scored run, with its 95 % interval where it is defined, and the length of its corpus."""
    records = []
    for size, row, run in _shown(grid):
        mean = run.summary.means.get(METRIC)
        if not run.scored or mean is None:
            continue
        # Of one draw the interval would say nothing of other documents, and a figure has no room to say so.
        ends = score_interval(run, METRIC) if run.units > 1 else None
        records.append(
            _who(grid, size, row, run)
            | {
                "tokens": six_digits(run.summary.corpus_tokens),
                "metric": METRIC,
                "mean": six_digits(mean),
                **_interval(ends),
                "draws": run.summary.draws,
                "questions": run.summary.expected,
            }
        )
    return records


def length_records(grid: Grid) -> list[Record]:
    """The same of systems that were run at two lengths or more."""
    records = score_records(grid)
    sizes: dict[str, set[str]] = {}
    for record in records:
        sizes.setdefault(record["label"], set()).add(record["size"])
    return [record for record in records if len(sizes[record["label"]]) > 1]


def position_records(grid: Grid, metric: str = METRIC) -> list[Record]:
    """Mean score by fifth of the corpus in which a supporting fact stands; of each retrieval the most chunks."""
    able = [(size, row, run) for size, row, run in _shown(grid) if row.traits.in_use and run.scored and run.complete]
    most: dict[tuple[str, str], int] = {}
    for size, row, _ in able:
        most[size, row.system] = max(most.get((size, row.system), 0), row.top_k or 0)
    records = []
    for size, row, run in able:
        fifths = run.by_position.get(metric, {})
        if (row.top_k or 0) < most[size, row.system]:
            continue
        for fifth in sorted(fifths):
            sums = fifths[fifth]
            facts = sum(number for _, number in sums.values())
            error = standard_error_of_sums(list(sums.values()))
            records.append(
                _who(grid, size, row, run)
                | {
                    "position": six_digits((fifth + 0.5) / FIFTHS),
                    "metric": metric,
                    "mean": six_digits(math.fsum(total for total, _ in sums.values()) / facts),
                    **_interval(interval_by_cluster(run, metric, sums, error)),
                    "draws": len(sums) if run.unit == "draw" else run.summary.draws,
                    "facts": facts,
                }
            )
    return records


def time_records(grid: Grid) -> list[Record]:
    """Seconds a question with and without cache, and with the preparation shared over the questions asked.

    Axes of time are logarithmic: a run that took 0 seconds is in no figure of times.
    """
    return [
        _who(grid, size, row, run)
        | {
            "tokens": six_digits(run.summary.corpus_tokens),
            "mean_seconds": six_digits(run.summary.mean_seconds["total"]),
            "mean_seconds_with_preparation": six_digits(run.seconds_with_preparation),
            "timed": run.summary.timed,
        }
        for size, row, run in _shown(grid)
        if row.traits.twin and run.summary.mean_seconds["total"]
    ]


def memory_records(grid: Grid) -> list[Record]:
    """Bytes kept for answering by length of the corpus, of systems that keep any; an index serves every top-k."""
    records: dict[tuple[str, Row], Record] = {}
    for size, row, run in _shown(grid):
        if run.summary.kept_bytes:
            kept = {"tokens": six_digits(run.summary.corpus_tokens), "kept_bytes": six_digits(run.summary.kept_bytes)}
            any_top_k = replace(row, top_k=None)
            records.setdefault((size, any_top_k), _who(grid, size, row, run) | {"label": grid.label(row)} | kept)
    return list(records.values())


def cost_records(grid: Grid) -> list[Record]:
    """Total seconds of so many questions about one corpus, preparation included; at least two systems a size."""
    records = []
    for size in grid.sizes:
        lines = [
            (row, run, line)
            for row, run in grid.at(size)
            if run is not None and row.traits.in_use and (line := cost_line(grid.full_label(row), run)) and line.each
        ]
        if len(lines) > 1:
            records += [
                _who(grid, size, row, run)
                | {
                    "preparation_seconds": six_digits(line.fixed),
                    "mean_seconds": six_digits(line.each),
                    "questions": questions,
                    "total_seconds": six_digits(line.total(questions)),
                }
                for row, run, line in lines
                for questions in COSTS_FOR
            ]
    return records


def frontier_records(grid: Grid) -> list[Record]:
    """Score against seconds a question, and whether no other system in use is both faster and better."""
    records: list[Record] = []
    for size in grid.sizes:
        points = [
            (row, run, mean, seconds)
            for row, run in grid.at(size)
            if run is not None
            and run.scored
            and (mean := run.summary.means.get(METRIC)) is not None
            and (seconds := run.seconds_with_preparation)
        ]
        for row, run, mean, seconds in points:
            beaten = any(
                other.traits.in_use and (best, -time) != (mean, -seconds) and best >= mean and time <= seconds
                for other, _, best, time in points
            )
            records.append(
                _who(grid, size, row, run)
                | {
                    "metric": METRIC,
                    "mean": six_digits(mean),
                    "mean_seconds_with_preparation": six_digits(seconds),
                    "on_frontier": row.traits.in_use and not beaten,
                }
            )
    return records


def _shown(grid: Grid) -> Iterator[tuple[str, Row, RunFigures]]:
    return ((size, row, run) for size in grid.sizes for row, run in grid.at(size) if run is not None)


def _who(grid: Grid, size: str, row: Row, run: RunFigures) -> Record:
    return {
        "dataset": grid.name,
        "size": size,
        "system": row.system,
        "top_k": row.top_k,
        "label": grid.full_label(row),
        "run_id": run.run_id,
        "complete": run.complete,
    }


def _interval(ends: Ends | None) -> Record:
    """Both ends of a 95 % interval and its level; nothing where there is none."""
    low, high = ends or (None, None)
    return {"low": six_digits(low), "high": six_digits(high), "level": None if ends is None else CONFIDENCE}


def six_digits(value: float | None) -> float | None:
    """Return six significant digits: more would be noise of the clock."""
    return None if value is None else float(f"{value:.6g}")


def mean_tokens(records: list[Record], size: str) -> float | None:
    """Mean tokens of a size's corpora; None where no record has them."""
    known = [record["tokens"] for record in records if record["size"] == size and record.get("tokens") is not None]
    return fmean(known) if known else None
