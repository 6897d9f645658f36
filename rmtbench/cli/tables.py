"""Tables on the terminal, drawn by rich. Knows how they look, not what they mean."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table as Drawn

from rmtbench.analysis.recorded import Facts
from rmtbench.cli.shown_text import ShownText as Text
from rmtbench.plural import many
from rmtbench.report.first_screen import Block, legends
from rmtbench.report.tables import Chapter, Table

if TYPE_CHECKING:
    from rmtbench.analysis.contest import Contest, Terms
    from rmtbench.analysis.decision import Verdict

MOST_ROWS = 16
"""Of the one table of a first screen."""
FEW_ROWS = 5
"""Of each where there are several."""
MOST_BLOCKS = 4
"""Data sets and sizes that a first screen shows whole; of the others it has one line each."""
MOST_LINES = 20
"""One-line verdicts on a first screen."""


def draw_chapter(chapter: Chapter, *, anatomy: bool = False) -> RenderableType:
    """A chapter: its heading, what produced it, and its tables.

    Args:
        chapter: One part of a report.
        anatomy: Draw the tables that explain the paper's, too.
    """
    parts: list[RenderableType] = [Text(chapter.title, style="bold reverse"), _facts(chapter.provenance)]
    parts += [draw_table(table) for table in chapter.tables + (chapter.anatomy if anatomy else ())]
    return Group(*parts)


def draw_first_screen(blocks: Sequence[Block], results: str) -> RenderableType:
    """Verdict, what would settle it and one table: of one data set and size whole, of several in short.

    Args:
        blocks: The blocks of the report.
        results: The results folder, as commands name it.
    """
    parts: list[RenderableType] = []
    several = len(blocks) > 1
    if several:
        lines = [Padding(Text(block.short), (0, 0, 0, 2)) for block in blocks[:MOST_LINES]]
        more = len(blocks) - len(lines)
        parts += [Text(f"{len(blocks)} data sets, sizes and models", style="bold"), *lines]
        parts += [Text(f"  and {more} more: report.md")] if more else []
    for block in blocks[:MOST_BLOCKS]:
        parts += ["", *_block(block, FEW_ROWS if several else MOST_ROWS, results)]
    parts.append("")
    if len(blocks) > MOST_BLOCKS:
        names = "; ".join(block.title for block in blocks[MOST_BLOCKS:][:MOST_LINES])
        parts.append(Text(f"Not shown here but in report.md: {names}", style="dim"))
    parts += [Text(line, style="dim") for line in legends(blocks[:MOST_BLOCKS])]
    if several:
        parts.append(Text("Figures of different blocks must not be compared.", style="dim"))
    return Group(*parts)


def _block(block: Block, rows: int, results: str) -> Iterator[RenderableType]:
    use, *why = block.said
    yield Text(block.title, style="bold reverse").append(f" - {block.about}", style="not bold not reverse dim")
    yield Text(use, style="bold").append(f" {' '.join(why)}", style="not bold")
    if block.settle:
        yield Text(f"To settle it: {block.settle}")
    if block.here:
        yield _Command(f"{block.here} --results {shlex.quote(results)}")
    if block.unscored:
        yield Text(f"Scores are missing in {many(block.unscored, 'run')}. To make them from the answers on disk:")
        yield _Command(f"rmtbench score {shlex.quote(results)}")
    if rows == MOST_ROWS:
        yield ""
    yield draw_table(_shortened(block.table, rows))
    yield Text(block.comparable, style="dim")


def _shortened(table: Table, rows: int) -> Table:
    """A table's first rows, the system to use among them, and a note on the others."""
    if len(table.rows) <= rows:
        return table
    kept = list(table.rows[:rows])
    if not any(row[1] == "use" for row in kept):
        kept[-1:] = [row for row in table.rows if row[1] == "use"][:1] or kept[-1:]
    left = len(table.rows) - rows
    note = f"{many(left, 'more row')}: --full, or report.md"
    return replace(table, rows=tuple(kept), notes=(*table.notes, note))


@dataclass(frozen=True)
class _Command:
    """A command, broken only between its words, so that it can be copied as it stands."""

    text: str

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        lines = [""]
        for word in self.text.replace(" --", "\n--").split("\n"):
            if lines[-1] and cell_len(lines[-1]) + cell_len(word) + 7 > options.max_width:
                lines.append("")
            lines[-1] += f" {word}" if lines[-1] else word
        for place, line in enumerate(lines):
            indent, end = "    " if place else "  ", " \\" if place + 1 < len(lines) else ""
            yield Text(f"{indent}{line}{end}")


LESS = ("run", "warm-ups", "p90", "timed", "empty", "cut off", "logs", "models", "peak on device", "lowest", "highest")
"""Columns that a narrow terminal drops first, in this order; after them the last figures go."""
KEPT = ("top-k", "total")
"""Figures that are never dropped: they name the row, or sum the others up."""


