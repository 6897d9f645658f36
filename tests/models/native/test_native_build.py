"""The compiled step: made once for a machine, and where it cannot be made the reason is told and torch serves."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rmtbench.cli.main import make_app
from rmtbench.models.native import build
from rmtbench.models.native.build import SETTING, library


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    library.cache_clear()
    yield
    library.cache_clear()


def compiled() -> ctypes.CDLL:
    code = library()
    if isinstance(code, str):
        pytest.skip(code)
    return code


def test_it_is_compiled_once_for_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SETTING, str(tmp_path / "kept"))
    compiled()
    [made] = (tmp_path / "kept").iterdir()
    before = made.stat().st_mtime_ns
    library.cache_clear()
    compiled()
    assert [path.stat().st_mtime_ns for path in (tmp_path / "kept").iterdir()] == [before]


def test_another_source_is_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled()
    other = tmp_path / "step.cpp"
    other.write_bytes(build.SOURCE.read_bytes() + b"\n// changed\n")
    monkeypatch.setenv(SETTING, str(tmp_path / "kept"))
    library.cache_clear()
    compiled()
    monkeypatch.setattr(build, "SOURCE", other)
    library.cache_clear()
    compiled()
    assert len(list((tmp_path / "kept").iterdir())) == 2


def test_without_a_compiler_the_reason_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert library() == "there is no C++ compiler (g++)"


def test_a_compiler_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled()
    broken = tmp_path / "broken-g++"
    broken.write_text("#!/bin/sh\necho first >&2\necho no space left >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    monkeypatch.setenv(SETTING, str(tmp_path / "kept"))
    library.cache_clear()
    assert library() == "broken-g++ failed: no space left"
    assert not list((tmp_path / "kept").iterdir())


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled()
    (tmp_path / "file").touch()
    monkeypatch.setenv(SETTING, str(tmp_path / "file" / "folder"))
    library.cache_clear()
    assert "Not a directory" in str(library())


def test_code_that_others_can_write_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SETTING, str(tmp_path / "kept"))
    compiled()
    [made] = (tmp_path / "kept").iterdir()
    assert made.stat().st_mode & 0o777 == 0o600
    made.chmod(0o666)
    library.cache_clear()
    assert library() == f"{made} is another user's, or can be written by others"


def test_users_who_share_a_folder_load_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SETTING, str(tmp_path))
    compiled()
    [first] = tmp_path.iterdir()
    found, other = Path.stat, os.getuid() + 1

    def stat(path: Path, **settings: bool) -> os.stat_result:
        owned = path.parent == tmp_path and path != first  # what the other user makes
        return os.stat_result((*found(path)[:4], other, *found(path)[5:])) if owned else found(path, **settings)

    monkeypatch.setattr(os, "getuid", lambda: other)
    monkeypatch.setattr(Path, "stat", stat)
    library.cache_clear()
    assert not isinstance(library(), str)
    assert len(list(tmp_path.iterdir())) == 2


def test_no_other_user_can_write_it_at_any_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named, modes = Path.replace, list[int]()

    def replace(path: Path, target: Path) -> Path:
        modes.append(path.stat().st_mode & 0o777)
        return named(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setenv(SETTING, str(tmp_path / "kept"))
    before = os.umask(0)
    try:
        compiled()
    finally:
        os.umask(before)
    assert modes == [0o600]


def test_doctor_says_who_computes_decode_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SETTING, "off")
    said = CliRunner().invoke(make_app(["doctor"]), ["doctor"]).output
    assert "decode steps on a CPU  by torch: RMTBENCH_NATIVE is off" in said
