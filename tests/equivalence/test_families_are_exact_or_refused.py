"""A tiny model of each architecture is served exactly or refused, as `docs/reference/models.md` says."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "experiments" / "families.py"
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "models.md"

FAST = (
    "llama", "gpt2", "mixtral", "bert-as-decoder", "gptj", "diffllama", "hrm_text", "bloom", "gemma2", "gpt_oss",
    "deepseek_v3", "bert", "mamba",
)  # fmt: skip
"""Two or more of each verdict: every way and batch, eager alone, a window, odd attention, and two kinds of refusal."""


@pytest.fixture(scope="module")
def families() -> ModuleType:
    """The script that makes the table."""
    spec = importlib.util.spec_from_file_location("families", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def printed() -> dict[str, str]:
    """Lines of the page's table by family."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    return {line.split("|")[1].strip(): line for line in lines if line.startswith("| ")}


def check(families: ModuleType, name: str, tmp_path: Path) -> None:
    row = families.try_family(name, tmp_path / "model")
    assert not row.wrong
    verdict = [cell.strip() for cell in row.line().split("|")[2:5]]
    assert verdict == [cell.strip() for cell in printed()[name].split("|")[2:5]]


@pytest.mark.parametrize("name", FAST)
def test_some_of_each_verdict(families: ModuleType, name: str, tmp_path: Path) -> None:
    check(families, name, tmp_path)


def test_an_answer_that_is_not_the_models_own_would_be_seen(
    families: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = {"plain": 1, "shared": 1}
    monkeypatch.setattr(families, "_served", lambda _model, _folder: (served, {}))
    assert families.try_family("diffllama", tmp_path / "model").wrong == ["shared, 1 at once"]


def test_the_page_has_sixty_families_and_every_verdict() -> None:
    verdicts = [line.split("|")[3].strip() for line in printed().values()]
    tried = [verdict for verdict in verdicts if verdict in ("shared", "plain", "own prompts", "refused")]
    assert len(tried) >= 60
    assert {"shared", "plain", "refused"} <= set(tried)


@pytest.mark.slow
def test_every_family(families: ModuleType, tmp_path: Path) -> None:
    known = set(printed())
    assert known >= set(families.families())
    for name in families.families():
        check(families, name, tmp_path / name)
