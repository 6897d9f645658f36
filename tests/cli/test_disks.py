"""Folders that cannot be written, a disk that is full, and two commands in one folder: one error, nothing lost."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_commands import CONSOLE, Command, child_environment, journals, of_systems

OBEYING = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search,-fowner") if os.geteuid() == 0 else ()
"""What lets root obey the modes of folders, as every other user does."""


def run_obeying(words: tuple[str, ...], tmp_path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    if OBEYING and shutil.which("setpriv") is None:
        pytest.skip("root obeys no modes, and there is no setpriv")
    environ = child_environment(tmp_path) | variables
    return subprocess.run([*OBEYING, *CONSOLE, *words], capture_output=True, text=True, env=environ, check=False)


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "read-only"
    folder.mkdir()
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)


def test_results_that_cannot_be_written_are_refused(
    sample_run: tuple[str, ...], tmp_path: Path, read_only: Path
) -> None:
    for results in (read_only, read_only / "below"):
        ended = run_obeying((*sample_run, "--results", str(results)), tmp_path)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr == (
            f"error: {results}: cannot be written (Permission denied)\n  choose another folder with --results\n"
        )


def test_a_report_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    results = tmp_path / "results"
    packed = Path(__file__).parents[2] / "results" / "handbook"
    shutil.copytree(packed, results, ignore=shutil.ignore_patterns("report"))
    results.chmod(0o555)
    ended = run_obeying(("report", str(results), "--quick"), tmp_path)
    results.chmod(0o755)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"error: {results / 'report'}: cannot be written (Permission denied)\n")
    assert "--results" not in ended.stderr


def test_a_cache_that_cannot_be_written_stops_its_users_only(
    sample_run: tuple[str, ...], tmp_path: Path, read_only: Path
) -> None:
    embedding = (*of_systems(sample_run, "rag-dense"), "--top-k", "1")
    ended = run_obeying(embedding, tmp_path, RMTBENCH_CACHE=str(read_only))
    assert (ended.returncode, journals(tmp_path / "results")) == (2, {})
    assert ended.stderr == (
        f"error: {read_only}: caches cannot be written (Permission denied)\n"
        "  set RMTBENCH_CACHE to a folder that can be written\n"
    )
    assert run_obeying(sample_run, tmp_path, RMTBENCH_CACHE=str(read_only)).returncode == 0


def test_a_folder_of_documents_that_is_closed_is_one_error(tmp_path: Path) -> None:
    closed = tmp_path / "own" / "documents" / "closed"
    closed.mkdir(parents=True)
    (closed / "b.md").write_text("It cannot be read.")
    (tmp_path / "own" / "documents" / "a.md").write_text("It can be read.")
    (tmp_path / "own" / "questions.jsonl").write_text('{"question": "Can it?", "answers": "yes"}')
    closed.chmod(0)
    ended = run_obeying(("data", "check", str(tmp_path / "own")), tmp_path)
    closed.chmod(0o755)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"error: {closed}: Permission denied\n")


def test_a_full_disk_is_one_error_and_the_command_resumes(
    rmtbench: Command, sample_run: tuple[str, ...], tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    mounted = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("no small disk can be mounted here")
    words = (*sample_run, "--results", str(disk / "results"))
    try:
        (disk / "filler").write_bytes(b"x" * 60 * 1024)
        said = rmtbench(*words)
        assert said.code == 2
        what, remedy = said.err.splitlines()[-2:]
        assert what.startswith(f"error: {disk / 'results'}")
        assert what.endswith(": the disk is full")
        assert "give the same command again" in remedy
        (disk / "filler").unlink()
        assert rmtbench(*words).code == 0
        [answers] = journals(disk / "results").values()
        assert len(answers) == 2
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_two_commands_share_a_folder_and_lose_nothing(sample_run: tuple[str, ...], tmp_path: Path) -> None:
    commands = [sample_run, sample_run, of_systems(sample_run, "full-context")]
    children = [
        subprocess.Popen([*CONSOLE, *words], stderr=subprocess.PIPE, text=True, env=child_environment(tmp_path))
        for words in commands
    ]
    ended = [(child, child.communicate(timeout=900)[1]) for child in children]
    for child, err in ended:
        assert child.returncode in (0, 2), err
        assert child.returncode == 0 or "another process" in err
        assert "Traceback" not in err
    assert ended[2][0].returncode == 0, ended[2][1]
    assert [len(answers) for answers in journals(tmp_path / "results").values()] == [2, 2]
