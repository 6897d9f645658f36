"""Draws learning curves from the logs of `rmtbench train`: what share was right, by millions of tokens read.

    python experiments/curves.py OUT.svg METRIC,METRIC LABEL=LOG [LABEL=LOG ...]

Several logs share the axes, so that a training with a curriculum stands beside one without.
"""

from __future__ import annotations

import sys
from pathlib import Path

from rmtbench.analysis.learning_curves import read_log
from rmtbench.report.figures.style import house_style, to_bytes
from rmtbench.report.figures.training import draw_training

if __name__ == "__main__":
    out, named = Path(sys.argv[1]), [argument.partition("=") for argument in sys.argv[3:]]
    with house_style():
        figure = draw_training(sys.argv[2].split(","), {label: read_log(Path(path)) for label, _, path in named})
        out.write_bytes(to_bytes(figure)[out.suffix == ".svg"])
