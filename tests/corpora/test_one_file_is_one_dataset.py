"""A data set is one new file: in the package, or in another one that names it by an entry point."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import rmtbench

PACKAGE = Path(rmtbench.__file__).parent

FILE = '''"""Ports: every document is about one harbour."""

from rmtbench.core import Document, Gold, Question, Source, Span
from rmtbench.corpora.base import DatasetFacts, DatasetKind
from rmtbench.corpora.draws import make_draw

PORTS = {"Arden": "1642", "Belmo": "1701", "Corvin": "1533"}


class Ports:
    name = "ports"
    source = Source("embedded", "ports", "0" * 64)

    def facts(self):
        return DatasetFacts(len(PORTS), len(PORTS), {"harbours": len(PORTS)})

    def draw(self, request, count_tokens):
        documents = [Document(f"{name}.md", name, f"{name} was founded in {year}.") for name, year in PORTS.items()]
        asked = [
            (Question(name, f"When was {name} founded?", ""), Gold(name, (year,), ((Span(f"{name}.md", 0, 5),),)))
            for name, year in PORTS.items()
        ]
        return make_draw(dataset=self.name, request=request, source=self.source, documents=documents, asked=asked)


DATASET = DatasetKind(name="ports", label="Ports", embedded=Ports, default_size="all", sizes=("all",))
'''


def in_the_package(folder: Path) -> None:
    """A copy of the package that has one file more."""
    copy = folder / "rmtbench"
    (copy / "corpora").mkdir(parents=True)
    for path in PACKAGE.iterdir():
        if path.name != "corpora":
            (copy / path.name).symlink_to(path)
    for path in (PACKAGE / "corpora").iterdir():
        (copy / "corpora" / path.name).symlink_to(path)
    (copy / "corpora" / "ports.py").write_text(FILE, encoding="utf-8")


def installed(folder: Path) -> None:
    """Another package beside the package itself, as an installer leaves it."""
    (folder / "rmtbench").symlink_to(PACKAGE)
    (folder / "harbours.py").write_text(FILE, encoding="utf-8")
    facts = folder / "harbours-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: harbours\nVersion: 1.0\n", encoding="utf-8")
    (facts / "entry_points.txt").write_text("[rmtbench.datasets]\nports = harbours:DATASET\n", encoding="utf-8")


SCRIPT = """
import sys
from rmtbench.cli.main import main
for words in (
    "data list --json --profile paper --model random:tiny",
    "data check ports --model random:tiny",
    "run --system closed-book --dataset ports --model random:tiny --max-answer-tokens 4 --results r",
):
    sys.argv = ["rmtbench", *words.split()]
    try:
        main()
    except SystemExit as ended:
        if ended.code:
            raise
    print("---", flush=True)
