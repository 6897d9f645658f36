"""Every flag that a message from outside the command line names is one that a command takes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

import rmtbench
from rmtbench.cli.main import make_app
from rmtbench.errors import UserError
from rmtbench.options.check import as_keys
from rmtbench.options.declare import options_of
from rmtbench.options.memory import MemoryForm
from rmtbench.options.request import all_options
from rmtbench.runs.sweep import in_words_of_the_file

PACKAGE = Path(rmtbench.__file__).parent
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
OF_OTHERS = {"--no-", "--no-deps", "--python", "--porcelain", "--help"}
"""Flags of pip, uv and git, the one that every command has, and the beginning of those that switch off."""


def named(path: Path) -> Iterator[str]:
    """Flags in a module's texts, docstrings aside."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield from FLAG.findall(node.value)


def taken(command: Any) -> Iterator[str]:
    """All flags of a command and of those below it."""
    for parameter in command.params:
        yield from (*parameter.opts, *parameter.secondary_opts)
    for below in getattr(command, "commands", {}).values():
        yield from taken(below)


def test_no_message_names_a_flag_that_no_command_takes() -> None:
    known = {*taken(typer.main.get_command(make_app())), *OF_OTHERS}
    paths = [path for path in sorted(PACKAGE.rglob("*.py")) if path.parent.name != "cli"]
    stray = {flag: path.name for path in paths for flag in named(path) if flag not in known}
    assert stray == {}


def test_every_rare_option_that_a_message_names_is_declared() -> None:
    options = [*all_options().values(), *options_of(MemoryForm).values()]
    rare = {option.flag.removeprefix("--set ") for option in options if option.rare}
    found = {
        name
        for path in PACKAGE.rglob("*.py")
        for name in re.findall(r"--set ([a-z][a-z-]+)", path.read_text(encoding="utf-8"))
    }
    assert found - rare == set()


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("leave --top-k out", "leave top_k out"),
        ("--set chunk-overlap", "chunk_overlap"),
        ("give --set think-tokens=4096, or --max-answer-tokens", "give think_tokens=4096, or max_answer_tokens"),
        ("--model ./no-where", "model ./no-where"),
        ("see rmtbench run --help", "see rmtbench run --help"),
        ("start anew with --fresh", "start anew with --fresh"),
        ("name its folder with --rmt", "name its folder with --rmt"),
    ],
)
def test_a_message_about_a_file_names_its_keys(text: str, keys: str) -> None:
    assert as_keys(text, ("rmt",)) == keys


def test_a_sweep_keeps_the_flags_that_it_takes_itself() -> None:
    remedy = "give fewer --workers, smaller --set cpus, more --draws or another --out"
    said = in_words_of_the_file(UserError("no room", where="--engine ray", remedy=remedy), "line 3")
    assert said.where == "line 3, --engine ray"
    assert said.remedy == "give fewer --workers, smaller --set cpus, more draws or another --out"
    assert in_words_of_the_file(UserError("none", where="--shard"), "").where == "--shard"
