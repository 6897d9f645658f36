"""Record a terminal session as an SVG: ``python -m experiments.terminal``.

Runs `rmtbench report results/handbook` on a copy of the committed runs, and draws what it printed, in its colours. The
picture is `docs/figures/terminal.svg`, on the README's first screen. It needs no font from the net.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).parent.parent
OUT = ROOT / "docs" / "figures" / "terminal.svg"
RUNS = Path("results") / "handbook"
COMMAND = ("report", RUNS.as_posix())
COLUMNS, LINES = 100, 42
"""Columns of the terminal, and the most lines in the picture. A wider table makes a wider picture."""
NET = re.compile(r"@font-face\s*\{.*?\}\s*", re.DOTALL)
FONTS = "Menlo, Consolas, DejaVu Sans Mono, monospace"


def replay() -> str:
    """Run the command on a copy of the runs, and return what it printed with its colours.

    Raises:
        subprocess.CalledProcessError: The command failed.
    """
    console = (sys.executable, "-c", "from rmtbench.cli.main import main; main()")
    colours = {"FORCE_COLOR": "1", "COLUMNS": str(COLUMNS), "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    environment = {**os.environ, **colours, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / RUNS, Path(folder) / RUNS)
        ended = subprocess.run(  # noqa: S603 - our own command
            [*console, *COMMAND], cwd=folder, env=environment, capture_output=True, text=True, check=True
        )
    return ended.stdout


def picture(printed: str, command: str = "rmtbench " + " ".join(COMMAND)) -> str:
    """Return the SVG of a session: the command, and the first lines of what it printed."""
    lines = printed.rstrip("\n").splitlines()
    shown = [*lines[: LINES - 1], "…"] if len(lines) > LINES else lines
    texts = [Text.from_ansi(line.rstrip()) for line in shown]
    width = max([COLUMNS, *(text.cell_len for text in texts)])
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.assemble(("$ ", "green"), (command, "bold")))
    for text in texts:
        console.print(text, no_wrap=True, overflow="crop")
    svg = console.export_svg(title="rmtbench", theme=MONOKAI, unique_id="rmtbench")
    return NET.sub("", svg).replace("Fira Code, monospace", FONTS).replace("Fira Code", FONTS)


if __name__ == "__main__":
    OUT.write_text(picture(replay()), encoding="utf-8")