"""


@pytest.mark.parametrize("lay", [in_the_package, installed])
def test_one_file_is_listed_checked_and_run(tmp_path: Path, lay: Callable[[Path], None]) -> None:
    lay(tmp_path)
    environ = {**os.environ, "PYTHONPATH": str(tmp_path), "HF_HUB_OFFLINE": "1", "RMTBENCH_CACHE": str(tmp_path / "c")}
    environ.pop("RMTBENCH_DATA", None)
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=environ, cwd=tmp_path, check=False
    )
    assert ended.returncode == 0, ended.stderr
    told, checked, *_ = ended.stdout.split("---\n")
    listed = json.loads(told)
    assert [row["dataset"] for row in listed] == ["squad", "hotpotqa", "triviaqa", "handbook", "ports"]
    assert listed[-1]["label"] == "Ports"
    [size] = listed[-1]["sizes"]
    assert (size["size"], size["documents"], size["questions"]) == ("all", 3, 3)
    assert "3  harbours" in checked
    [run] = (tmp_path / "r").iterdir()
    spec = json.loads((run / "spec.json").read_text(encoding="utf-8"))["spec"]
    assert (spec["dataset"], spec["size"]) == ("ports", "all")
    assert len((run / "answers.jsonl").read_text(encoding="utf-8").splitlines()) == 3


BROKEN = {
    "cannot be imported": ("raise RuntimeError('no licence')", "cannot be imported (RuntimeError: no licence)"),
    "ends the process": ("raise SystemExit(0)", "cannot be imported (SystemExit: 0)"),
    "is something else": ("DATASET = 3", "data set 'ports' is not a DatasetKind"),
    "takes our name": (FILE.replace('name="ports"', 'name="squad"'), "data set 'squad' is built in"),
}
FAILS = {
    "opening": (FILE.replace("embedded=Ports", "embedded=lambda: 1 / 0"), "ZeroDivisionError"),
    "no source": (FILE.replace('Source("embedded", "ports", "0" * 64)', "None"), "its source is NoneType, not Source"),
    "drawing": (FILE.replace("asked = [", "asked = [][1] + ["), "IndexError"),
    "no draw": (FILE.replace("return make_draw(", "return dict("), "draw returned dict, not Draw"),
}
RUN = ("run", "--system", "closed-book", "--model", "random:tiny", "--max-answer-tokens", "4", "--results", "r")


def said(folder: Path, *words: str, code: int = 0) -> tuple[str, str]:
    """What `rmtbench` prints on stdout and stderr."""
    environ = {**os.environ, "PYTHONPATH": str(folder), "HF_HUB_OFFLINE": "1", "RMTBENCH_CACHE": str(folder / "c")}
    environ.pop("RMTBENCH_DATA", None)
    ended = subprocess.run(
        [sys.executable, "-m", "rmtbench", *words], capture_output=True, text=True, env=environ, cwd=folder, check=False
    )
    assert ended.returncode == code, ended.stderr
    return ended.stdout, ended.stderr


@pytest.mark.parametrize(("source", "why"), BROKEN.values(), ids=BROKEN)
def test_a_broken_data_set_is_listed_and_stops_nothing(tmp_path: Path, source: str, why: str) -> None:
    installed(tmp_path)
    (tmp_path / "harbours.py").write_text(source, encoding="utf-8")
    listed = json.loads(said(tmp_path, "data", "list", "--json", "--model", "random:tiny")[0])
    assert [row["dataset"] for row in listed] == ["squad", "hotpotqa", "triviaqa", "handbook", "ports"]
    assert why in listed[-1]["problem"]["what"]
    assert all(row["problem"] is None for row in listed[:-1])
    assert said(tmp_path, *RUN, "--dataset", "handbook", "--questions", "2")[0] == ""
    (tmp_path / "ports").mkdir()  # a folder of the same name is not taken in its place
    assert why in said(tmp_path, *RUN, "--dataset", "ports", code=2)[1]


def test_a_data_set_is_checked_whatever_its_sizes(tmp_path: Path) -> None:
    installed(tmp_path)
    other = FILE.replace('default_size="all", sizes=("all",)', 'default_size="smoke", sizes=("smoke",)')
    refusing = other.replace("        documents = [", "        request.size == 'smoke' or 1 / 0\n        documents = [")
    (tmp_path / "harbours.py").write_text(refusing, encoding="utf-8")
    assert "3  harbours" in said(tmp_path, "data", "check", "ports")[0]
    (tmp_path / "harbours.py").write_text(FILE.replace("asked = [", "asked = 1 / 0 or ["), encoding="utf-8")
    assert "ZeroDivisionError" in said(tmp_path, "data", "check", "ports", "--model", "random:tiny", code=2)[1]


@pytest.mark.parametrize(("source", "why"), FAILS.values(), ids=FAILS)
def test_what_a_data_set_raises_is_told_in_two_lines(tmp_path: Path, source: str, why: str) -> None:
    installed(tmp_path)
    (tmp_path / "harbours.py").write_text(source, encoding="utf-8")
    lines = said(tmp_path, *RUN, "--dataset", "ports", code=2)[1].splitlines()
    what, remedy = [line for line in lines if not line.startswith("loading ")]  # a slow machine says what it loads
    assert what.startswith("error: --dataset: data set 'ports' fails (")
    assert why in what
    assert remedy == "  mend the package that it comes from"
