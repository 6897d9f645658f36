"""A packed run reads as its folder did, is the same bytes each time, and comes back as it was."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from journal_runs import SPEC, answer, write_run

from rmtbench.errors import UserError
from rmtbench.journal.find import find_runs
from rmtbench.journal.packed import pack, unpack
from rmtbench.journal.record import read_run
from rmtbench.journal.writer import RunWriter, finished_run

ANSWERS = {(draw, name): answer(name) for draw in (0, 1) for name in ("q0", "q1")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_run(tmp_path, ANSWERS).path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


def test_a_packed_run_reads_as_its_folder_did(folder: Path) -> None:
    before = read_run(folder)
    packed = pack(folder)
    assert not folder.exists()
    assert find_runs(folder.parent) == find_runs(packed) == find_runs(folder) == [folder]
    for path in (packed, folder):
        assert replace(read_run(path), folder=before.folder) == before
    assert finished_run(folder.parent, SPEC)


def test_packing_again_gives_the_same_bytes(folder: Path) -> None:
    before = contents(folder)
    packed = pack(folder)
    data = packed.read_bytes()
    assert unpack(packed) == folder
    assert contents(folder) == before
    assert pack(folder).read_bytes() == data


@pytest.mark.parametrize("stopped", [KeyboardInterrupt(), OSError(39, "Directory not empty")])
def test_a_run_packed_but_for_its_old_folder_is_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch, stopped: BaseException
) -> None:
    """As Ctrl-C leaves it, or NFS, where a folder with an open file cannot be removed."""
    before = read_run(folder).answers
    remove = shutil.rmtree

    def half(path: Path, *, ignore_errors: bool = False) -> None:
        if path.is_dir():
            (path / "answers.jsonl").unlink()
            if not (ignore_errors and isinstance(stopped, OSError)):
                raise stopped

    monkeypatch.setattr(shutil, "rmtree", half)
    with suppress(KeyboardInterrupt):
        pack(folder)
    monkeypatch.setattr(shutil, "rmtree", remove)
    assert find_runs(folder.parent) == [folder]
    assert read_run(folder).answers == before
    unpack(folder.with_name(f"{folder.name}.zip"))
    assert pack(folder).is_file()
    assert read_run(folder).answers == before
    assert [path.name for path in folder.parent.iterdir()] == [f"{folder.name}.zip"]


def test_what_an_interrupted_command_hides_is_no_run(folder: Path) -> None:
    shutil.copytree(folder, folder.with_name(f".{folder.name}.merging"))
    assert find_runs(folder.parent) == [folder]


def test_a_run_that_is_being_written_is_not_packed(folder: Path) -> None:
    before = contents(folder)
    with RunWriter(folder.parent, SPEC), pytest.raises(UserError, match="is writing this run"):
        pack(folder)
    assert contents(folder) == before
    assert pack(folder).is_file()


def test_nothing_is_added_to_a_packed_run(folder: Path) -> None:
    packed = pack(folder)
    with pytest.raises(UserError, match="packed, and nothing can be added") as caught, RunWriter(folder.parent, SPEC):
        pass
    assert caught.value.remedy == f"rmtbench pack {packed} --undo makes a folder of it again"


def test_a_damaged_zip_and_a_damaged_row_are_named(folder: Path) -> None:
    (folder / "answers.jsonl").write_text('{"schema":1}\n')
    packed = pack(folder)
    with pytest.raises(UserError, match="field 'draw' is missing") as row:
        read_run(packed)
    assert row.value.where == f"{packed}/answers.jsonl, line 1"
    packed.write_bytes(packed.read_bytes()[:-40])
    with pytest.raises(UserError, match="damaged") as caught:
        read_run(packed)
    assert caught.value.where == str(packed)


def test_runs_are_found_by_name_whether_packed_or_not(folder: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path, ANSWERS, replace(SPEC, system="aaa")).path
    (tmp_path / "notes.zip").write_bytes(b"PK\x05\x06" + bytes(18))
    pack(folder)
    assert find_runs(tmp_path) == [other, folder]


@pytest.mark.parametrize("damage", ["compressed data", "encrypted"])
def test_a_member_that_cannot_be_read_is_named(folder: Path, damage: str) -> None:
    packed = pack(folder)
    data = bytearray(packed.read_bytes())
    if damage == "encrypted":
        for place in [at for at in range(len(data) - 4) if data[at : at + 4] == b"PK\x01\x02"]:
            data[place + 8] |= 1  # the flag in the list of all members
    else:
        start = data.index(b"PK\x03\x04") + 60
        data[start : start + 40] = bytes(40)
    packed.write_bytes(bytes(data))
    with pytest.raises(UserError, match="damaged: ") as caught:
        read_run(folder)
    assert caught.value.where == str(packed)
    assert caught.value.remedy == "copy the file again, or remove it"
