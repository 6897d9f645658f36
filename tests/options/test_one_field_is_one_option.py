"""Adding an option is one field in one file: a package that differs in that field alone has the option everywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import rmtbench

PACKAGE = Path(rmtbench.__file__).parent
BEFORE = "    split: Literal"
FIELD = """    shuffle_within: int | None = option(
        None, "Shuffles chunks within so many places.", at_least=2, heeded="retrieves"
    )
"""

SCRIPT = """
import json
from pathlib import Path
from rmtbench.core import RunSpec, Source
from rmtbench.errors import UserError
from rmtbench.journal.layout import run_id
from rmtbench.journal.rows import spec_from_row, spec_to_row
from rmtbench.options.page import page
from rmtbench.runs.plan import plan_runs
from rmtbench.runs.sweep import read_sweep

def asked(value):
    file = Path("sweep.yaml")
    file.write_text(f"runs: [{{system: [cag, rag-sparse], dataset: squad, model: mini, top_k: 3{value}}}]")
    return read_sweep(file).requests[0].request

def planned(value):
    return plan_runs(asked(value), Source("own", "x", "0" * 64), device="cpu", dtype="float32")

def refused(value):
    try:
        asked(value)
    except UserError as error:
        return str(error)

usual, other = planned(""), planned(", shuffle_within: 4")
print(json.dumps({
    "page": [line for line in page().splitlines() if "shuffle" in line],
    "typed": other[1].options.shuffle_within,
    "settings": [spec.settings for spec in other],
    "ids": [[run_id(spec) for spec in specs] for specs in (usual, other)],
    "read back": spec_from_row(spec_to_row(other[1]), "here") == other[1],
    "refused": refused(", shuffle_within: 1"),
}))
"""


@pytest.fixture
def with_field(tmp_path: Path) -> Path:
    """A folder with the package, of which one file has one field more; all others are the package's own."""
    copy = tmp_path / "rmtbench"
    (copy / "options").mkdir(parents=True)
    for path in PACKAGE.iterdir():
        if path.name != "options":
            (copy / path.name).symlink_to(path)
    for path in (PACKAGE / "options").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        if path.name == "retrieval.py":
            assert text.count(BEFORE) == 1
            text = text.replace(BEFORE, FIELD + BEFORE)
        (copy / "options" / path.name).write_text(text, encoding="utf-8")
    return tmp_path


def said(folder: Path, *words: str) -> str:
    """What a Python process says that finds the package in a folder."""
    environ = {**os.environ, "PYTHONPATH": str(folder), "_TYPER_FORCE_DISABLE_TERMINAL": "1", "COLUMNS": "200"}
    ended = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, env=environ, cwd=folder, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_one_field_is_a_flag_a_key_a_check_a_spec_and_a_line(with_field: Path) -> None:
    assert "--shuffle-within" in said(with_field, "-m", "rmtbench", "run", "--help")
    told = json.loads(said(with_field, "-c", SCRIPT))
    [line] = told["page"]
    assert line.startswith("| `--shuffle-within` | whole number >= 2 |")
    assert line.endswith("| a system that retrieves | yes |")
    assert told["typed"] == 4
    assert told["settings"] == [[], [["shuffle_within", "4"]]]
    [usual, other] = told["ids"]
    assert usual[0] == other[0], "cag does not retrieve"
    assert usual[1] != other[1]
    assert told["read back"]
    assert "shuffle_within: must be at least 2 (given: 1)" in told["refused"]


def test_without_the_field_there_is_no_such_option(tmp_path: Path) -> None:
    assert "shuffle" not in said(tmp_path, "-c", f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r})\n"
                                 "from rmtbench.options.page import page; print(page())")  # fmt: skip
