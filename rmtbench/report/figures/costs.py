"""Figures of what answers cost: time with and without cache, bytes kept, and total cost against questions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from rmtbench.analysis.break_even import CostLine, Crossing, crossings, first_cheaper
from rmtbench.analysis.figure_data import COSTS_FOR, Record, mean_tokens
from rmtbench.report.figures.scores import token_ticks, values, where
from rmtbench.report.figures.style import (
    COLOURS,
    ORANGE,
    Systems,
    flow,
    log_axes,
    look_of,
    name_figure,
    panels,
    share_legend,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

APART = 1.5
"""How many times as many questions a crossing has that gets a number beside the one before it."""


def draw_times(records: Sequence[Record], label: str, systems: Systems) -> Figure:
    """Seconds a question by size, a panel a dataset: without cache, with it, and with its preparation shared."""
    datasets = values(records, "dataset")
    figure, rows = panels(len(datasets), height=3.5)
    for axes, dataset in zip(rows[0], datasets, strict=True):
        own = where(records, dataset=dataset)
        sizes = values(own, "size")
        bars = []
        for name in values(own, "label"):
            system = systems[where(own, label=name)[0]["system"]]
            bars.append((name, "mean_seconds", COLOURS[system.colour], "//" if system.holds_cache else ""))
            if system.holds_cache:
                bars.append((f"{name}, with preparation", "mean_seconds_with_preparation", ORANGE, ".."))
        width = 0.8 / len(bars)
        for number, (name, field, colour, hatch) in enumerate(bars):
            for place, size in enumerate(sizes):
                for record in where(own, label=name.partition(", with preparation")[0], size=size):
                    spot = place + width * (number - (len(bars) - 1) / 2)
                    axes.bar(
                        spot, record[field], width * 0.92, color=colour, hatch=hatch, edgecolor="white", linewidth=0,
                    )  # fmt: skip
                    axes.annotate(
                        f"{record[field]:.2g}", (spot, record[field]), (0, 2), textcoords="offset points",
                        ha="center", fontsize=7,
                    )  # fmt: skip
            axes.bar(0, 0, color=colour, hatch=hatch, edgecolor="white", linewidth=0, label=name)
        log_axes(axes, "y")
        axes.set(title=dataset, ylabel="seconds a question (log)")
        tokens = [mean_tokens(own, size) for size in sizes]
        axes.set_xticks(
            range(len(sizes)),
            [
                size if count is None else f"{size}\n{count / 1000:.0f}k tokens"
                for size, count in zip(sizes, tokens, strict=True)
            ],
        )
        axes.grid(visible=False, axis="x")
        known = [record[field] for record in own for _, field, _, _ in bars if record[field]]
        axes.set_ylim(10 ** math.floor(math.log10(min(known))), 1.8 * max(known))
    share_legend(figure)
    name_figure(figure, "Time with and without cache", label)
    return figure


def draw_memory(records: Sequence[Record], label: str, systems: Systems) -> Figure:
    """Bytes kept for answering against the corpus's length, a panel a dataset."""
    datasets = values(records, "dataset")
    figure, rows = panels(len(datasets), height=3.5)
    for axes, dataset in zip(rows[0], datasets, strict=True):
        own = [each for each in where(records, dataset=dataset) if each["tokens"] is not None]  # None: not counted
        for name in values(own, "label"):
            line = sorted(where(own, label=name), key=lambda record: record["tokens"])
            look = look_of(systems[line[0]["system"]], None)
            kept = [each["kept_bytes"] / 2**20 for each in line]
            axes.plot(
                [each["tokens"] for each in line], kept, color=look.colour, marker=look.marker, linestyle=look.line,
                label=name,
            )  # fmt: skip
        log_axes(axes, "x")
        log_axes(axes, "y")
        axes.set(title=dataset, xlabel="tokens of the corpus", ylabel="MiB kept (log)")
        token_ticks(axes, [record["tokens"] for record in own])
        axes.margins(0.15)
    share_legend(figure)
    name_figure(figure, "Memory kept for answering", label)
    return figure


def draw_break_even(records: Sequence[Record], label: str, systems: Systems) -> Figure:
    """Total time against questions about one corpus, a panel a dataset and size; circles: where two lines cross."""
    places = list(dict.fromkeys((record["dataset"], record["size"]) for record in records))
    figure, flat = flow(len(places), height=3.4)
    for axes, (dataset, size) in zip(flat, places, strict=True):
        own = where(records, dataset=dataset, size=size)
        lines = []
        caches = {record["label"] for record in own if systems[record["system"]].holds_cache}
        for name in values(own, "label"):
            line = where(own, label=name)
            lines.append(CostLine(name, line[0]["preparation_seconds"], line[0]["mean_seconds"]))
            look = look_of(systems[line[0]["system"]], line[0]["top_k"])
            axes.plot(
                [each["questions"] for each in line], [each["total_seconds"] for each in line], color=look.colour,
                marker=look.marker, markevery=4, markersize=4, linestyle=look.line, label=name,
            )  # fmt: skip
        log_axes(axes, "x")
        log_axes(axes, "y")
        last = 0.0
        for point in (each for each in crossings(lines) if _is_marked(each, caches)):
            spot = (point.questions, point.cost)
            axes.plot(*spot, "o", color="black", markerfacecolor="none", markersize=9)
            if spot[0] > APART * last:
                axes.annotate(
                    f"{first_cheaper(spot[0])}", spot, (0, 7), textcoords="offset points", ha="right", fontsize=8
                )
                last = spot[0]
        axes.set(title=f"{dataset}, {size}", xlabel="questions about one corpus", ylabel="seconds in all")
    share_legend(figure)
    name_figure(
        figure, "Break-even: preparation and questions together", f"{label}; circled: where the cache breaks even"
    )
    return figure


def _is_marked(point: Crossing, caches: AbstractSet[str]) -> bool:
    """Whether a cache and something else cross here, within the numbers of questions that are drawn."""
    return bool(caches & {point.below, point.above}) and point.questions <= COSTS_FOR[-1]
