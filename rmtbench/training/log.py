"""The curve of a training, one JSON line every few steps; a resumed training's is that of an uninterrupted one."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from rmtbench.errors import UserError
from rmtbench.files import write_atomically
from rmtbench.options import flag
from rmtbench.training.checkpoint import State


def line(state: State, total: int, stage: str, learning_rate: float, promoted: float | None = None) -> dict[str, Any]:
    """Means over the window's steps, beside where the training stands; a mean that is no number is null.

    Where a promotion ends the stage with this step, `promoted` is the mean that did.
    """
    window = state.window
    metrics = {name: value / count for name, (value, count) in window.metrics.items()}
    return {
        "step": state.step,
        "total": total,
        "stage": stage,
        "loss": window.loss / window.steps,
        "metrics": {name: mean if math.isfinite(mean) else None for name, mean in metrics.items()},
        "gradient_norm": window.gradient_norm / window.steps,
        "learning_rate": learning_rate,
        "tokens": state.tokens,
        "tokens_per_second": round(window.tokens / max(window.seconds, 1e-9), 1),
        "seconds": round(state.seconds, 3),
        **({} if promoted is None else {"promoted": promoted}),
    }


def append(path: Path, row: dict[str, Any]) -> None:
    """Write one line, which is with the operating system when this returns."""
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(row, allow_nan=False) + "\n")


def cut_back(path: Path, step: int) -> None:
    """Drop the lines of later steps than `step`, and a torn last line: those steps are taken again.

    Raises:
        UserError: A line that is not the last one cannot be read.
    """
    if not path.exists():
        return
    kept: list[str] = []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    for number, text in enumerate(lines, start=1):
        if not text.endswith("\n"):
            break
        try:
            at = json.loads(text)["step"]
        except (ValueError, KeyError, TypeError) as error:
            remedy = f"remove that line, or choose another folder with {flag.out}"
            raise UserError("damaged: no line of a log", where=f"{path}, line {number}", remedy=remedy) from error
        if at > step:
            break
        kept.append(text)
    if len(kept) != len(lines):
        write_atomically(path, "".join(kept).encode())
