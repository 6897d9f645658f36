"""Every option of every command with values that are none of its own: exit code 2, two lines, no traceback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

import pytest
import typer

from rmtbench.cli.main import make_app
from rmtbench.options.request import all_options

if TYPE_CHECKING:
    from cli_commands import Command

NUMBERS = ("x", "nan", "3\n4", "\u65e5\u672c", "1,5", "0x")
"""No number of any kind. NaN is one to Python, but no limit can be compared with it."""
ODD = ("9" * 40, "-7", "-1e400", "inf")
"""Numbers that few options can take."""
NAMES = ("a\nb", "y" * 5000, "\ud800", "\x00", "~nobody-of-this-name/x")
"""No name of anything: two lines, too long for a path, bytes that are not UTF-8, and a NUL."""

HANDBOOK = Path(__file__).parents[2] / "results" / "handbook"
WORDS: dict[str, tuple[str, ...]] = {
    "run": ("--dry-run", "--dataset", "handbook", "--model", "random:tiny", "--system", "closed-book",
            "--questions", "1", "--results", "{folder}/results"),
    "sweep": ("{folder}/sweep.yaml",),
    "merge": ("{folder}/none",),
    "score": ("{folder}/none",),
    "report": ("{folder}/none",),
    "compare": ("rag-dense-top1", "rag-dense-top3", "--results", str(HANDBOOK)),
    "decide": (str(HANDBOOK), "--dataset", "handbook"),
    "pack": ("{folder}/none",),
    "data check": ("no-such-data",),
    "data export": ("--dataset", "no-such-data", "--size", "small", "--out", "{folder}/out"),
    "train rmt": ("--base", "{folder}/none", "--task", "facts", "--out", "{folder}/out"),
    "train adapter": ("--squad", "{folder}/none", "--out", "{folder}/out"),
    "cache remove": ("none",),
}  # fmt: skip
"""What else a command must be given. None of them starts a run: data or results are missing, or it is a dry run."""
LIGHT = ("run", "sweep", "merge", "score", "report", "compare", "decide", "data check", "data export", "cache list")
"""Commands that do nothing long, whatever value is given."""


def options() -> Iterator[Any]:
    """A parameter for each option that takes a value: its command, its flag, and whether it takes a number."""

    def walk(command: Any, path: tuple[str, ...]) -> Iterator[Any]:
        for name, inner in getattr(command, "commands", {}).items():
            yield from walk(inner, (*path, name))
        for each in [] if hasattr(command, "commands") else command.params:
            flag = each.opts[0]
            if flag.startswith("--") and not getattr(each, "is_flag", False) and flag != "--help":
                words = " ".join(path)
                kinds = {each.type_descriptor.annotation, *get_args(each.type_descriptor.annotation)}
                yield pytest.param(words, flag, bool(kinds & {int, float}), id=f"{words} {flag}")

    yield from walk(cast("Any", typer.main.get_command(make_app())), ())
    for each in all_options().values():
        if each.rare:
            yield pytest.param("run", each.flag, each.plain_type in (int, float), id=f"run {each.flag}")


ALL = list(options())


def filled(command: str, folder: Path) -> list[str]:
    (folder / "sweep.yaml").write_text("runs:\n  - {system: closed-book, dataset: no-such-data}\n", encoding="utf-8")
    return [*command.split(), *(word.replace("{folder}", str(folder)) for word in WORDS.get(command, ()))]


def given(flag: str, value: str) -> list[str]:
    """The words that give an option a value; a rare one is ``--set name=value``."""
    option, _, name = flag.partition(" ")
    return [option, f"{name}={value}"] if name else [f"{option}={value}"]


@pytest.mark.parametrize(("command", "flag"), [each.values[:2] for each in ALL if each.values[2]])
def test_what_is_no_number_is_refused(rmtbench: Command, tmp_path: Path, command: str, flag: str) -> None:
    for value in NUMBERS:
        said = rmtbench(*filled(command, tmp_path), *given(flag, value))
        assert (said.code, said.out) == (2, ""), (value, said)
        assert 1 <= len(said.err.splitlines()) <= 3, (value, said.err)
        assert flag in said.err, (value, said.err)


@pytest.mark.parametrize(("command", "flag"), [each.values[:2] for each in ALL if each.values[0] in LIGHT])
def test_no_value_breaks_a_command(
    rmtbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, flag: str
) -> None:
    monkeypatch.chdir(tmp_path)
    number = next(each.values[2] for each in ALL if each.values[:2] == (command, flag))
    for value in ODD if number else NAMES:
        said = rmtbench(*filled(command, tmp_path), *given(flag, value))
        assert said.code in (0, 2), (value, said)
        assert "Traceback" not in said.err, value
        assert len(said.err) < 2000, value
        assert said.code == 0 or 1 <= len(said.err.splitlines()) <= 3, (value, said.err)


@pytest.mark.parametrize("words", [("--results", ""), ("--results=",), ("--size", "")])
def test_an_empty_value_is_refused(rmtbench: Command, words: tuple[str, ...]) -> None:
    said = rmtbench("run", "--dataset", "handbook", *words)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"error: {words[0].rstrip('=')}: is empty\n")


def test_every_command_with_options_is_tried() -> None:
    assert {each.values[0] for each in ALL} >= {"run", "sweep", "decide", "train rmt", "bench kv", "data export"}
    assert len(ALL) > 150
    assert sum(each.values[2] for each in ALL) > 50
