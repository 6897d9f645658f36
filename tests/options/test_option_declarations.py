"""Every option is declared once, and what is made from its declaration is current."""

from __future__ import annotations

import dataclasses
import inspect
from importlib import import_module
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rmtbench.cli import train
from rmtbench.cli.run import run
from rmtbench.core import RunSpec
from rmtbench.errors import UserError
from rmtbench.options.check import checked
from rmtbench.options.declare import REQUIRED, options_of
from rmtbench.options.identity import RunOptions
from rmtbench.options.page import COMMANDS, page
from rmtbench.options.request import Request, all_options, renamed

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "options.md"
USUAL = {"dataset": "squad", "model": "mini"}


def test_the_reference_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m rmtbench.options.page > docs/reference/options.md"


def test_a_request_holds_exactly_the_declared_options() -> None:
    fields = {field.name for field in dataclasses.fields(Request)}
    assert fields - {"given", "generated"} == set(all_options())
    assert checked(USUAL) == Request(**USUAL)


def test_columns_of_a_spec_are_the_options_that_say_so() -> None:
    columns = {"system" if name == "systems" else name for name, option in all_options().items() if option.column}
    assert columns == {field.name for field in dataclasses.fields(RunSpec)} - {"data", "options"}


def test_no_two_options_share_a_name() -> None:
    names = [option.key for option in all_options().values()] + list(renamed())
    assert len(names) == len(set(names))


def test_every_option_says_what_it_does_in_a_sentence() -> None:
    assert [option.flag for option in all_options().values() if not option.help.endswith(".")] == []


def test_the_command_has_one_flag_for_each_common_option() -> None:
    flags = set(run.__annotations__) - {"rare", "profile", "results", "fresh", "dry_run"}
    assert flags == {option.key for option in all_options().values() if not option.rare}


@pytest.mark.parametrize("family", COMMANDS, ids=lambda family: family.__name__)
def test_a_command_has_the_declared_flags_and_defaults(family: type) -> None:
    if len(family.TITLE.split()) == 2:
        pytest.skip("a command by itself")
    group, name = family.TITLE.split()[1:]
    app = import_module(f"rmtbench.cli.{group}").app
    [command] = [each.callback for each in app.registered_commands if (each.name or each.callback.__name__) == name]
    flags = {flag: made.default for flag, made in inspect.signature(command).parameters.items() if flag != "json_file"}
    assert [flag for flag in flags if flag != "settings"] == [
        option.key for option in options_of(family).values() if not option.rare
    ]
    required = {option.key for option in options_of(family).values() if option.default is REQUIRED}
    assert {flag for flag, default in flags.items() if default is inspect.Parameter.empty} == required


@pytest.mark.parametrize("family", COMMANDS, ids=lambda family: family.__name__)
def test_a_default_that_is_read_from_text_is_the_fields_own(family: type) -> None:
    read = [option for option in options_of(family).values() if option.read is not None and option.default is not None]
    assert [option.read(option.default_text) for option in read] == [option.default for option in read]


@pytest.mark.parametrize(
    ("words", "what", "where", "remedy"),
    [
        (("--segments", "1,x"), "'1,x' is no list of whole numbers", "--segments", "write 1,2,4"),
        (("--mode", "query"), "no mode 'query'", "--mode", "did you mean 'query-first'? Known: memory, query-first"),
        (("--answer-style", "brief"), "no answer-style 'brief'", "--answer-style", "Known: bridge, direct"),
    ],
)
def test_a_word_that_is_no_value_is_refused(words: tuple[str, ...], what: str, where: str, remedy: str) -> None:
    usual = ("rmt", "--out", "x", "--base", "mini", "--task", "detect")
    error = CliRunner().invoke(train.app, [*usual, *words]).exception
    assert isinstance(error, UserError)
    assert (error.what, error.where) == (what, where)
    assert remedy in error.remedy


TEXTS = [
    (),
    (("chunk_order", "document"), ("top_tokens", "900")),
    (("chunk_tokens", "5000"), ("memory_tokens", "1024")),
    (("embed_windows", "on"), ("index", "kept hnsw"), ("vector_store", "qdrant")),
    (("kv_bits", "8"), ("kv_cache", "on"), ("prefix", "composed"), ("recompute", "0.15")),
    (("api", "completions"), ("concurrency", "4"), ("reasoning_effort", "low"), ("think_tokens", "0")),
    (("depth", "of another package"), ("memory", "mini@a256c9f9")),
]


@pytest.mark.parametrize("texts", TEXTS)
def test_options_are_read_from_a_runs_files_as_they_were(texts: tuple[tuple[str, str], ...]) -> None:
    assert RunOptions.read(texts).texts == texts
    assert RunOptions.read(RunOptions.read(texts).texts) == RunOptions.read(texts)


def test_options_of_a_run_are_typed() -> None:
    read = RunOptions.read({"top_tokens": "900", "recompute": "0.15", "kv_cache": "on", "depth": "9"})
    assert (read.top_tokens, read.recompute, read.kv_cache, read.others) == (900, 0.15, True, (("depth", "9"),))


@pytest.mark.parametrize("texts", [{"top_tokens": "many"}, {"kv_cache": "off"}])
def test_a_text_that_is_no_value_of_its_option_is_refused(texts: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"many|off"):
        RunOptions.read(texts)


@pytest.mark.parametrize("given", [{"seeds": 1}, {"generated": 7}])
def test_what_is_no_option_is_refused_by_name(given: dict[str, int]) -> None:
    with pytest.raises(UserError) as caught:
        checked({**USUAL, **given})
    assert caught.value.where == f"--{next(iter(given))}"
