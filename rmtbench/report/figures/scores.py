"""Figures of scores: by system and size, by length of the corpus, by where the evidence stands, and against time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rmtbench.analysis.figure_data import Record
from rmtbench.analysis.metrics import LABELS
from rmtbench.analysis.published.figures import MODELS, TABLED_TOKENS
from rmtbench.report.figures.style import (
    BLACK,
    GREY,
    OTHER_LOOKS,
    SIZE_LOOKS,
    Systems,
    flow,
    log_axes,
    look_of,
    name_figure,
    panels,
    share_legend,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEAST_ROWS = 3
"""Systems that a figure has room for, however few it shows: its title and axis would leave none for a panel."""
MOST_INCOMPLETE = 4
"""Runs that a figure names because they are incomplete."""
NAMED = ("o1-preview-2024-09-12", "gpt-4o-2024-05-13", "gemini-1.5-pro", "llama-3.1-8b-instruct", "dbrx-instruct")
"""Published curves that have a name in the figure; the others are the grey around them."""


def draw_scores(records: Sequence[Record], label: str, systems: Systems) -> Figure:
    """Scores of all systems, a panel a dataset, a marker a size, with intervals where they are defined."""
    datasets = values(records, "dataset")
    labels = values(records, "label")
    figure, rows = panels(len(datasets), width=4.0, height=1.2 + 0.28 * max(LEAST_ROWS, len(labels)))
    for axes, dataset in zip(rows[0], datasets, strict=True):
        own = where(records, dataset=dataset)
        sizes = values(own, "size")
        for number, size in enumerate(sizes):
            marker, fill = SIZE_LOOKS.get(size, OTHER_LOOKS[number % len(OTHER_LOOKS)])
            shift = min(0.18, 0.8 / len(sizes)) * (number - (len(sizes) - 1) / 2)
            for record in where(own, size=size):
                place = labels.index(record["label"]) + shift
                look = look_of(systems[record["system"]], record["top_k"])
                _interval(axes, record, place, look.colour)
                face = look.colour if fill == 1 else "white" if fill == 0 else (*_rgb(look.colour), fill)
                axes.plot(record["mean"], place, marker, color=look.colour, markerfacecolor=face, clip_on=False)
            axes.plot([], [], marker, color=BLACK, label=size, markerfacecolor=str(1 - fill))
        axes.set(title=dataset, xlim=(0, 1.0), ylim=(len(labels) - 0.4, -0.6), xlabel=_heading(records))
        axes.set_yticks(range(len(labels)), labels if axes is rows[0][0] else [""] * len(labels))
    share_legend(figure)
    name_figure(figure, "Score by data set and system", f"{label}; {_bars(records)}{_incomplete(records)}")
    return figure


def draw_lengths(records: Sequence[Record], label: str, systems: Systems) -> Figure:
    """Scores against the corpus's length, a panel a dataset; last, published curves, which are of other data."""
    datasets = values(records, "dataset")
    figure, rows = panels(len(datasets) + 1, height=3.9)
    for axes, dataset in zip(rows[0], datasets, strict=False):
        own = [each for each in where(records, dataset=dataset) if each["tokens"] is not None]  # None: not counted
        for name in values(own, "label"):
            line = sorted(where(own, label=name), key=lambda record: record["tokens"])
            look = look_of(systems[line[0]["system"]], line[0]["top_k"])
            tokens, means = [each["tokens"] for each in line], [each["mean"] for each in line]
            axes.plot(tokens, means, color=look.colour, marker=look.marker, linestyle=look.line, label=name)
            bars = [each for each in line if each["low"] is not None]
            axes.vlines([b["tokens"] for b in bars], [b["low"] for b in bars], [b["high"] for b in bars], look.colour)
        log_axes(axes, "x")
        axes.set(title=dataset, ylim=(0, 1.02), xlabel="tokens of the corpus", ylabel=_heading(records))
        token_ticks(axes, [record["tokens"] for record in own])
    share_legend(figure)
    _published(rows[0][-1])
    name_figure(figure, "Score against context length", f"{label}; {_bars(records)}{_incomplete(records)}")
    return figure


def draw_positions(records: Sequence[Record], label: str, systems: Systems) -> Figure:
    """Scores by fifth of the corpus in which the evidence stands, a panel a dataset and size."""
    places = list(dict.fromkeys((record["dataset"], record["size"]) for record in records))
    figure, flat = flow(len(places))
    for axes, (dataset, size) in zip(flat, places, strict=True):
        own = where(records, dataset=dataset, size=size)
        names = values(own, "label")
        for number, name in enumerate(names):
            line = where(own, label=name)
            look = look_of(systems[line[0]["system"]], line[0]["top_k"])
            shift = 0.012 * (number - (len(names) - 1) / 2)
            spots = [each["position"] + shift for each in line]
            axes.plot(spots, [each["mean"] for each in line], color=look.colour, marker=look.marker, label=name)
            bars = [(spot, each) for spot, each in zip(spots, line, strict=True) if each["low"] is not None]
            axes.vlines([s for s, _ in bars], [b["low"] for _, b in bars], [b["high"] for _, b in bars], look.colour)
        axes.set(title=f"{dataset}, {size}", xlim=(0, 1), ylim=(0, 1.02), ylabel=_heading(records))
        axes.set_xticks((0, 0.2, 0.4, 0.6, 0.8, 1), ("first", "", "", "", "", "last"))
        axes.set_xlabel("where the fact stands in the corpus, in fifths")
    share_legend(figure)
    name_figure(figure, "Score against position of the evidence", f"{label}; {_bars(records)}")
    return figure


