"""Escape sequences and marks of direction in names, answers and messages reach no terminal raw."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cli_commands import Command, child_environment
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from rmtbench.cli.plain_text import _Guarded, guard_streams, plain
from rmtbench.cli.shown_text import LONGEST, ShownText

sys.path.insert(0, str(Path(__file__).parent.parent / "report"))
from report_runs import add_run, spec_of

EVIL = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\u202egnp.exe\u2066\x9b1m\x08\r\x7f"
RAW = re.compile("\x1b\\]|\x1b\\[2J|\x07|\x08|\x7f|[\x80-\x9f\u202a-\u202e\u2066-\u2069]")
"""What must not reach a terminal; our own colours and movements are other sequences."""


def seen_on_a_terminal(tmp_path: Path, *words: object) -> str:
    """What a command sends to a terminal, standard error included."""
    command = [sys.executable, "-m", "rmtbench", *map(str, words)]
    environment = {**child_environment(tmp_path), "TERM": "xterm-256color", "COLUMNS": "150"}
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, stdin=subprocess.DEVNULL, env=environment):
        os.close(theirs)
        text = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # the terminal's other end is closed
                break
            if not part:
                break
            text += part
    os.close(ours)
    return text.decode("utf-8", "replace")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two runs whose names, labels, answers and references are hostile."""
    folder = tmp_path / "results"
    for system in ("cag", f"rag-{EVIL}"):
        provenance = {"model": {"id": f"org/{EVIL}", "dtype": EVIL, "label": "", "device": "cpu"}}
        run = add_run(folder, spec_of(system, dataset=f"set{EVIL}", model=f"m{EVIL}"), provenance=provenance)
        for path in (run.answers, run.gold):
            more = {"text": f"blue {EVIL}"} if path == run.answers else {"question": EVIL, "references": [EVIL]}
            rows = [json.loads(line) | more for line in path.read_text(encoding="utf-8").splitlines()]
            path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        if system != "cag":
            rows = [json.loads(line) for line in run.scores.read_text(encoding="utf-8").splitlines()]
            for row in rows:
                row["scores"]["em"] = 1.0 - round(row["scores"]["em"])
            run.scores.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return folder


@pytest.mark.parametrize("command", ["report", "decide", "compare", "score"])
def test_no_command_sends_raw_sequences_of_results(tmp_path: Path, results: Path, command: str) -> None:
    runs = sorted(path.parent for path in results.glob("*/spec.json"))
    words = {"compare": ["compare", *runs], "score": ["score", results, "--metrics", "em"]}
    seen = seen_on_a_terminal(tmp_path, *words.get(command, [command, results]))
    assert "Traceback" not in seen
    assert not RAW.search(seen)


def test_an_error_shows_a_hostile_name_spelt_out(rmtbench: Command, tmp_path: Path) -> None:
    said = rmtbench("report", tmp_path / f"no{EVIL}")
    assert said.code == 2
    assert not RAW.search(said.err)
    assert r"\x1b[2J" in said.err
    assert r"\u202e" in said.err


@pytest.mark.parametrize("words", [("run", "--dataset"), ("run", "--model"), ("--debug", "run", "--dataset"), (EVIL,)])
def test_no_message_or_traceback_holds_raw_sequences(tmp_path: Path, words: tuple[str, ...]) -> None:
    said = seen_on_a_terminal(tmp_path, *words, *([EVIL] if len(words) > 1 else []))
    assert said
    assert not RAW.search(said)


def test_letters_tabs_and_line_feeds_stay_as_they_are() -> None:
    text = "Ärger\t東京 ‡ ±\nعربي عبرית 👩‍👩‍👧"
    assert plain(text) == text


@given(st.text())
def test_what_is_plain_has_no_control_character(text: str) -> None:
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", plain(text))
    assert plain(plain(text)) == plain(text)


def test_rich_draws_its_own_colours_and_nobody_elses() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80, color_system="standard")
    text = ShownText(f"a{EVIL}", style="bold")
    text.append(EVIL)
    console.print(text)
    assert "\x1b[1m" in stream.getvalue()
    assert not RAW.search(stream.getvalue())
    assert r"\x1b[31mred" in stream.getvalue()


def test_a_megabyte_in_a_cell_is_cut_and_says_so() -> None:
    shown = ShownText("x" * 1_000_000).plain
    assert len(shown) < LONGEST + 100
    assert shown.endswith("… (1,000,000 characters)")


def test_bars_of_libraries_pass_on_standard_error_only(monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    guard_streams()
    guard_streams()
    assert isinstance(sys.stdout, _Guarded)
    for stream in (sys.stdout, sys.stderr):
        stream.write("50 %\r\x1b[1A\x1b[2K\x1b[?25l\x1b[2J\u202e")
    assert out.getvalue() == r"50 %\x0d\x1b[1A\x1b[2K\x1b[?25l\x1b[2J\u202e"
    assert err.getvalue() == "50 %\r\x1b[1A\x1b[2K\x1b[?25l" + r"\x1b[2J\u202e"
