"""Tables on the terminal, drawn by rich. Knows how they look, not what they mean."""

from __future__ import annotations

from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table as Drawn
from rich.text import Text

from rmtbench.report.sections import Facts
from rmtbench.report.tables import Table
from rmtbench.report.write import Chapter


def draw_chapter(chapter: Chapter, *, anatomy: bool = False) -> RenderableType:
    """A chapter: its heading, what produced it, and its tables.

    Args:
        chapter: One part of a report.
        anatomy: Draw the tables that explain the paper's, too.
    """
    parts: list[RenderableType] = [Text(chapter.title, style="bold reverse"), _facts(chapter.provenance)]
    parts += [draw_table(table) for table in chapter.tables + (chapter.anatomy if anatomy else ())]
    return Group(*parts)


def draw_table(table: Table) -> RenderableType:
    """A table under its title, with its caption and notes; a repeated first column is told once a block.

    Args:
        table: The table; every text is shown literally.
    """
    drawn = Drawn(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True, header_style="bold")
    for place, heading in enumerate(table.columns):
        figure = place >= table.labels
        drawn.add_column(Text(heading), justify="right" if figure else "left", vertical="bottom", overflow="fold")
    for row, first, last in _blocks(table):
        texts = [Text("" if place == 0 and not first else text) for place, text in enumerate(row)]
        drawn.add_row(*texts, end_section=last)
    notes = [Padding(Text(note, style="dim"), (0, 0, 0, 2)) for note in table.notes]
    return Group("", Text(table.title, style="bold"), Text(table.caption, style="dim"), drawn, *notes)


def _blocks(table: Table) -> Iterator[tuple[tuple[str, ...], bool, bool]]:
    """Rows, and whether each is the first and the last with its value of the first column."""
    keys = [row[0] for row in table.rows]
    for place, row in enumerate(table.rows):
        first = place == 0 or keys[place - 1] != keys[place]
        last = place + 1 == len(keys) or keys[place + 1] != keys[place]
        yield row, first, last and len(set(keys)) < len(keys)


def _facts(facts: Facts) -> RenderableType:
    grid = Drawn.grid(padding=(0, 2))
    for name, value in facts:
        grid.add_row(Text(name, style="dim"), Text(value, overflow="fold"))
    return grid
