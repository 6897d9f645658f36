"""One rule for singular and plural."""

import ast
from pathlib import Path

import pytest

from rmtbench.plural import many

PACKAGE = Path(__file__).parent.parent / "rmtbench"


@pytest.mark.parametrize(
    ("count", "told"), [(0, "0 draws"), (1, "1 draw"), (1.0, "1 draw"), (2, "2 draws"), (1200, "1,200 draws")]
)
def test_only_one_thing_is_singular(count: float, told: str) -> None:
    assert many(count, "draw") == told


def test_an_irregular_plural_is_given() -> None:
    assert [many(count, "query", "queries") for count in (1, 2)] == ["1 query", "2 queries"]


def test_no_text_leaves_the_plural_to_the_reader() -> None:
    found = [
        f"{path.name}: {node.value}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "(s)" in node.value
    ]
    assert found == []
