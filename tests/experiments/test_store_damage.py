"""Whatever is done to a stored cache, no answer comes from it: it is noticed, told, and the context is read again."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest  # noqa: TC002 - it is loaded anyway

from experiments.benches.kv_damage import CHUNK_TOKENS, DAMAGES, OTHERS, damage_check
from rmtbench.kvcache.disk import manifest
from rmtbench.models.local import LocalModel


def test_100_of_100_damaged_caches_are_detected(tmp_path: Path, tiny_model: LocalModel) -> None:
    figures = damage_check(tiny_model, tmp_path, count=100)
    assert figures["missed"] == []
    assert figures["detected"] == figures["damaged"] == 100
    assert set(figures["kinds"]) == {*DAMAGES, *OTHERS}
    assert min(row["damaged"] for row in figures["kinds"].values()) >= 7


def test_without_checksums_damage_would_be_missed(
    tmp_path: Path, tiny_model: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "_compare", lambda *_: None)
    missed = Counter(line.partition(",")[0] for line in damage_check(tiny_model, tmp_path, count=28)["missed"])
    assert missed["bit flip in a layer"] == missed["two layers swapped"] == missed["a page of zeros"] == 2


def test_every_single_bit_of_a_small_file_counts(tmp_path: Path, tiny_model: LocalModel) -> None:
    from experiments.benches.kv_damage import _get
    from rmtbench.kvcache.disk.eviction import check

    ids = list(range(1, CHUNK_TOKENS + 5))
    _get(tiny_model, ids, tmp_path)
    [folder] = [path for path in tmp_path.iterdir() if not path.name.startswith(".")]
    assert check(folder) == []
    for name in (manifest.FILE, manifest.IDS_FILE):
        data = (folder / name).read_bytes()
        for place in range(0, len(data) * 8, 7):
            changed = bytearray(data)
            changed[place // 8] ^= 1 << place % 8
            (folder / name).write_bytes(changed)
            assert check(folder) != [], f"bit {place} of {name}"
        (folder / name).write_bytes(data)
    assert check(folder) == []


def test_a_cache_under_another_caches_name_is_told(tmp_path: Path, tiny_model: LocalModel) -> None:
    from experiments.benches.kv_damage import _get
    from rmtbench.kvcache.disk.eviction import check

    one, other = list(range(1, 90)), list(range(2, 91))
    _get(tiny_model, one, tmp_path / "store")
    _get(tiny_model, other, tmp_path / "elsewhere")
    [place] = [path for path in (tmp_path / "store").iterdir() if not path.name.startswith(".")]
    [stranger] = [path for path in (tmp_path / "elsewhere").iterdir() if not path.name.startswith(".")]
    shutil.rmtree(place)
    shutil.copytree(stranger, place)
    assert check(place) == ["manifest.json: the folder's name is another cache's"]
    tensors, reused, told = _get(tiny_model, one, tmp_path / "store")
    assert (reused, tensors.token_ids) == (0, tuple(one))
    assert told[0].endswith("token-ids.u32: other token ids")
