"""Progress is lines that a program can read where nobody watches, and bars with the same figures on a terminal."""

import io
import re
import sys
import time

import pytest
from cli_commands import Command, of_systems

from rmtbench.cli import progress
from rmtbench.cli.progress import show_runs
from rmtbench.cli.score import show_scoring
from rmtbench.runs.loop import Event

CLOSED = "closed-book-handbook-4k-random-tiny-2a2e5440"
DENSE = "rag-dense-top10-hotpotqa-large-llama-3.1-8b-instruct-08147cb3"
PREPARED = re.compile(r"(?P<run>\S+): draw (?P<draw>\d+) prepared in (?P<seconds>\d+\.\d\d) s")
SPEED = re.compile(
    r"(?P<run>\S+): (?P<done>\d+) of (?P<total>\d+) questions, (?P<speed>\d+\.\d\d) questions/s, (?P<left>\d+) s left"
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def events(run: str, answered_before: int = 1) -> list[Event]:
    """A draw of four questions, resumed after some of them."""
    done = range(answered_before + 1, 5)
    first = [Event("begin", run, 0, answered_before, 4), Event("prepared", run, 0, answered_before, 4, None, 1.5)]
    return [*first, *(Event("answer", run, 0, number, 4) for number in done), Event("end", run, 0, 4, 4)]


def shown(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, *runs: str) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    with show_runs() as report:
        for run in runs:
            for event in events(run):
                report(event)
    return stream.getvalue()


def last_screen(text: str) -> list[str]:
    """The lines that stay on the terminal, without colours and cursor movements."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text[text.rindex("\r") :]).strip("\r\n ").splitlines()


def test_log_gets_one_line_prepared_and_one_line_done(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch, io.StringIO(), CLOSED, DENSE)
    assert "\r" not in text
    assert "\x1b" not in text
    lines = text.splitlines()
    for run, (first, last) in ((CLOSED, lines[:2]), (DENSE, lines[2:])):
        prepared, speed = PREPARED.fullmatch(first), SPEED.fullmatch(last)
        assert prepared is not None
        assert speed is not None
        assert prepared.groupdict() == {"run": run, "draw": "0", "seconds": "1.50"}
        assert (speed["run"], speed["done"], speed["total"], speed["left"]) == (run, "4", "4", "0")


def test_a_log_never_falls_silent_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_SECONDS", 0.0)
    told = [SPEED.fullmatch(line) for line in shown(monkeypatch, io.StringIO(), CLOSED).splitlines()[1:]]
    assert [line and (line["done"], line["total"]) for line in told] == [("2", "4"), ("3", "4"), ("4", "4")]


def test_what_loads_slowly_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with progress.saying_if_slow("loading a model that is there at once"):
        pass
    monkeypatch.setattr(progress, "SLOW_SECONDS", 0.0)
    with progress.saying_if_slow("loading mini"):
        until = time.monotonic() + 60
        while (err := capsys.readouterr().err) == "" and time.monotonic() < until:
            time.sleep(0.01)
    assert err == "loading mini\n"


def test_much_text_is_told_before_its_tokens_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    count = progress.telling_counter(lambda texts: [len(text) for text in texts])
    assert count(["short"]) == [5]
    assert capsys.readouterr().err == ""
    count(["x" * 2_000_000] * 2)
    assert capsys.readouterr().err == "counting tokens of 2 documents (4 million characters)\n"


def test_the_speed_counts_the_questions_of_this_process_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter((100.0, 102.0, 104.0, 106.0, 108.0, 108.0))  # begin, prepared, three answers, end
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(clock))
    [line] = shown(monkeypatch, io.StringIO(), CLOSED).splitlines()[-1:]
    assert line.endswith("4 of 4 questions, 0.50 questions/s, 0 s left")


def test_the_time_left_is_that_of_all_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws are prepared in 10 s and have two questions of 1 s each; the other runs' draws take 20 s in between."""
    clock = iter((0.0, 10.0, 11.0, 12.0, 12.0, 32.0, 42.0, 43.0, 44.0, 44.0))
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(clock))
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with show_runs() as report:
        for draw, done in ((0, 0), (1, 2)):
            for kind, more in (("begin", 0), ("prepared", 0), ("answer", 1), ("answer", 2), ("end", 2)):
                report(Event(kind, CLOSED, draw, done + more, 6))
    lines = [line for line in map(SPEED.search, stream.getvalue().splitlines()) if line]
    assert [(line["done"], line["total"], line["speed"]) for line in lines] == [("2", "6", "1.00"), ("4", "6", "1.00")]
    assert [line["left"] for line in lines] == ["4", "17"], "the second draw's preparation is known by then"


@pytest.mark.parametrize("columns", [80, 120])
def test_a_terminal_gets_bar_run_with_count_speed_and_time_left(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.delenv("NO_COLOR", raising=False)
    lines = last_screen(shown(monkeypatch, Terminal(), CLOSED, DENSE))
    assert len(lines) == 2
    for run, line in zip((CLOSED, DENSE), lines, strict=True):
        assert len(line) <= columns
        assert line.startswith(run[:30])
        assert re.search(r"━━━ 4/4 \d+\.\d\d questions/s\s+0:00:00$", line.rstrip())


def test_scoring_tells_each_stage_once_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    log, terminal = io.StringIO(), Terminal()
    for stream in (log, terminal):
        monkeypatch.setattr(sys, "stderr", stream)
        with show_scoring() as report:
            for done in (1, 2, 3):
                report("bertscore", done, 3)
    assert log.getvalue() == "scored bertscore: 3 distinct texts\n"
    assert "score bertscore" in terminal.getvalue()
    assert "100%" in terminal.getvalue()


def test_a_whole_run_writes_nothing_to_a_log_but_lines(rmtbench: Command, sample_run: tuple[str, ...]) -> None:
    said = rmtbench(*of_systems(sample_run, "closed-book,rag-dense"), "--top-k", "1")
    assert said.code == 0
    assert said.out == "", "stdout belongs to results"
    assert "\r" not in said.err
    assert "%|" not in said.err, "no bar of another library"
    told = said.err.splitlines()
    assert sum(PREPARED.fullmatch(line) is not None for line in told) == 2
    assert sum(SPEED.fullmatch(line) is not None for line in told) == 2
