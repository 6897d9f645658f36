"""Draws learning curves from the logs of `rmtbench train`: what share was right, by millions of tokens read.

    python experiments/curves.py OUT.svg METRIC,METRIC LABEL=LOG [LABEL=LOG ...]

Several logs share the axes, so that a training with a curriculum stands beside one without.
"""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

OVER, EVERY = 8, 4
"""Lines of a log that a point is the mean of, and lines from one point to the next."""


def points(lines: list[dict[str, Any]], metric: str) -> tuple[list[float], list[float]]:
    """Millions of tokens read, and the mean of the metric over the last lines that have it."""
    told = [(line["tokens"] / 1e6, line["metrics"][metric]) for line in lines if metric in line["metrics"]]
    means = [
        sum(value for _, value in told[max(0, place - OVER + 1) : place + 1]) / min(place + 1, OVER)
        for place in range(0, len(told), EVERY)
    ]
    return [tokens for tokens, _ in told[::EVERY]], means


def stages(lines: list[dict[str, Any]]) -> list[tuple[float, str]]:
    """Where each stage begins, in millions of tokens, and its name."""
    starts = [
        (after["tokens"] / 1e6, after["stage"])
        for before, after in pairwise(lines)
        if before["stage"] != after["stage"]
    ]
    return [(lines[0]["tokens"] / 1e6, lines[0]["stage"]), *starts]


def draw(out: Path, metrics: list[str], logs: dict[str, Path]) -> None:
    """Draw one figure.

    Args:
        out: The SVG file.
        metrics: Which figures of the logs.
        logs: Their files, by what the legend calls them; an empty name where there is but one.
    """
    # Nothing in the file then depends on when and where it was drawn.
    mpl.rcParams.update(
        {"svg.hashsalt": "rmtbench", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    )
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    for label, path in logs.items():
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for metric in metrics:
            axes.plot(*points(lines, metric), label=f"{label} {metric}".strip(), linewidth=1.3)
        if len(logs) == 1:
            for start, name in stages(lines):
                axes.axvline(start, color="0.85", linewidth=0.8, zorder=0)
                axes.text(start, 1.02, name, rotation=60, fontsize=7, color="0.35")
    axes.set(xlabel="millions of tokens read", ylabel="share right in training", ylim=(0, 1))
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(out, metadata={"Date": None, "Creator": None} if out.suffix == ".svg" else None)


if __name__ == "__main__":
    named = [argument.partition("=") for argument in sys.argv[3:]]
    draw(Path(sys.argv[1]), sys.argv[2].split(","), {label: Path(path) for label, _, path in named})
