"""The systems that docs/guides/plugin.md shows, installed as a package for tests."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PAGE = (Path(__file__).parents[1] / "docs" / "guides" / "plugin.md").read_text(encoding="utf-8")
SYSTEMS = ("lead", "paragraphs")


def block(language: str, beginning: str = "") -> str:
    """The page's first block of a language that begins so."""
    found = [text for text in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if text.startswith(beginning)]
    assert found
    return str(found[0])


@contextmanager
def installed(site: Path) -> Iterator[None]:
    """Install the page's systems as pip leaves them: modules, and entry points in the package's metadata."""
    (site / "my_package").mkdir(parents=True)
    (site / "my_package" / "__init__.py").touch()
    for name in SYSTEMS:
        (site / "my_package" / f"{name}.py").write_text(block("python", f'"""{name}: '))
    named = re.search(r'^lead = "(.*)"$', block("toml"), re.MULTILINE)
    assert named is not None
    metadata = site / "my_package-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1\n")
    lines = (f"lead = {named[1]}", "paragraphs = my_package.paragraphs:PARAGRAPHS")
    (metadata / "entry_points.txt").write_text("[rmtbench.systems]\n" + "".join(f"{line}\n" for line in lines))
    sys.path.insert(0, str(site))
    try:
        yield
    finally:
        sys.path.remove(str(site))
        for name in [name for name in sys.modules if name.partition(".")[0] == "my_package"]:
            del sys.modules[name]
