"""Learning curves from the logs of `rmtbench train`: what share was right, by millions of tokens read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rmtbench.analysis.learning_curves import points, stages
from rmtbench.report.figures.style import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
DASHES = ("-", "--", "-.", ":")


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