def draw_frontier(records: Sequence[Record], label: str, systems: Systems) -> Figure:
    """Score against time, a panel a dataset and size; the line joins what nothing else in use beats in both."""
    places = list(dict.fromkeys((record["dataset"], record["size"]) for record in records))
    figure, flat = flow(len(places))
    for axes, (dataset, size) in zip(flat, places, strict=True):
        own = where(records, dataset=dataset, size=size)
        best = sorted((r for r in own if r["on_frontier"]), key=lambda r: r["mean_seconds_with_preparation"])
        spots = [each["mean_seconds_with_preparation"] for each in best]
        axes.step(spots, [each["mean"] for each in best], where="post", color="0.6", linewidth=1, zorder=0)
        for record in own:
            look = look_of(systems[record["system"]], record["top_k"])
            spot = (record["mean_seconds_with_preparation"], record["mean"])
            face = look.colour if record["on_frontier"] else "white"
            name = record["label"].partition(" top-")[0]
            axes.plot(*spot, look.marker, color=look.colour, markerfacecolor=face, clip_on=False, label=name)
            if record["top_k"] is not None:
                axes.annotate(str(record["top_k"]), spot, (4, -8), textcoords="offset points", fontsize=6.5)
        log_axes(axes, "x")
        axes.set(title=f"{dataset}, {size}", ylim=(0, 1.05))
        axes.set(xlabel="seconds a question, preparation shared", ylabel=_heading(records))
    share_legend(figure)
    told = f"{label}; filled: on the frontier; numbers: top-k{_incomplete(records)}"
    name_figure(figure, "Accuracy against cost", told)
    return figure


def _published(axes: Axes) -> None:
    for row in MODELS:
        named = row.model in NAMED
        spots = [(tokens, score) for tokens, score in row.scores.items() if named or tokens <= TABLED_TOKENS]
        tokens, scores = [spot for spot, _ in spots], [score for _, score in spots]
        axes.plot(tokens, scores, color=BLACK if named else "0.8", linewidth=1 if named else 0.8)
        if named:
            side = {"o1-preview-2024-09-12": 6, "gpt-4o-2024-05-13": -4}.get(row.model, 0)
            axes.annotate(row.model, spots[-1], (3, side), textcoords="offset points", fontsize=6, va="center")
    log_axes(axes, "x")
    axes.set(ylim=(0, 1.02), xlabel="tokens of retrieved context", ylabel="judged correctness")
    axes.set_xlim(1_500, 30_000_000)
    axes.set_xticks((2e3, 8e3, 32e3, 125e3, 512e3, 2e6), ("2k", "8k", "32k", "125k", "512k", "2M"))
    axes.set_title("published, other data and scorer:\n20 models (arXiv 2411.03538, table S3)", color=GREY)


def _interval(axes: Axes, record: Record, place: float, colour: str) -> None:
    if record["low"] is not None:
        axes.hlines(place, record["low"], record["high"], colour, linewidth=1.1)


def token_ticks(axes: Axes, tokens: Sequence[float]) -> None:
    """Mark the lengths that were measured, such as ``21k``, where there is room for them."""
    spots: list[float] = []
    for each in sorted(tokens):
        if not spots or each > 1.3 * spots[-1]:
            spots.append(each)
    axes.set_xticks(spots, [f"{spot / 1000:.0f}k" if spot >= 1000 else f"{spot:.0f}" for spot in spots])


def _rgb(colour: str) -> tuple[float, float, float]:
    return tuple(int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))  # type: ignore[return-value]


def _heading(records: Sequence[Record]) -> str:
    return LABELS[records[0]["metric"]]


def _bars(records: Sequence[Record]) -> str:
    if any(record["low"] is not None for record in records):
        return "bars: 95 % intervals"
    return "no intervals: one draw" if all(record["draws"] == 1 for record in records) else "no intervals"


def _incomplete(records: Sequence[Record]) -> str:
    """Name the runs whose scores are too low because they go on, as a mark does in tables."""
    runs = list(dict.fromkeys(f"{each['label']} {each['size']}" for each in records if not each["complete"]))
    more = f" and {len(runs) - MOST_INCOMPLETE} more" if len(runs) > MOST_INCOMPLETE else ""
    told = f"{', '.join(runs[:MOST_INCOMPLETE])}{more}"
    return f"; incomplete, questions without an answer count as zero: {told}" if runs else ""


def values(records: Sequence[Record], name: str) -> list[str]:
    """All values of a field, in the order in which they are met."""
    return list(dict.fromkeys(record[name] for record in records))


def where(records: Sequence[Record], **wanted: str) -> list[Record]:
    """The records whose fields have these values."""
    return [record for record in records if all(record[name] == value for name, value in wanted.items())]
