"""Systems are found by name, ours and other packages', and a wrong name is answered with the right one."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import pytest

from rmtbench.core import Draw, RunSpec
from rmtbench.errors import UserError
from rmtbench.kvcache.watching import NOBODY
from rmtbench.models.local import LocalModel
from rmtbench.runs.loop import execute
from rmtbench.systems.base import SystemKind
from rmtbench.systems.registry import find_system, system_names
from rmtbench.systems.resources import NEEDS, LoadedMemory, Need, Resources, SharedWork

OURS = ["closed-book", "oracle", "full-context", "cag", "rag-sparse", "rag-dense", "rag-hybrid",
        "rmt-memory", "rmt-query-first", "rmt-text"]  # fmt: skip

Install = Callable[[str, str], None]

SYSTEM = """
from rmtbench.models.base import Passage
from rmtbench.systems.base import SystemKind
from rmtbench.systems.in_prompt import InPrompt

given = []

def make(resources):
    given.append(sorted(resources.gold))
    first = lambda corpus: lambda question: (Passage("First", corpus.documents[0].text),)
    return InPrompt(resources, first)

FIRST = SystemKind("first-document", "the first document alone", make)
SEEING = SystemKind("first-document", "the first document alone", make, needs={"gold"})
NOTHING = "not a system"
"""

OLD_FLAG = """
from rmtbench.systems.base import SystemKind

OLD = SystemKind("theirs", "as an earlier version had it", print, takes_top_k=True)
"""
OLD_NAME = "from rmtbench.systems.base import Equipment"
UNKNOWN = """
from rmtbench.systems.base import SystemKind

