"""Tables as Markdown that GitHub draws. Whatever stands in a text, it stays in its cell."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rmtbench.analysis.sections import Facts
from rmtbench.report.tables import Table


def escape(text: str) -> str:
    """A text as Markdown shows it literally, on one line: pipes, stars, brackets and line breaks lose their meaning."""
    return re.sub(r"([\\|*`<\[])", r"\\\1", re.sub(r"\s+", " ", text))


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
    blocks = [heading(shown.title, 3), escape(shown.caption), "\n".join(lines)]
    if shown.notes:
        blocks.append("\n".join(f"- {escape(note)}" for note in shown.notes))
    return "\n\n".join(blocks)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
