"""Every command of Start and the guides runs as printed, but with a tiny model, few questions and little training.

A block that no test can run says why in a comment above it: `<!-- not run: needs a GPU -->`. One that takes long has
`<!-- slow -->` and runs with the slow tests.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cli_commands import Command

ROOT = Path(__file__).parents[2]
PAGES = sorted(path for room in ("start", "guides") for path in (ROOT / "docs" / room).glob("*.md"))
BLOCK = re.compile(r"(?:^<!-- (not run|slow)(?:: ([^>\n]+))? -->\n)?^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHELL = ("sh", "console")

TINY = ("--model", "random:tiny")
FEW = ("--questions", "2", "--max-answer-tokens", "4")
QUICK_TRAINING = ("--segments", "1", "--steps", "1", "--rows", "2", "--memory-tokens", "4", "--segment-tokens", "64",
                  "--device", "cpu")  # fmt: skip


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its language, its lines, and how it is marked."""

    language: str
    text: str
    mark: str
    reason: str

    @property
    def commands(self) -> list[list[str]]:
        """The words of each command; a backslash continues a line, and a comment is none."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [words for words in (shlex.split(line, comments=True) for line in lines) if words]


def blocks(page: Path) -> Iterator[Block]:
    for mark, reason, language, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        yield Block(language, text, mark, reason.strip())


def to_run(page: Path, *, slow: bool) -> list[Block]:
    """The page's blocks that a test runs: for a slow test all, so that a later block finds what it needs."""
    shown = [block for block in blocks(page) if block.language in SHELL and block.mark != "not run"]
    return shown if slow else [block for block in shown if not block.mark]


FAST = [page for page in PAGES if to_run(page, slow=False)]
SLOW = [page for page in PAGES if any(block.mark == "slow" for block in blocks(page))]


def without(words: list[str], *flags: str) -> list[str]:
    """The words without these flags and their values."""
    left = iter(words)
    kept = []
    for word in left:
        if word in flags:
            next(left)
        else:
            kept.append(word)
    return kept


def quick(words: list[str]) -> list[str]:
    """The same command with a tiny model, few questions, one step, no figures. A later flag counts."""
    if words[0] == "run":
        named = "--model" in words and "smollm2" not in words
        return [*words, *FEW] if named else [*without(words, "--model", "--adapter"), *TINY, *FEW]
    if words[:2] == ["train", "rmt"]:
        return [*words, *QUICK_TRAINING]
    if words[:2] == ["bench", "rmt"]:
        return [*words, "--lengths", "1k", "--samples", "1"]
    more = {"data": TINY, "report": ("--quick",)}
    return [*words, *more.get(words[0], ())]


@pytest.fixture
def shell(
    rmtbench: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    model_of_context: Callable[[int], Path],
) -> Callable[[list[str]], None]:
    """Give what runs one command in a folder that has the paths that the pages name."""
    documents = tmp_path / "path/to/folder/documents"
    documents.mkdir(parents=True)
    (documents / "mill.md").write_text("# Old Mill\nThe mill was built in 1790.\n", encoding="utf-8")
    (documents / "harbour.md").write_text("# Harbour\nThe harbour was dug in 1802.\n", encoding="utf-8")
    asked = {"When was the mill built?": ("1790", "mill.md"), "When was the harbour dug?": ("1802", "harbour.md")}
    rows = [{"question": each, "answers": [year], "evidence": [name]} for each, (year, name) in asked.items()]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (documents.parent / "questions.jsonl").write_text(lines, encoding="utf-8")
    (tmp_path / "path/to/model").symlink_to(model_of_context(8192))
    shutil.copytree(ROOT / "results/handbook", tmp_path / "results/handbook", ignore=shutil.ignore_patterns("report"))
    monkeypatch.chdir(tmp_path)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]

    def run(words: list[str]) -> None:
        match words:
            case ["rmtbench", "data", "export", *_]:  # it writes only into a new folder
                shutil.rmtree(tmp_path / words[words.index("--out") + 1], ignore_errors=True)
                said = rmtbench(*quick(words[1:]))
                assert said.code == 0, said.err
            case ["rmtbench", *_]:
                said = rmtbench(*quick(words[1:]))
                assert said.code == 0, said.err
            case ["make", target]:
                assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
            case ["pip", "install", wanted]:
                assert wanted.removeprefix("rmtbench[").removesuffix("]") in extras
            case ["export", setting]:
                monkeypatch.setenv(*setting.split("=", 1))
            case [".", activated]:
                assert activated == ".venv/bin/activate"
            case _:
                pytest.fail(f"no test knows how to run this: {shlex.join(words)}")

    return run


@pytest.mark.parametrize("page", FAST, ids=lambda page: page.stem)
def test_the_commands_of_a_page_run_in_order(page: Path, shell: Callable[[list[str]], None]) -> None:
    for block in to_run(page, slow=False):
        for words in block.commands:
            shell(words)


@pytest.mark.slow
@pytest.mark.parametrize("page", SLOW, ids=lambda page: page.stem)
def test_the_slow_commands_of_a_page_run(page: Path, shell: Callable[[list[str]], None]) -> None:
    for block in to_run(page, slow=True):
        for words in block.commands:
            shell(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_block_that_is_not_run_says_why(page: Path) -> None:
    assert [block.text for block in blocks(page) if block.mark == "not run" and not block.reason] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_command_hides_in_a_block_without_its_language(page: Path) -> None:
    plain = [block for block in blocks(page) if block.language not in SHELL]
    assert [block.text for block in plain if re.search(r"^(\$ )?(rmtbench|make|pip) ", block.text, re.MULTILINE)] == []


def test_start_takes_at_most_eight_commands_of_rmtbench() -> None:
    words = [words for block in to_run(ROOT / "docs/start/index.md", slow=False) for words in block.commands]
    assert len([each for each in words if each[0] == "rmtbench"]) <= 8
