"""Columns of a run on disk: they come back as they were, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from journal_runs import answer, write_run

from rmtbench.journal import column_cache
from rmtbench.journal.column_cache import FOLDER, journal_key, load_columns, remove_outdated, save_columns
from rmtbench.journal.columns import make_columns
from rmtbench.journal.layout import RunFolder
from rmtbench.journal.packed import pack
from rmtbench.journal.record import read_run

ANSWERS = {(draw, name): answer(name) for draw in (0, 1) for name in ("q0", "q1")}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path, ANSWERS).path


def test_columns_come_back_as_they_were(run: Path) -> None:
    columns, key = make_columns(read_run(run)), journal_key(RunFolder(run))
    save_columns(run, key, columns)
    kept = load_columns(run, key)
    assert kept is not None
    # NaN stands for null and equals nothing: compared as bytes.
    for name in ("seconds", "tokens"):
        mine, theirs = getattr(columns, name), getattr(kept, name)
        assert {each: mine[each].tobytes() for each in mine} == {each: theirs[each].tobytes() for each in theirs}
    for name in ("draws", "ids", "states", "positions", "places", "written", "strays", "usual", "scores", "spans"):
        assert getattr(kept, name) == getattr(columns, name)


def test_another_key_or_version_finds_nothing(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = journal_key(RunFolder(run))
    assert load_columns(run, key) is None
    save_columns(run, key, make_columns(read_run(run)))
    assert load_columns(run, "another") is None
    monkeypatch.setattr(column_cache, "VERSION", column_cache.VERSION + 1)
    assert load_columns(run, key) is None


@pytest.mark.parametrize("name", ["scores", "answers", "gold", "corpora"])
def test_the_key_is_of_all_that_columns_are_made_from(run: Path, name: str) -> None:
    folder = RunFolder(run)
    before = journal_key(folder)
    path: Path = getattr(folder, name)
    path.write_bytes((path.read_bytes() if path.exists() else b"") + b"\n")
    assert journal_key(folder) != before


def test_the_key_of_a_packed_run_is_of_its_file(run: Path) -> None:
    packed = pack(run)
    before = journal_key(RunFolder(run))
    packed.write_bytes(packed.read_bytes() + b"more")
    assert journal_key(RunFolder(run)) != before


def test_files_of_other_runs_are_removed_and_no_others(run: Path) -> None:
    save_columns(run, journal_key(RunFolder(run)), make_columns(read_run(run)))
    gone, unfinished = run.parent / FOLDER / "gone.bin", run.parent / FOLDER / ".x.bin.1.tmp"
    gone.write_bytes(b"")
    unfinished.write_bytes(b"")  # another process may be writing it now
    remove_outdated(run.parent, [run])
    assert {path.name for path in (run.parent / FOLDER).iterdir()} == {f"{run.name}.bin", unfinished.name}
