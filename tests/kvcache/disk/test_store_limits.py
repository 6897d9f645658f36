"""The store stays within its limit by removing what was not used for longest, and never fills the disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from stored_caches import Shop, context

from rmtbench.errors import UserError
from rmtbench.kvcache.disk.eviction import check, collect, entries, size_text
from rmtbench.kvcache.disk.manifest import FILE
from rmtbench.locks import take_turn
from rmtbench.models.local import LocalModel


def age(folder: Path, seconds: float) -> None:
    """Let a cache have been used so long ago."""
    for file in folder.iterdir():
        stamp = file.stat().st_mtime - seconds
        os.utime(file, (stamp, stamp))


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def made(shop: Shop, model: LocalModel, *seeds: int) -> list[Path]:
    """Caches of several contexts, the first used longest ago."""
    folders = []
    for number, seed in enumerate(seeds):
        shop.get(model, context(seed=seed))
        [folder] = set(shop.folders) - set(folders)
        folders.append(folder)
        age(folder, 1000 - number)
    return folders


def test_the_least_recently_used_cache_makes_room_for_a_new_one(tmp_path: Path, tiny_model: LocalModel) -> None:
    folders = made(Shop(tmp_path), tiny_model, 0, 1, 2)
    shop = Shop(tmp_path, limit=int(size(folders[0]) * 3.5))
    assert shop.get(tiny_model, context(seed=0)).reused_tokens == 75, "and so it is the one used last"
    shop.get(tiny_model, context(seed=3))
    assert folders[0].exists()
    assert not folders[1].exists()
    assert any(folders[1].name in line and "least recently used" in line for line in shop.said)
    assert len(shop.folders) == 3
    assert sum(entry.bytes for entry in entries(tmp_path)) <= shop.store.limit


def test_useless_leftovers_take_no_room_of_others(tmp_path: Path, tiny_model: LocalModel) -> None:
    [kept] = made(Shop(tmp_path), tiny_model, 0)
    with pytest.raises(KeyboardInterrupt):
        Shop(tmp_path).get(tiny_model, context(seed=1), 48)
    [unfinished] = tmp_path.glob(".unfinished-*")
    (unfinished / "chunks.jsonl").unlink()
    Shop(tmp_path, limit=int(size(kept) * 2.5)).get(tiny_model, context(seed=1))
    assert kept.exists()


def test_cache_beyond_limit_is_refused_without_eviction(tmp_path: Path, tiny_model: LocalModel) -> None:
    folders = made(Shop(tmp_path), tiny_model, 0)
    with pytest.raises(UserError, match="the store may have 10 kB") as caught:
        Shop(tmp_path, limit=10_000).get(tiny_model, context(seed=1))
    assert caught.value.where == "--cache-limit"
    assert folders[0].exists()


def test_a_disk_that_is_too_small_is_refused_after_one_chunk(
    tmp_path: Path, tiny_model: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    shop = Shop(tmp_path)
    with pytest.raises(UserError, match="and the disk has 1 kB left"):
        shop.get(tiny_model, context())
    assert shop.read == []
    assert entries(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_an_error_of_the_user(tmp_path: Path, tiny_model: LocalModel) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written") as caught:
        Shop(tmp_path / "file" / "store").get(tiny_model, context())
    assert "--kv-cache" in caught.value.remedy


def test_collecting_removes_unusable_then_excess(tmp_path: Path, tiny_model: LocalModel) -> None:
    shop = Shop(tmp_path)
    folders = made(shop, tiny_model, 0, 1, 2)
    (folders[2] / FILE).write_text("{}")
    with pytest.raises(KeyboardInterrupt):
        shop.get(tiny_model, context(seed=3), 32)
    (tmp_path / ".removed-left-behind").mkdir()
    before, told = sum(entry.bytes for entry in entries(tmp_path)), list[str]()
    freed = collect(tmp_path, int(size(folders[0]) * 1.5), told.append)
    assert [folder.exists() for folder in folders] == [False, True, False]
    assert [path.name for path in tmp_path.glob(".*")] == [".locks"]
    assert freed == before - size(folders[1])
    assert len(told) == 3
    assert check(folders[1]) == []


def test_a_cache_that_is_being_made_is_not_collected(tmp_path: Path, tiny_model: LocalModel) -> None:
    shop = Shop(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        shop.get(tiny_model, context(), 32)
    [unfinished] = entries(tmp_path)
    with take_turn(tmp_path / ".locks" / unfinished.name, print):
        assert collect(tmp_path, 0, print) == 0
    assert collect(tmp_path, 10**9, print) == unfinished.bytes


def test_sizes_are_told_with_three_digits() -> None:
    assert [size_text(count) for count in (0, 999, 2_750_000_000, 10**13)] == ["0 B", "999 B", "2.75 GB", "10 TB"]


def test_foreign_files_in_folder_are_left_alone(tmp_path: Path, tiny_model: LocalModel) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work" * 1000)
    (tmp_path / "notes.txt").write_text("more")
    Shop(tmp_path).get(tiny_model, context())
    [folder] = tmp_path.glob("random-tiny-75-*")
    assert [entry.path for entry in entries(tmp_path)] == [folder]
    collect(tmp_path, 0, print)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".locks", "notes.txt", "thesis"]
    assert (tmp_path / "thesis" / "chapter.tex").exists()
