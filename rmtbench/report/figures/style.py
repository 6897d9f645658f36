"""How all figures look: colours that colour-blind readers tell apart, and a marker and a line for those who see none.

The same records give the same bytes with the same matplotlib: nothing in a file tells when or where it was drawn.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any, cast

from rmtbench.core import Colour, SystemTraits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008).
BLACK, GREY, ORANGE, SKY, GREEN = "#000000", "#7f7f7f", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE = "#B8A800", "#0072B2", "#D55E00", "#CC79A7"

COLOURS: Mapping[Colour, str] = {
    "black": BLACK,
    "grey": GREY,
    "blue": BLUE,
    "vermilion": VERMILION,
    "green": GREEN,
    "purple": PURPLE,
    "orange": ORANGE,
    "sky": SKY,
    "yellow": YELLOW,
}
"""By the names that systems call them."""

Systems = Mapping[str, SystemTraits]
"""What runs say of their systems, by the system's name."""

_LINES: dict[int, Any] = {1: ":", 3: "-.", 5: "--", 10: "-", 20: (0, (8, 2))}

SIZE_LOOKS = {"smoke": ("x", 0.0), "small": ("o", 0.0), "medium": ("s", 0.5), "large": ("D", 1.0)}
"""Marker of a size, and how dark it is filled."""
OTHER_LOOKS = (("^", 0.0), ("o", 1.0), ("v", 0.5), ("s", 0.0), ("P", 1.0), ("d", 0.5), ("<", 0.0), (">", 1.0))
"""Of sizes in tokens, in their order."""

LETTERS_AN_INCH = 12.5
"""Of a title."""
TOLD_LINES, LINE_INCHES = 2, 0.17
"""Lines below a title that a figure has room for, and how much higher every further one makes it."""

PNG_DPI = 130

SETTINGS: dict[str, Any] = {
    "svg.hashsalt": "rmtbench",
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.parse_math": False,  # names of data sets are texts, not formulas
    "axes.titlesize": 9.5,
    "axes.titley": 1.0,  # else looked for anew at every draw
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "legend.handlelength": 3.4,
    "lines.linewidth": 1.4,
    "lines.markersize": 5.5,
    "hatch.linewidth": 0.6,
}


@dataclass(frozen=True, slots=True)
class Look:
    """Of one row of a table.

    Attributes:
        colour: Of line and marker.
        marker: Its shape: one a system.
        line: Its dashes: one a top-k.
    """

    colour: str
    marker: str
    line: Any


def look_of(system: SystemTraits, top_k: int | None) -> Look:
    """Return how a system is drawn. Systems that say nothing of it share one look, and the legend names them.

    Args:
        system: What its runs say of it.
        top_k: Its number of chunks; None without.
    """
    line = "-" if top_k is None else _LINES.get(top_k, (0, (3, 1, 1, 1, 1, 1)))
    return Look(COLOURS[system.colour], system.marker, line)


@contextmanager
def house_style() -> Iterator[None]:
    """Draw and save figures as this module has it while the block lasts, whatever else the process draws."""
    import matplotlib as mpl

    with mpl.rc_context(cast("Any", SETTINGS)):  # its stubs want the literal keys
        yield


def panels(columns: int, rows: int = 1, *, width: float = 4.2, height: float = 3.4) -> tuple[Figure, list[list[Axes]]]:
    """A figure of equal panels.

    Args:
        columns: Panels side by side.
        rows: Rows of them.
        width: Of a panel, in inches.
        height: Of a panel, in inches.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(5.5, width * columns), height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, [list(row) for row in axes]


def flow(places: int, *, height: float = 3.2) -> tuple[Figure, list[Axes]]:
    """Return a figure of so many panels, at most three in a line, and its panels in order.

    Args:
        places: How many.
        height: Of a panel, in inches.
    """
    wide = min(3, places)
    figure, rows = panels(wide, -(-places // wide), height=height)
    flat = [axes for row in rows for axes in row]
    for axes in flat[places:]:
        axes.set_axis_off()
    return figure, flat[:places]


def log_axes(axes: Axes, which: str) -> None:
    """Make an axis logarithmic, with plain numbers at its ticks: 0.1, 1, 10.

    Args:
        axes: The panel.
        which: ``x`` or ``y``.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set(**{f"{which}scale": "log"})
    axis = getattr(axes, f"{which}axis")
    axis.set_minor_locator(NullLocator())
    axis.set_major_locator(LogLocator(numticks=6))
    axis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:,.10g}"))


def share_legend(figure: Figure) -> None:
    """Put one legend below all panels, each name once and six names in a line."""
    named: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            named.setdefault(name, handle)
    figure.legend(list(named.values()), list(named), loc="outside lower left", ncols=6)


def name_figure(figure: Figure, title: str, label: str) -> None:
    """Give a figure its title, and below it what the data are: official, miniature, or of random weights.

    Args:
        figure: The figure.
        title: What it shows.
        label: The section's title and what its figures are worth.
    """
    told = wrap(label, int(figure.get_figwidth() * LETTERS_AN_INCH))
    figure.set_figheight(figure.get_figheight() + LINE_INCHES * max(0, len(told) - TOLD_LINES))
    figure.suptitle("\n".join([title, *told]), fontsize=10, x=0.01, ha="left")


def to_bytes(figure: Figure) -> tuple[bytes, bytes]:
    """A figure as PNG and as SVG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    png, svg = io.BytesIO(), io.BytesIO()
    # What takes longest is finding room for all texts: once is enough for both.
    layout = figure.get_layout_engine()
    if layout is not None:
        layout.execute(figure)
        figure.set_layout_engine("none")
    figure.dpi = PNG_DPI
    # The canvases draw once; savefig draws twice, the first time for a layout that is done already.
    FigureCanvasAgg(figure).print_png(png, metadata={"Software": None})  # type: ignore[no-untyped-call]
    FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None, "Creator": None})  # type: ignore[no-untyped-call]
    return png.getvalue(), svg.getvalue()
