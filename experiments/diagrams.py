"""Draw what each system reads, where the time goes and what is kept: ``python -m experiments.diagrams``.

The data are the committed runs of the handbook (`results/handbook/report/anatomy.csv`).
The pictures are in `docs/figures/`.
They are plain SVG without fonts or scripts from the net, and the same data give the same bytes.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
DATA = ROOT / "results" / "handbook" / "report" / "anatomy.csv"
FIGURES = ROOT / "docs" / "figures"
SHOWN = (
    ("closed-book", ""), ("oracle", ""), ("full-context", ""), ("cag", ""),
    ("rag-sparse", "3"), ("rag-dense", "3"), ("rag-hybrid", "3"),
)  # fmt: skip
"""Systems and top-k of the bars, from above."""
READ, CACHED, RETRIEVE, DECODE = "#1f6f8b", "#a9cbd6", "#d98e04", "#99582a"
WIDTH, LEFT, RIGHT, TOP, STEP, BAR = 760, 150, 220, 78, 30, 18
PLOT = WIDTH - LEFT - RIGHT


@dataclass(frozen=True)
class Bar:
    """One row: its name, the lengths of its parts as shares of the plot with their colours, and a label."""

    name: str
    parts: tuple[tuple[float, str], ...]
    label: str


def rows(path: Path = DATA) -> list[dict[str, str]]:
    """Return the runs of the handbook that are shown, in the order of `SHOWN`."""
    with path.open(encoding="utf-8", newline="") as file:
        found = {(row["system"], row["top_k"]): row for row in csv.DictReader(file) if row["dataset"] == "handbook"}
    return [found[key] for key in SHOWN if key in found]


def reads(runs: Sequence[dict[str, str]]) -> str:
    """Draw the tokens of one question by system: read for it, and already in the cache."""
    most = max(float(run["prompt_tokens"]) for run in runs)
    bars = []
    for run in runs:
        cached = float(run["cached_tokens"])
        read = float(run["prompt_tokens"]) - cached
        label = f"{read:,.0f}" + (f" (and {cached:,.0f} in the cache)" if cached else "")
        bars.append(Bar(_name(run), ((read / most, READ), (cached / most, CACHED)), label))
    keys = (("read for this question", READ), ("in the cache, read once", CACHED))
    return _svg("Tokens of one question, handbook at 4k tokens", keys, bars)


def time(runs: Sequence[dict[str, str]]) -> str:
    """Draw the mean seconds of one question by system: retrieval, prefill and decode. An outlier's bar is cut."""
    columns = ("retrieve_mean_seconds", "prefill_mean_seconds", "decode_mean_seconds")
    seconds = [[float(run[name] or 0) for name in columns] for run in runs]
    longest, second = sorted((sum(parts) for parts in seconds), reverse=True)[:2]
    whole = second * 1.3 if longest > 3 * second else longest
    bars = []
    for run, parts in zip(runs, seconds, strict=True):
        cut = sum(parts) > whole
        left, drawn = 1.0, []
        for part, colour in zip(parts, (RETRIEVE, READ, DECODE), strict=True):
            share = min(part / whole, left)
            drawn.append((share, colour))
            left -= share
        bars.append(Bar(_name(run), tuple(drawn), f"{sum(parts):.2f} s" + (" (bar cut)" if cut else "")))
    keys = (("retrieve", RETRIEVE), ("prefill: read the prompt", READ), ("decode: write the answer", DECODE))
    return _svg("Mean seconds of one question, handbook at 4k tokens", keys, bars)


def kept(runs: Sequence[dict[str, str]]) -> str:
    """Draw the bytes that each system keeps for later questions, on a scale of powers of ten from 1 kB."""
    sizes = [float(run["kept_bytes"] or 0) for run in runs]
    decades = math.log10(max(sizes) / 1000)
    bars = [
        Bar(_name(run), ((max(0.0, math.log10(size / 1000) / decades) if size else 0.0, READ),), _bytes(size))
        for run, size in zip(runs, sizes, strict=True)
    ]
    keys = (("bytes kept; each step of the same length is ten times as much", READ),)
    return _svg("Kept for later questions, handbook at 4k tokens", keys, bars)


def _name(run: dict[str, str]) -> str:
    return run["system"] + (f", top {run['top_k']}" if run["top_k"] else "")


def _bytes(size: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} GiB"


def _svg(title: str, keys: Sequence[tuple[str, str]], bars: Sequence[Bar]) -> str:
    height = TOP + STEP * len(bars) + 12
    looks = 'font-family="Helvetica, Arial, sans-serif" font-size="14" fill="#222222"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" {looks}>',
        f"<title>{title}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="16" y="28" font-size="17" font-weight="bold">{title}</text>',
    ]
    place = LEFT
    for word, colour in keys:
        lines.append(f'<rect x="{place}" y="44" width="14" height="14" fill="{colour}"/>')
        lines.append(f'<text x="{place + 20}" y="56">{word}</text>')
        place += 44 + 7 * len(word)
    for number, bar in enumerate(bars):
        top = TOP + STEP * number
        lines.append(f'<text x="{LEFT - 10}" y="{top + 14}" text-anchor="end">{bar.name}</text>')
        end = float(LEFT)
        for share, colour in bar.parts:
            lines.append(f'<rect x="{end:.1f}" y="{top}" width="{share * PLOT:.1f}" height="{BAR}" fill="{colour}"/>')
            end += share * PLOT
        lines.append(f'<text x="{end + 8:.1f}" y="{top + 14}">{bar.label}</text>')
    return "\n".join([*lines, "</svg>", ""])


FIGURES_BY_NAME: dict[str, Callable[[Sequence[dict[str, str]]], str]] = {"reads": reads, "time": time, "kept": kept}


if __name__ == "__main__":
    runs = rows()
    for name, draw in FIGURES_BY_NAME.items():
        (FIGURES / f"{name}.svg").write_text(draw(runs), encoding="utf-8")
