"""While a corpus is read, whoever waits sees how far it is and how fast; what the cache store says is not lost."""

import io
import re
import sys

import pytest

from rmtbench.cli import progress
from rmtbench.cli.progress import show_runs
from rmtbench.kvcache.watching import ReadProgress
from rmtbench.runs.loop import Event

RUN = "cag-hotpotqa-large-mini-2a2e5440"
NOTICE = "kv cache mini-85000-0: [its] first 64 of 94 tokens are reused"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "LINE_EVERY_SECONDS", 0.0)
    with show_runs() as report:
        report(Event("begin", RUN, 0, 0, 4))
        report(Event("notice", RUN, 0, 0, 0, text=NOTICE))
        for done in (1024, 2048, 2500):
            report(Event("reading", RUN, 0, 0, 0, reading=ReadProgress(done, 2500, 1234.5)))
        report(Event("prepared", RUN, 0, 0, 4, None, 1.5))
        report(Event("answer", RUN, 0, 4, 4))
        report(Event("end", RUN, 0, 4, 4))
    return stream.getvalue()


def test_a_log_gets_notices_and_lines_with_tokens_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(monkeypatch, io.StringIO()).splitlines()
    assert lines[0] == NOTICE
    assert lines[1:3] == [f"{RUN}: read {done} of 2,500 tokens, 1,234 tokens/s" for done in ("1,024", "2,048")]
    assert lines[3] == f"{RUN}: draw 0 prepared in 1.50 s"


def test_terminal_has_bar_of_tokens_that_goes_when_all_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "110")
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown(monkeypatch, Terminal()))
    assert NOTICE in text
    last = text[text.rindex("\r") :]
    assert "4/4" in last
    assert "reading the corpus" not in last