OLD = SystemKind("theirs", "with a need that nothing brings", print, needs={"chunk"})
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install another package, `their_package`, that names one thing under the group of entry points."""

    def put(name: str, value: str) -> None:
        (tmp_path / "their_package.py").write_text(SYSTEM)
        info = tmp_path / "their_package-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[rmtbench.systems]\n{name} = {value}\n")
        monkeypatch.syspath_prepend(str(tmp_path))

    yield put
    sys.modules.pop("their_package", None)


def run(name: str, towns: Draw, model: LocalModel, results: Path) -> list[dict[str, object]]:
    spec = RunSpec(name, "towns", "all", "random:tiny", "own:towns@0", max_answer_tokens=8)
    [outcome] = execute([spec], [towns], Resources(spec, model), results, lambda _event: None)
    journal = (outcome.folder / "answers.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in journal.splitlines()]


def test_ours_are_named_in_the_order_in_which_tables_read() -> None:
    assert system_names() == OURS


@pytest.mark.parametrize(
    ("given", "meant"),
    [("rag-spares", "rag-sparse"), ("cagg", "cag"), ("fullcontext", "full-context"), ("closed_book", "closed-book")],
)
def test_an_unknown_name_gets_the_nearest_one(given: str, meant: str) -> None:
    with pytest.raises(UserError) as caught:
        find_system(given)
    assert caught.value.what == f"no system '{given}'"
    assert caught.value.where == "--system"
    assert caught.value.remedy == f"did you mean '{meant}'? Known: {', '.join(sorted(OURS))}"


def test_a_name_like_none_gets_them_all() -> None:
    with pytest.raises(UserError) as caught:
        find_system("xyz")
    assert caught.value.remedy == f"Known: {', '.join(sorted(OURS))}"


def test_another_packages_system_is_found_and_suggested(install: Install) -> None:
    install("first-document", "their_package:FIRST")
    assert system_names() == [*OURS, "first-document"]
    assert find_system("first-document").summary == "the first document alone"
    with pytest.raises(UserError) as caught:
        find_system("first-documents")
    assert caught.value.remedy.startswith("did you mean 'first-document'?")


def test_names_are_listed_without_importing_the_package(install: Install) -> None:
    install("first-document", "their_package:FIRST")
    assert "first-document" in system_names()
    assert "their_package" not in sys.modules


def test_another_packages_system_runs_like_ours(
    install: Install, towns: Draw, tiny_model: LocalModel, tmp_path: Path
) -> None:
    install("first-document", "their_package:FIRST")
    rows = run("first-document", towns, tiny_model, tmp_path / "results")
    assert [row["question_id"] for row in rows] == [question.id for question in towns.corpus.questions]
    assert all(row["error"] is None and row["output_ids"] for row in rows)


@pytest.mark.parametrize(("kind", "gold"), [("FIRST", []), ("SEEING", ["q0", "q1", "q2", "q3", "q4", "q5"])])
def test_gold_reaches_only_system_that_declares_it(
    install: Install, towns: Draw, tiny_model: LocalModel, tmp_path: Path, kind: str, gold: list[str]
) -> None:
    install("first-document", f"their_package:{kind}")
    run("first-document", towns, tiny_model, tmp_path / "results")
    assert sys.modules["their_package"].given == [gold]


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("their_package:NOTHING", "system 'theirs' is not a SystemKind"),
        ("their_package:make", "system 'theirs' is not a SystemKind"),
        ("their_package:ABSENT", "system 'theirs' cannot be imported"),
        (
            "no_such_package:SYSTEM",
            "system 'theirs' cannot be imported (ModuleNotFoundError: No module named",
        ),
    ],
)
def test_what_is_no_system_is_refused_with_its_place(install: Install, value: str, what: str) -> None:
    install("theirs", value)
    with pytest.raises(UserError) as caught:
        find_system("theirs")
    assert caught.value.what.startswith(what)
    assert caught.value.where == value
    told = "declare it as docs/guides/plugin.md says" if "not a" in what else "mend that package, or uninstall it"
    assert caught.value.remedy == told


@pytest.mark.parametrize(
    ("source", "what", "remedy"),
    [
        (
            OLD_FLAG,
            "cannot be imported (TypeError: SystemKind.__init__() got an unexpected keyword argument 'takes_top_k')",
            "docs/guides/plugin.md",
        ),
        (
            UNKNOWN,
            "cannot be imported (ValueError: system 'theirs' needs 'chunk', which is none of",
            "guides/plugin.md",
        ),
        (OLD_NAME, "cannot be imported (ImportError: Equipment is now Resources: see docs/guides/plugin.md)", "mend"),
    ],
)
def test_an_old_plugin_is_told_the_new_contract(
    install: Install, tmp_path: Path, source: str, what: str, remedy: str
) -> None:
    install("theirs", "their_package:OLD")
    (tmp_path / "their_package.py").write_text(source)
    with pytest.raises(UserError) as caught:
        find_system("theirs")
    assert caught.value.what.startswith(f"system 'theirs' {what}")
    assert remedy in caught.value.remedy


def test_needs_are_kept_as_a_set_of_known_names() -> None:
    kind = SystemKind("mine", "one line", find_system("closed-book").make, needs=["gold", "query-first-memory"])
    assert kind.needs == {"gold", "query-first-memory"}
    assert kind.memory == "query-first"
    assert set(NEEDS) == set(get_args(Need))


def test_a_run_is_given_what_its_system_needs_and_no_more(tiny_model: LocalModel, towns: Draw) -> None:
    spec = RunSpec("any", "towns", "all", "random:tiny", "own:towns@0")
    gold = {gold.question_id: gold for gold in towns.gold}
    everything = Resources(spec, tiny_model, memories={"": LoadedMemory(None, {})}, writer=tiny_model)
    for needs, given in [
        (set(), (False, None, None)),
        ({"gold"}, (True, None, None)),
        ({"memory"}, (False, everything.memory, None)),
        ({"notes"}, (False, None, tiny_model)),
    ]:
        found = everything.for_run(spec, needs, gold=gold, shared=SharedWork(), watch=NOBODY)
        assert (bool(found.gold), found.memory, found.writer) == given


def test_a_name_of_ours_stays_ours(install: Install) -> None:
    install("closed-book", "their_package:FIRST")
    assert system_names() == OURS
    assert find_system("closed-book").summary == "the question alone: the floor"
