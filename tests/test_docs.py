"""Pages of the documentation: what is generated is current, every named page exists, and no link leads nowhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments import cli_page, diagrams, terminal

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
LINK = re.compile(r"\]\(([^)\s]+)\)")
NAMED = re.compile(r"\bdocs/[\w/.-]+?\.(?:md|svg|json|jsonl)\b")
LOADED = re.compile(
    r"""<(?:script|img|iframe)[^>]+src="?https?:|<link[^>]+(?:stylesheet|preconnect)[^>]+href="?https?:"""
)
"""What a browser would fetch from the net by itself."""
LONGEST_LINE = 240
CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def test_the_page_of_commands_is_current() -> None:
    assert cli_page.PAGE.read_text(encoding="utf-8") == cli_page.page(), "run `make docs` and commit the page"


@pytest.mark.parametrize("name", diagrams.FIGURES_BY_NAME)
def test_a_diagram_is_drawn_from_the_committed_runs(name: str) -> None:
    drawn = diagrams.FIGURES_BY_NAME[name](diagrams.rows())
    assert (DOCS / "figures" / f"{name}.svg").read_text(encoding="utf-8") == drawn, "run `make figures`"


def test_the_recorded_session_asks_no_net_and_shows_the_output() -> None:
    svg = terminal.picture("\x1b[1mUse rag-sparse\x1b[0m\n" + "row\n" * 99)
    assert "Use&#160;rag-sparse" in svg
    assert svg.count(">row<") == terminal.LINES - 2
    assert re.findall(r"url\(.?http|href=.http", svg) == []


def named_files() -> Iterator[tuple[str, str]]:
    """Every `docs/...` file that code, tests, cards or pages name, with the file that names it."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in tracked.stdout.splitlines():
        path = ROOT / name
        if path.suffix in (".md", ".py", ".yaml", ".yml", ".toml", ".sh") and path.is_file():
            for found in NAMED.findall(path.read_text(encoding="utf-8")):
                yield name, found


@pytest.mark.slow
def test_the_recorded_session_is_what_the_command_prints_now() -> None:
    assert terminal.picture(terminal.replay()) == terminal.OUT.read_text(encoding="utf-8"), "run `make terminal`"


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone: which files belong to it is not known")
def test_every_page_that_is_named_anywhere_exists() -> None:
    assert [each for each in named_files() if "*" not in each[1] and not (ROOT / each[1]).exists()] == []


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_of_a_page_leads_to_a_file(page: Path) -> None:
    links = [link.partition("#")[0] for link in LINK.findall(CODE.sub("", page.read_text(encoding="utf-8")))]
    local = [link for link in links if link and not link.startswith(("http:", "https:"))]
    assert [link for link in local if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_line_holds_one_sentence_and_not_a_paragraph(page: Path) -> None:
    written = CODE.sub("", page.read_text(encoding="utf-8")).partition("<!-- files: begin -->")[0]
    prose = [line for line in written.splitlines() if not line.lstrip().startswith("|") and not line.startswith("    ")]
    assert [line for line in prose if len(line) > LONGEST_LINE] == []


def test_the_readme_is_short_and_explains_its_words_first() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= 120
    before = readme.partition("<!-- demo: begin -->")[0]
    assert [word for word in ("**RAG**", "**CAG**", "**RMT**") if word not in before] == []


def test_the_findings_answer_three_questions_before_any_table() -> None:
    before = (DOCS / "findings.md").read_text(encoding="utf-8").partition("\n|")[0]
    assert len(re.findall(r"^\*\*[^*]+\?\*\*$", before, re.MULTILINE)) == 3


def test_every_error_on_the_page_is_one_that_the_code_says() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "rmtbench").rglob("*.py"))
    page = (DOCS / "reference" / "errors.md").read_text(encoding="utf-8")
    rows = page.partition("## Common errors")[2].partition("##")[0]
    texts = [text for row in re.findall(r"^\| (`.*?) \|", rows, re.MULTILINE) for text in re.findall(r"`([^`]+)`", row)]
    assert len(texts) > 5
    assert [text for text in texts if text not in code] == []


def test_the_site_builds_strictly_and_loads_nothing_remote(tmp_path: Path) -> None:
    if not shutil.which("mkdocs") and not (Path(sys.executable).parent / "mkdocs").exists():
        pytest.skip("mkdocs is not installed: pip install 'rmtbench[docs]'")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    built = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    pages = [path.read_text(encoding="utf-8") for path in tmp_path.rglob("*.html")]
    loaded = re.compile(
        r"""<(?:script|img|iframe)[^>]+src="?https?:|<link[^>]+rel="?(?:stylesheet|preconnect)[^>]+href="?https?:"""
    )
    assert len(pages) > 30
    assert [found for page in pages for found in loaded.findall(page)] == []