def draw_table(table: Table) -> RenderableType:
    """A table under its title, with its caption and notes; a repeated first column is told once a block.

    A table that is too wide for the terminal loses columns, and a note names them. A row of words becomes a list.

    Args:
        table: The table; every text is shown literally.
    """
    return _Fitting(table)


@dataclass(frozen=True)
class _Fitting:
    """A table that is drawn once the terminal's width is known, so that no figure is cut."""

    table: Table

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        table, width = self.table, options.max_width
        if _width(table) <= width:
            yield _drawn(table, width)
        elif len(table.rows) == 1 and table.labels == len(table.columns):
            yield Group("", Text(table.title, style="bold"), Text(table.caption, style="dim"), "")
            yield _facts(tuple(zip(table.columns, table.rows[0], strict=True)))
        else:
            yield _drawn(_narrowed(table, width), width)


def _narrowed(table: Table, width: int) -> Table:
    """The table without the columns that matter least, as many as it takes to fit, and a note that names them."""
    names = list(enumerate(table.columns))
    figures = [place for place, name in reversed(names) if place >= table.labels and name not in KEPT]
    ranked = [place for less in table.less or LESS for place, name in names if place > 0 and name == less]
    ranked += [place for place in figures[:-1] if place not in ranked]
    cut = table
    for count in range(1, len(ranked) + 1):
        left = [place for place, _ in names if place not in ranked[:count]]
        dropped = [name for place, name in names if place not in left]
        cut = replace(
            table,
            columns=tuple(table.columns[place] for place in left),
            rows=tuple(tuple(row[place] for place in left) for row in table.rows),
            labels=sum(place < table.labels for place in left),
            notes=(
                *table.notes,
                f"not shown at this width: {'; '.join(dropped)} (see report.md or index.html)",
            ),
        )
        if _width(cut) <= width:
            break
    return cut


def _width(table: Table) -> int:
    """Columns of a terminal that the table takes where no figure is cut; words may go to the next line."""
    width = 0
    for place, heading in enumerate(table.columns):
        texts = [row[place] for row in table.rows]
        whole = place >= table.labels or table.less  # where columns are ranked, names stay on one line
        words = texts if whole else [word for text in texts for word in text.split()]
        width += 2 + max((cell_len(text) for text in [*words, *heading.split()]), default=0)
    return width


def _drawn(table: Table, width: int) -> RenderableType:
    natural = sum(2 + max(cell_len(text) for text in column) for column in zip(table.columns, *table.rows, strict=True))
    edge = bool(table.title)
    drawn = Drawn(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True, header_style="bold", show_edge=edge)
    for place, heading in enumerate(table.columns):
        figure = place >= table.labels
        # Where something must give way it is headings and words: rich would cut figures, too.
        words = [*(row[place] for row in table.rows), *heading.split()]
        fixed = max(map(cell_len, words)) if figure and natural > width else None
        side: Literal["right", "left"] = "right" if figure else "left"
        drawn.add_column(Text(heading), justify=side, vertical="bottom", overflow="fold", width=fixed)
    for row, first, last in _blocks(table):
        texts = [Text("" if place == 0 and not first else text) for place, text in enumerate(row)]
        drawn.add_row(*texts, end_section=last)
    notes = [Padding(Text(note, style="dim"), (0, 0, 0, 2)) for note in table.notes]
    head = [Text(table.title, style="bold"), Text(table.caption, style="dim")] if table.title else []
    return Group("", *head, drawn, *notes) if head else Group(drawn, *notes)


def draw_verdict(contest: Contest, terms: Terms, verdict: Verdict) -> RenderableType:
    """A verdict in a box, and all candidates under it; what all rag share is in one note, and in no name.

    Args:
        contest: What was measured.
        terms: What was asked for.
        verdict: What the rules made of it.
    """
    from rmtbench.report.verdicts import candidates_table, terms_text, verdict_lines, without_common

    contest, common = without_common(contest)
    first, *others = verdict_lines(contest, terms, verdict)
    said = Text("\n").join([Text(first, style="bold"), *map(Text, others), Text(terms_text(terms), style="dim")])
    title = Text(f"{contest.dataset} {contest.size}: {contest.section}")
    table = replace(candidates_table(contest, terms, verdict), notes=(common,) if common else ())
    return Group(Panel(said, title=title, title_align="left"), draw_table(table), "")


def _blocks(table: Table) -> Iterator[tuple[tuple[str, ...], bool, bool]]:
    """Rows, and whether each is the first and the last with its value of the first column."""
    keys = [row[0] for row in table.rows]
    for place, row in enumerate(table.rows):
        first = not table.grouped or place == 0 or keys[place - 1] != keys[place]
        last = place + 1 == len(keys) or keys[place + 1] != keys[place]
        yield row, first, table.grouped and last and len(set(keys)) < len(keys)


def _facts(facts: Facts) -> RenderableType:
    grid = Drawn.grid(padding=(0, 2))
    for name, value in facts:
        grid.add_row(Text(name, style="dim"), Text(value, overflow="fold"))
    return grid
