"""Learning curves from the logs of `rmtbench train`: their points, by millions of tokens read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from rmtbench.analysis.figure_data import Record
from rmtbench.errors import UserError

OVER, EVERY = 8, 4
"""Lines of a log that a point is the mean of, and lines from one point to the next."""


def read_log(path: Path) -> list[dict[str, Any]]:
    """All lines of a training's log.

    Args:
        path: The file.

    Raises:
        UserError: It is no such log.
    """
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for line in lines:
            _ = line["tokens"], line["stage"], line["metrics"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"no log of a training ({error})", where=str(path), remedy="name the log.jsonl that rmtbench train wrote"
        ) from error
    if not lines:
        raise UserError("an empty log", where=str(path), remedy="wait for the training's first line")
    return lines


def metrics_of(logs: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Every metric that any line has, in the order in which they appear."""
    return list(dict.fromkeys(name for lines in logs.values() for line in lines for name in line["metrics"]))


def points(lines: Sequence[Mapping[str, Any]], metric: str) -> tuple[list[float], list[float]]:
    """Millions of tokens read, and the mean of the metric over the last lines that have it."""
    told = [
        (line["tokens"] / 1e6, line["metrics"][metric]) for line in lines if line["metrics"].get(metric) is not None
    ]
    means = [
        sum(value for _, value in told[max(0, place - OVER + 1) : place + 1]) / min(place + 1, OVER)
        for place in range(0, len(told), EVERY)
    ]
    return [tokens for tokens, _ in told[::EVERY]], means


def stages(lines: Sequence[Mapping[str, Any]]) -> list[tuple[float, str]]:
    """Where each stage begins, in millions of tokens, and its name."""
    starts = [
        (after["tokens"] / 1e6, after["stage"])
        for before, after in pairwise(lines)
        if before["stage"] != after["stage"]
    ]
    return [(lines[0]["tokens"] / 1e6, lines[0]["stage"]), *starts]


def curve_records(metrics: Sequence[str], logs: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Record]:
    """All points that are drawn, a line each, for scripts.

    Args:
        metrics: Which figures of the logs.
        logs: Their lines, by what the legend calls them; an empty name where there is but one.
    """
    return [
        {"training": label, "metric": metric, "millions_of_tokens": tokens, "mean": round(mean, 6)}
        for label, lines in logs.items()
        for metric in metrics
        for tokens, mean in zip(*points(lines, metric), strict=True)
    ]
