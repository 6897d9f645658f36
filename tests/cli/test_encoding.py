"""Terminals and pipes that know few characters, no colours or end early: the same words, never a traceback."""

from __future__ import annotations

import os
import pty
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cli_commands import child_environment, rows

HANDBOOK = Path(__file__).parents[2] / "results" / "handbook"


@pytest.fixture
def report(tmp_path: Path) -> list[str]:
    """The command that prints a report with every mark that we use."""
    shutil.copytree(HANDBOOK, tmp_path / "results")
    return [sys.executable, "-m", "rmtbench", "report", str(tmp_path / "results"), "--full"]


def test_a_report_in_ascii_spells_its_marks_out(report: list[str], tmp_path: Path) -> None:
    environment = {**child_environment(tmp_path), "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    ended = subprocess.run(report, capture_output=True, env=environment, check=False)
    assert (ended.returncode, ended.stderr.count(b"Traceback")) == (0, 0), ended.stderr.decode()
    text = ended.stdout.decode("ascii")
    assert "++ " in text  # the double dagger of a note
    assert "rag-sparse" in text


def test_a_plain_terminal_gets_no_escapes_in_its_text(report: list[str], tmp_path: Path) -> None:
    environment = {**child_environment(tmp_path), "TERM": "dumb", "NO_COLOR": "1"}
    ours, theirs = pty.openpty()
    with subprocess.Popen(report, stdout=theirs, stderr=theirs, env=environment) as child:
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
    assert child.returncode == 0
    assert b"\x1b[" not in text
    assert b"Traceback" not in text


def test_a_reader_that_has_had_enough_ends_the_command(report: list[str], tmp_path: Path) -> None:
    with subprocess.Popen(
        report, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=child_environment(tmp_path)
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.read(10)
        child.stdout.close()
        told = child.stderr.read()
    assert child.returncode == 141
    assert told == b""


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_the_shell_has_closed_is_no_fault(tmp_path: Path, closed: str) -> None:
    words = ["run", "--system", "closed-book", "--dataset", "handbook", "--model", "random:tiny", "--questions", "2",
             "--max-answer-tokens", "4", "--results", str(tmp_path / "results")]  # fmt: skip
    for line in (["systems"], words):
        command = shlex.join([sys.executable, "-m", "rmtbench", *line])
        ended = subprocess.run(
            ["sh", "-c", f"{command} {closed}"], capture_output=True, env=child_environment(tmp_path), check=False
        )
        assert (ended.returncode, ended.stderr.count(b"Traceback")) == (0, 0), ended.stderr.decode()
    [journal] = (tmp_path / "results").glob("*/answers.jsonl")
    assert len(rows(journal)) == 2, "nothing else was written into it"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_output_to_a_full_disk_is_told_in_two_lines(tmp_path: Path) -> None:
    command = f"{shlex.quote(sys.executable)} -m rmtbench systems > /dev/full"
    ended = subprocess.run(
        ["sh", "-c", command], capture_output=True, env=child_environment(tmp_path), check=False, text=True
    )
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[0] == "error: No space left on device"
    assert len(ended.stderr.splitlines()) == 2
