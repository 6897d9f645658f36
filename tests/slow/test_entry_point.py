"""The installed command works outside the source tree: by an entry point in a fresh environment, and by uv."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMANDS = (
    ("--version",),
    ("systems",),
    ("data", "check", "handbook"),
    ("run", "--dataset", "handbook", "--model", "random:tiny", "--system", "closed-book", "--questions", "1"),
    ("report", "results"),
)

pytestmark = pytest.mark.slow


def works(rmtbench: Path, folder: Path) -> None:
    """Give the first commands of a new user, away from the sources."""
    environ = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "RMTBENCH_DATA")}
    environ |= {"HF_HUB_OFFLINE": "1", "RMTBENCH_CACHE": str(folder / "cache")}
    for words in COMMANDS:
        ended = subprocess.run([rmtbench, *words], cwd=folder, env=environ, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, (words, ended.stderr)
    assert (folder / "results" / "report" / "index.html").is_file()


def test_the_entry_point_works_in_a_fresh_environment(tmp_path: Path) -> None:
    """Without a network: the package is copied, and its dependencies are those of this environment."""
    venv, work = tmp_path / "venv", tmp_path / "work"
    work.mkdir()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    python = venv / "bin" / "python"
    packages = venv / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    shutil.copytree(ROOT / "rmtbench", packages / "rmtbench", ignore=shutil.ignore_patterns("__pycache__"))
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, function = project["scripts"]["rmtbench"].partition(":")
    script = venv / "bin" / "rmtbench"
    script.write_text(f"#!{python}\nfrom {module} import {function}\n{function}()\n", encoding="utf-8")
    script.chmod(0o755)
    works(script, work)


def test_uv_installs_the_tool(tmp_path: Path) -> None:
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("uv is not installed")
    work = tmp_path / "work"
    work.mkdir()
    environ = {**os.environ, "UV_TOOL_DIR": str(tmp_path / "tools"), "UV_TOOL_BIN_DIR": str(tmp_path / "bin")}
    subprocess.run([uv, "tool", "install", "--constraints", ROOT / "constraints.txt", ROOT], env=environ, check=True)
    works(tmp_path / "bin" / "rmtbench", work)
