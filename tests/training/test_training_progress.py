"""What a person sees of a training: a line every half minute in a log, one bar on a terminal."""

import io
import re
import sys

import pytest

from rmtbench.cli import train
from rmtbench.training.base import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


STEPS = [Progress(step, 40, "short" if step < 20 else "long", 2.5, {}, 812.4, 3725.0) for step in range(1, 41)]


def shown(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    with train.show_training() as report:
        for step in STEPS:
            report(step)
    return stream.getvalue()


def test_log_gets_first_and_last_step_and_line_every_half_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1000, 2000))
    monkeypatch.setattr(train.time, "monotonic", lambda: float(next(clock)))
    assert shown(monkeypatch, io.StringIO()).splitlines() == [
        "short: step 1 of 40, loss 2.500, 812 tokens/s, 1:02:05 left",
        "long: step 31 of 40, loss 2.500, 812 tokens/s, 1:02:05 left",
        "long: step 40 of 40, loss 2.500, 812 tokens/s, 1:02:05 left",
    ]


def test_a_terminal_gets_one_bar_with_the_same_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    text = shown(monkeypatch, Terminal())
    last = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text[text.rindex("\r") :]).strip()
    assert re.fullmatch(r"long +━+ 40/40 loss 2\.500, 812 tokens/s, 1:02:05", last)
