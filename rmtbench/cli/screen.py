"""How wide tables are drawn: as the terminal, as ``COLUMNS`` says, or the same in every pipe."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

PIPED = 120
"""Columns of a pipe or file where ``COLUMNS`` does not say how many."""
NARROWEST = 20
"""Columns below which rich can draw no table."""


def table_console(*, stderr: bool = False) -> Console:
    """Return the console that draws tables.

    Args:
        stderr: Draw on standard error instead of standard output.
    """
    from rich.console import Console

    given = os.environ.get("COLUMNS", "")
    if re.fullmatch("[1-9][0-9]{0,3}", given):
        return Console(stderr=stderr, width=max(int(given), NARROWEST))
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else PIPED)
