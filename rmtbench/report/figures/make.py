"""From sections to figure files: which figures the results hold, each as PNG and SVG with the CSV of what it shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rmtbench.analysis import figure_data
from rmtbench.analysis.figure_data import Record
from rmtbench.analysis.sections import Grid, Section
from rmtbench.processes import mapped
from rmtbench.report.csv_files import to_csv
from rmtbench.report.figures import FOLDER, costs, scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from rmtbench.report.figures.style import Systems


@dataclass(frozen=True, slots=True)
class FigureKind:
    """One kind of figure.

    Attributes:
        name: Of its files.
        title: What it shows.
        records: What it shows of one grid; nothing where the grid does not hold it.
        draw: Draws a section's records under a label, with what its runs say of their systems, by name; loads
            matplotlib when it is called.
    """

    name: str
    title: str
    records: Callable[[Grid], list[Record]]
    draw: Callable[[Sequence[Record], str, Systems], Figure]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure of one section.

    Attributes:
        stem: Its files' name without ending, within the report's folder.
        title: What it shows.
        label: What the data are.
        chapter: Number of its section, from 0; None for trainings, which belong to none.
    """

    stem: str
    title: str
    label: str
    chapter: int | None


@contextmanager
def drawing(
    sections: Sequence[Section], logs: Sequence[Path] = (), *, processes: int = 1
) -> Iterator[Callable[[], tuple[tuple[Drawn, ...], dict[str, bytes]]]]:
    """Draw every figure that the runs hold the data of, while the caller does something else.

    Args:
        sections: Runs of different ones share no figure.
        logs: Of trainings, whose curves are one figure, behind the others.
        processes: At most so many draw at once: see `rmtbench.processes.mapped`. One draws when the figures are asked
            for.

    Yields:
        What waits for the figures and returns them, and their files by path within the report's folder.
    """
    drawn: list[Drawn] = []
    tasks: list[_Task] = []
    for chapter, section in enumerate(sections):
        grids = section.grids
        systems = {run.spec.system: run.system for run in reversed(section.runs)}
        for place, kind in enumerate(KINDS):
            if shown := [record for grid in grids for record in kind.records(grid)]:
                drawn.append(Drawn(f"{FOLDER}/{kind.name}-{chapter + 1}", kind.title, label_of(section), chapter))
                tasks.append(_Task(place, shown, drawn[-1].label, systems))
    with mapped(_draw, tasks, processes) as found:
        yield lambda: _finish(drawn, tasks, found, logs)


def _finish(
    drawn: Sequence[Drawn], tasks: Sequence[_Task], pictures: Iterable[tuple[bytes, bytes]], logs: Sequence[Path]
) -> tuple[tuple[Drawn, ...], dict[str, bytes]]:
    files: dict[str, bytes] = {}
    for figure, task, (png, svg) in zip(drawn, tasks, pictures, strict=True):
        files |= {
            f"{figure.stem}.png": png,
            f"{figure.stem}.svg": svg,
            f"{figure.stem}.csv": to_csv(task.records).encode(),
        }
    if not logs:
        return tuple(drawn), files
    curves, curve_files = training_figure(logs)
    return (*drawn, curves), files | curve_files


@dataclass(frozen=True, slots=True)
class _Task:
    """One figure to draw: the position of its kind, and what that kind's function takes."""

    kind: int
    records: Sequence[Record]
    label: str
    systems: Systems


def _draw(task: _Task) -> tuple[bytes, bytes]:
    from rmtbench.report.figures.style import house_style, to_bytes

    with house_style():
        return to_bytes(KINDS[task.kind].draw(task.records, task.label, task.systems))


def training_figure(logs: Sequence[Path]) -> tuple[Drawn, dict[str, bytes]]:
    """The learning curves of trainings in one figure, named by their folders.

    Args:
        logs: Their logs.

    Returns:
        The figure, and its files by path within the report's folder: PNG, SVG, and the CSV of its points.

    Raises:
        UserError: One is no log.
    """
    from rmtbench.analysis.learning_curves import curve_records, metrics_of, read_log
    from rmtbench.report.figures.style import house_style, to_bytes
    from rmtbench.report.figures.training import draw_training

    names = [path.resolve().parent.name if len(logs) > 1 else "" for path in logs]
    if len(set(names)) < len(names):
        names = [f"{name} {number}" for number, name in enumerate(names, start=1)]
    lines = {name: read_log(path) for name, path in zip(names, logs, strict=True)}
    figure = Drawn(f"{FOLDER}/training", "Learning curves", ", ".join(filter(None, names)), None)
    with house_style():
        png, svg = to_bytes(draw_training(metrics_of(lines), lines))
    return figure, {
        f"{figure.stem}.png": png,
        f"{figure.stem}.svg": svg,
        f"{figure.stem}.csv": to_csv(curve_records(metrics_of(lines), lines)).encode(),
    }


def label_of(section: Section) -> str:
    """A section's title, and what its figures are worth where they are no measurement of a model on real data."""
    run = section.runs[0]
    if run.random_weights:
        return f"{section.title}; random weights: scores mean nothing"
    if run.reads_other_english:
        return f"{section.title}; {run.spec.model} knows the miniature alone: scores mean nothing"
    return section.title


KINDS = (
    FigureKind("score", "Score by data set and system", figure_data.score_records, scores.draw_scores),
    FigureKind("score-by-length", "Score against context length", figure_data.length_records, scores.draw_lengths),
    FigureKind(
        "score-by-position",
        "Score against position of the evidence",
        figure_data.position_records,
        scores.draw_positions,
    ),
    FigureKind("time-by-size", "Time with and without cache", figure_data.time_records, costs.draw_times),
    FigureKind("memory-by-length", "Memory kept for answering", figure_data.memory_records, costs.draw_memory),
    FigureKind(
        "break-even", "Break-even: preparation and questions together", figure_data.cost_records, costs.draw_break_even
    ),
    FigureKind("frontier", "Accuracy against cost", figure_data.frontier_records, scores.draw_frontier),
)
