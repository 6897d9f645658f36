"""What comparisons with llama.cpp share: ways that take turns, the command line, and the file of figures."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

Result = TypeVar("Result")


def take_turns(ways: Mapping[str, Callable[[int], Result]], rounds: int) -> dict[str, list[Result]]:
    """Let every way do each round before the next round begins, so that all meet the same state of the machine.

    Args:
        ways: By name, what does one round; its argument is the round's number.
        rounds: Number of rounds that count. Round 0 sets buffers up and does not count.

    Returns:
        The results of each way, one a round.
    """
    found: dict[str, list[Result]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            result = way(number)
            if number:
                found[name].append(result)
    return found


def comma_separated(text: str) -> tuple[int, ...]:
    """Read whole numbers such as ``1,32``."""
    return tuple(map(int, text.split(",")))


def make_parser(description: str, rounds: int) -> argparse.ArgumentParser:
    """Return a parser of the options that all comparisons have.

    Args:
        description: The script's docstring.
        rounds: Default number of rounds.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=rounds)
    return parser


def write_figures(out: Path, figures: Mapping[str, Any]) -> None:
    """Write figures as JSON, with the machine and versions that made them."""
    from rmtbench.runs.provenance import surroundings

    out.write_text(json.dumps({**figures, **surroundings("cpu")}, indent=1) + "\n", encoding="utf-8")
