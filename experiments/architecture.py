"""Write the list of files in docs/architecture.md from the modules' docstrings: ``python -m experiments.architecture``.

A test holds that the list is current.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"
PACKAGE = ROOT / "rmtbench"
BEGIN, END = "<!-- files: begin -->\n", "<!-- files: end -->\n"


def first_line(path: Path) -> str:
    """Return the first line of a module's docstring."""
    told = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return told.splitlines()[0] if told else ""


def listed(package: Path = PACKAGE) -> str:
    """Return the list of a package's modules: one heading a folder, one line a file."""
    return "\n".join([*_lines(package, package)]) + "\n"


def with_list(page: str, files: str) -> str:
    """Return the page with the list between its marks replaced."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{files}\n{END}{rest.partition(END)[2]}"


def _lines(folder: Path, root: Path) -> Iterator[str]:
    modules = sorted(path for path in folder.glob("*.py") if not path.name.startswith("__"))
    if modules:
        name = folder.relative_to(root.parent).as_posix()
        told = "" if folder == root else first_line(folder / "__init__.py")
        yield from (f"### `{name}/`", "", *([told, ""] if told else ()))
        yield from (f"- `{path.name}`: {first_line(path)}" for path in modules)
        yield ""
    for inner in sorted(path for path in folder.iterdir() if (path / "__init__.py").is_file()):
        yield from _lines(inner, root)


if __name__ == "__main__":
    PAGE.write_text(with_list(PAGE.read_text(encoding="utf-8"), listed()), encoding="utf-8")
