"""Learning curves from the logs of `rmtbench train`: what share was right, by millions of tokens read."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmtbench.analysis.figure_data import Record
from rmtbench.errors import UserError
from rmtbench.report.figures.style import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OVER, EVERY = 8, 4
"""Lines of a log that a point is the mean of, and lines from one point to the next."""
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
DASHES = ("-", "--", "-.", ":")


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


def draw_training(metrics: Sequence[str], logs: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Draw learning curves; several logs share the axes, a dash a log, a colour a metric.

    Args:
        metrics: Which figures of the logs.
        logs: Their lines, by what the legend calls them; an empty name where there is but one.
    """
    figure, rows = panels(1, width=9, height=4)
    axes = rows[0][0]
    for number, (label, lines) in enumerate(logs.items()):
        for place, metric in enumerate(metrics):
            axes.plot(
                *points(lines, metric), label=f"{label} {metric}".strip(), linewidth=1.3,
                color=COLOURS[place % len(COLOURS)],
                linestyle=DASHES[(number if len(logs) > 1 else place // len(COLOURS)) % len(DASHES)],
            )  # fmt: skip
        if len(logs) == 1:
            named, room = -math.inf, 0.018 * axes.dataLim.width
            for start, name in stages(lines):
                axes.axvline(start, color="0.8", linewidth=0.8, zorder=0)
                if start - named >= room:  # a name too near to the last one would be printed over it
                    axes.text(start, 1.02, name, rotation=60, fontsize=7, color="0.35")
                    named = start
    axes.set(xlabel="millions of tokens read", ylabel="share right in training", ylim=(0, 1))
    axes.grid(visible=False)
    axes.legend(loc="lower right")
    return figure
