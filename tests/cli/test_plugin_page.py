"""The system of docs/guides/plugin.md is a package that installs, is listed, runs and is reported beside ours."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from cli_commands import Command, told

PAGE = (Path(__file__).parents[2] / "docs" / "guides" / "plugin.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's two blocks as pip leaves them: a module, and the entry point in the package's metadata."""
    site = tmp_path / "site"
    (site / "my_package").mkdir(parents=True)
    (site / "my_package" / "__init__.py").touch()
    (site / "my_package" / "lead.py").write_text(block("python"))
    named = re.search(r'^lead = "(.*)"$', block("toml"), re.MULTILINE)
    assert named is not None
    metadata = site / "my_package-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(f"[rmtbench.systems]\nlead = {named[1]}\n")
    monkeypatch.syspath_prepend(str(site))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_package"]:
        del sys.modules[name]


def test_the_page_s_system_is_thirty_lines_of_code_that_do_anything() -> None:
    lines = [line for line in block("python").splitlines() if line.strip()]
    assert len(lines) <= 32


@pytest.mark.usefixtures("installed")
def test_the_page_s_system_is_listed_runs_and_stands_in_the_report(rmtbench: Command, tmp_path: Path) -> None:
    assert "lead" in rmtbench("systems").out
    results = tmp_path / "results"
    words = ("--dataset", "handbook", "--model", "random:tiny", "--questions", 2, "--max-answer-tokens", 4)
    assert rmtbench("run", "--system", "lead,closed-book", *words, "--results", results).code == 0
    assert sorted(map(len, told(results).values())) == [2, 2]
    assert rmtbench("report", results, "--quick").code == 0
    assert "| lead" in (results / "report" / "report.md").read_text(encoding="utf-8")
