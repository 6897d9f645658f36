"""Tables as Markdown for GitHub. Texts are escaped, so that none leaves its cell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rmtbench.analysis.recorded import Facts
from rmtbench.plural import many
from rmtbench.report.first_screen import Block, legends
from rmtbench.report.tables import Chapter, Table

if TYPE_CHECKING:
    from rmtbench.report.figures.make import Drawn


_MARKS = re.compile(r"[\\|*`<\[~$]|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)")
"""Signs that GitHub's Markdown may not show; an underscore within a word and an ampersand alone are shown."""


def escape(text: str) -> str:
    """A text as Markdown shows it literally, on one line: what marks, links or names a character loses its meaning."""
    return _MARKS.sub(r"\\\g<0>", re.sub(r"\s+", " ", text))


def heading(text: str, level: int) -> str:
    """A heading."""
    return f"{'#' * level} {escape(text)}"


def facts(pairs: Facts) -> str:
    """Names and values as a list."""
    return "\n".join(f"- {escape(name)}: {escape(value)}" for name, value in pairs)


def table(shown: Table) -> str:
    """A table with its heading, caption and notes.

    Args:
        shown: The table; figures are set to the right.
    """
    rule = ["---"] * shown.labels + ["---:"] * (len(shown.columns) - shown.labels)
    lines = [_line([escape(text) for text in shown.columns]), _line(rule)]
    lines += [_line([escape(text) for text in row]) for row in shown.rows]
    head = [heading(shown.title, 3)] if shown.title else []
    blocks = [*head, *([escape(shown.caption)] if shown.caption else []), "\n".join(lines)]
    if shown.notes:
        blocks.append("\n".join(f"- {escape(note)}" for note in shown.notes))
    return "\n\n".join(blocks)


def first_screen(blocks: Sequence[Block]) -> str:
    """The first screen: each data set and size with its verdict, what would settle it, and its table."""
    parts = []
    if len(blocks) > 1:
        parts.append("\n".join(f"- {escape(block.short)}" for block in blocks))
    for block in blocks:
        use, *why = block.said
        parts += [
            heading(block.title, 2),
            escape(f"{block.about}."),
            " ".join([f"**{escape(use)}**", *map(escape, why)]),
        ]
        if block.settle:
            parts.append(escape(f"To settle it: {block.settle}"))
        if block.command:
            parts.append(f"```\n{block.command}\n```")
        parts += [table(block.table), escape(block.comparable)]
    return "\n\n".join([*parts, *map(escape, legends(blocks))])


def document(screen: Sequence[Block], chapters: Sequence[Chapter], drawn: Sequence[Drawn]) -> str:
    """The whole report: the first screen, then each section's tables and figures, and what produced them."""
    runs = sum(len(chapter.section.runs) for chapter in chapters)
    blocks = [
        heading("rmtbench report", 1),
        f"{many(runs, 'run')}. Runs under different headings must not be compared.",
        first_screen(screen),
        heading("All tables", 1),
    ]
    for number, chapter in enumerate(chapters):
        blocks.append(heading(chapter.title, 2))
        blocks += map(table, chapter.tables)
        blocks += [_image(figure) for figure in drawn if figure.chapter == number]
        blocks += map(table, chapter.anatomy)
    if trainings := [figure for figure in drawn if figure.chapter is None]:
        blocks += [heading("Trainings", 2), *map(_image, trainings)]
    blocks.append(heading("Provenance", 1))
    for chapter in chapters:
        blocks += [heading(f"What produced: {chapter.title}", 2), facts(chapter.provenance)]
    return "\n\n".join(blocks) + "\n"


def _image(figure: Drawn) -> str:
    return f"![{figure.title}]({figure.stem}.svg)"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
