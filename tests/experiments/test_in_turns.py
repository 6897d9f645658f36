"""Ways that are compared take turns, and the round that sets buffers up does not count."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from experiments.in_turns import comma_separated, make_parser, take_turns, write_figures


def test_every_way_does_a_round_before_the_next_begins() -> None:
    done: list[tuple[str, int]] = []

    def way(name: str, number: int) -> str:
        done.append((name, number))
        return f"{name}{number}"

    found = take_turns({name: partial(way, name) for name in ("a", "b")}, rounds=2)
    assert done == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    assert found == {"a": ["a1", "a2"], "b": ["b1", "b2"]}


def test_the_command_line_has_the_file_threads_and_rounds() -> None:
    asked = make_parser("", rounds=7).parse_args(["out.json", "--threads", "1"])
    assert (asked.out, asked.threads, asked.rounds) == (Path("out.json"), 1, 7)
    assert comma_separated("1,32") == (1, 32)


def test_figures_are_written_with_the_machine_that_made_them(tmp_path: Path) -> None:
    write_figures(tmp_path / "out.json", {"rows": []})
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["rows"] == []
    assert written["machine"]
