"""Texts outside the command line and the options name an option by its field; every flag is one that exists."""

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
from rmtbench.options import flag
from rmtbench.options.check import as_keys
from rmtbench.options.declare import options_of
from rmtbench.options.memory import MemoryForm
from rmtbench.options.page import COMMANDS
from rmtbench.options.request import FAMILIES, all_options
from rmtbench.runs.sweep import in_words_of_the_file

PACKAGE = Path(rmtbench.__file__).parent
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
OF_OTHERS = {"--no-", "--no-deps", "--python", "--porcelain", "--help"}
"""Flags of pip, uv and git, the one that every command has, and the beginning of those that switch off."""
UNDECLARED = {
    ("analysis/run_comparison.py", "--fail-if-worse"),
    ("journal/packed.py", "--undo"),
    ("scoring/judge.py", "--metrics"),
    ("scoring/kinds.py", "--metrics"),
    ("scoring/plugin.py", "--metrics"),
    ("spec.py", "--set"),
}
"""Flags that no option declares, with the modules outside whose texts spell them. Remove lines, and add none."""
MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if path.parent.name != "cli"]


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
    stray = {name: path.name for path in MODULES for name in named(path) if name not in known}
    assert stray == {}


def test_only_options_and_the_command_line_spell_flags() -> None:
    outside = [path for path in MODULES if path.parent.name != "options"]
    spelt = {(path.relative_to(PACKAGE).as_posix(), name) for path in outside for name in named(path)}
    assert {(path, name) for path, name in spelt if name not in OF_OTHERS} == UNDECLARED


def fields(source: str) -> Iterator[str]:
    """The fields that a module's texts name."""
    if "from rmtbench.options import flag\n" in source:
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "flag":
                yield node.attr


def declared() -> dict[str, set[str]]:
    """The flags of each field: two commands may give one field two."""
    flags: dict[str, set[str]] = {}
    for family in (*FAMILIES, *COMMANDS):
        for name, option in options_of(family).items():
            flags.setdefault(name, set()).add(option.flag)
    return flags


def test_every_field_that_a_text_names_is_declared() -> None:
    found = {name: path.name for path in MODULES for name in fields(path.read_text(encoding="utf-8"))}
    assert found["top_k"]
    assert {name: module for name, module in found.items() if name not in declared()} == {}


def test_a_field_has_the_flag_of_a_command_that_takes_it() -> None:
    assert {name for name, flags in declared().items() if getattr(flag, name) not in flags} == set()
    assert (flag.top_k, flag.systems, flag.kv_bits, flag.out) == ("--top-k", "--system", "--set kv-bits", "--out")
    assert flag.embed_windows == "--set embed-windows", "a run's, and not the bench's"


def test_a_field_that_no_option_has_is_no_flag() -> None:
    with pytest.raises(AttributeError, match="no option has the field 'top_kk'"):
        _ = flag.top_kk


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
    remedy = f"give fewer {flag.workers}, smaller {flag.cpus}, more {flag.draws} or another {flag.out}"
    said = in_words_of_the_file(UserError("no room", where=f"{flag.engine} ray", remedy=remedy), "line 3")
    assert said.where == "line 3, --engine ray"
    assert said.remedy == "give fewer --workers, smaller --set cpus, more draws or another --out"
    assert in_words_of_the_file(UserError("none", where=flag.shard), "").where == "--shard"
