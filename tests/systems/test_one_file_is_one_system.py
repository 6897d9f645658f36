"""A system is one new file: in the package, or in another one that names it by an entry point."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import rmtbench

PACKAGE = Path(rmtbench.__file__).parent

FILE = '''"""First document: the corpus's first document in every prompt, and nothing else."""

from rmtbench.models.base import Passage
from rmtbench.systems.base import SystemKind
from rmtbench.systems.in_prompt import InPrompt


def make(resources):
    def choose(corpus):
        first = corpus.documents[0]
        return lambda question: (Passage(first.title, first.text),)

    return InPrompt(resources, choose)


KIND = SystemKind(
    "first", "the first document alone", make, label="First document", order=45, colour="purple", marker="p"
)
'''


def in_the_package(folder: Path) -> None:
    """A copy of the package that has one file more."""
    copy = folder / "rmtbench"
    (copy / "systems").mkdir(parents=True)
    for path in PACKAGE.iterdir():
        if path.name != "systems":
            (copy / path.name).symlink_to(path)
    for path in (PACKAGE / "systems").iterdir():
        (copy / "systems" / path.name).symlink_to(path)
    (copy / "systems" / "first.py").write_text(FILE, encoding="utf-8")


def installed(folder: Path) -> None:
    """Another package beside the package itself, as an installer leaves it."""
    folder.mkdir()
    (folder / "rmtbench").symlink_to(PACKAGE)
    (folder / "their_first.py").write_text(FILE, encoding="utf-8")
    metadata = folder / "their_first-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: their-first\nVersion: 1.0\n", encoding="utf-8")
    (metadata / "entry_points.txt").write_text("[rmtbench.systems]\nfirst = their_first:KIND\n", encoding="utf-8")


def said(place: Path, *words: object) -> str:
    """What `rmtbench` prints where Python finds packages in a folder first."""
    environ = {**os.environ, "PYTHONPATH": str(place), "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}
    ended = subprocess.run(
        [sys.executable, "-m", "rmtbench", *map(str, words)],
        capture_output=True,
        text=True,
        env=environ,
        cwd=place,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout + ended.stderr


@pytest.mark.parametrize("lay", [in_the_package, installed])
def test_one_file_is_listed_run_and_shown_without_it(tmp_path: Path, lay: Callable[[Path], None]) -> None:
    place, results = tmp_path / "place", tmp_path / "results"
    lay(place)
    assert "the first document alone" in said(place, "systems")
    words = ("--dataset", "handbook", "--model", "random:tiny", "--questions", 2, "--max-answer-tokens", 4)
    said(place, "run", "--system", "rag-sparse,first,cag", "--top-k", 1, *words, "--results", results)
    [run] = results.glob("first-*")
    recorded = json.loads((run / "summary.json").read_text(encoding="utf-8"))["system"]
    assert recorded == json.loads((run / "spec.json").read_text(encoding="utf-8"))["system"]
    assert recorded == {
        "name": "first",
        "needs": [],
        "label": "First document",
        "order": 45,
        "family": "other",
        "colour": "purple",
        "marker": "p",
        "twin": "",
    }
    # Tables, figures and the page know the system from the run alone: its file is not here.
    said(PACKAGE.parent, "report", results)
    report = results / "report"
    rows = csv.DictReader((report / "table2-handbook.csv").read_text(encoding="utf-8").splitlines())
    assert [row["system"] for row in rows] == ["cag", "first", "rag-sparse"]
    assert "First document †" in (report / "report.md").read_text(encoding="utf-8")
    assert '"First document"' in (report / "index.html").read_text(encoding="utf-8")
    drawn = (report / "figures" / "frontier-1.svg").read_text(encoding="utf-8")
    assert "First document" in drawn
    assert "#cc79a7" in drawn.lower()
    assert "First document" in (report / "figures" / "frontier-1.csv").read_text(encoding="utf-8")


def test_without_the_file_there_is_no_such_system() -> None:
    assert "first document" not in said(PACKAGE.parent, "systems")
