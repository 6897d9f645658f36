"""Damage stored caches in every way that comes to mind, ask for them again, and count how often it was noticed.

A damage counts as detected if what is given is what was computed, nothing of the damaged cache was used, and the reason
was told.
"""

from __future__ import annotations

import copy
import json
import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rmtbench.kvcache.base import PrefixKV
from rmtbench.kvcache.disk.manifest import FILE, IDS_FILE
from rmtbench.kvcache.disk.obtain import obtain
from rmtbench.kvcache.disk.store import CacheStore
from rmtbench.kvcache.exact.prefill import prefill
from rmtbench.kvcache.watching import Watch
from rmtbench.models.local import LocalModel

CHUNK_TOKENS = 64

Damage = Callable[[Path, random.Random], None]


def _any_file(folder: Path, chance: random.Random) -> Path:
    return chance.choice(sorted(folder.iterdir()))


def _flip(file: Path, chance: random.Random) -> None:
    data = bytearray(file.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    file.write_bytes(data)


def _flip_anywhere(folder: Path, chance: random.Random) -> None:
    _flip(_any_file(folder, chance), chance)


def _flip_in_a_layer(folder: Path, chance: random.Random) -> None:
    _flip(chance.choice(sorted(folder.glob("layer-*"))), chance)


def _flip_in_the_ids(folder: Path, chance: random.Random) -> None:
    _flip(folder / IDS_FILE, chance)


def _truncate(folder: Path, chance: random.Random) -> None:
    file = _any_file(folder, chance)
    data = file.read_bytes()
    file.write_bytes(data[: chance.randrange(len(data))])


def _lengthen(folder: Path, chance: random.Random) -> None:
    with _any_file(folder, chance).open("ab") as stream:
        stream.write(chance.randbytes(chance.randint(1, 64)))


def _zero_a_page(folder: Path, chance: random.Random) -> None:
    file = chance.choice(sorted(folder.glob("layer-*")))
    data = bytearray(file.read_bytes())
    start = chance.randrange(0, len(data) - 512)
    data[start : start + 512] = bytes(512)
    file.write_bytes(data)


def _remove_a_file(folder: Path, chance: random.Random) -> None:
    _any_file(folder, chance).unlink()


def _swap_files(folder: Path, chance: random.Random) -> None:
    one, other = chance.sample(sorted(folder.glob("layer-*")), 2)
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(kept)


def _swap_keys_and_values(folder: Path, chance: random.Random) -> None:
    file = chance.choice(sorted(folder.glob("layer-*")))
    data = file.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    half = (len(data) - start) // 2
    file.write_bytes(data[:start] + data[start + half :] + data[start : start + half])


def _edit_manifest(folder: Path, chance: random.Random) -> None:
    values = json.loads((folder / FILE).read_text(encoding="utf-8"))
    places = list(_places(values))
    holder, name = chance.choice(places)
    value = holder[name]
    holder[name] = value + 1 if isinstance(value, int | float) else f"{value}0"
    (folder / FILE).write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _places(values: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """Every single value inside, by the object that holds it."""
    found = []
    for name, value in values.items():
        found += _places(value) if isinstance(value, dict) else [(values, name)]
    return found


DAMAGES: Mapping[str, Damage] = {
    "bit flip anywhere": _flip_anywhere,
    "bit flip in a layer": _flip_in_a_layer,
    "bit flip in the token ids": _flip_in_the_ids,
    "truncation": _truncate,
    "bytes appended": _lengthen,
    "a page of zeros": _zero_a_page,
    "missing file": _remove_a_file,
    "two layers swapped": _swap_files,
    "keys and values swapped": _swap_keys_and_values,
    "edited manifest": _edit_manifest,
}
OTHERS = ("another model", "another tokenizer", "other rope settings", "another dtype")


def damage_check(model: LocalModel, folder: Path, count: int = 100) -> dict[str, Any]:
    """Damage a small cache again and again.

    Args:
        model: Reads it.
        folder: An empty folder to work in.
        count: Caches damaged.

    Returns:
        `damaged`, `detected`, `kinds` (of each: how many, and how many detected), and `missed` by kind and number.
    """
    chance = random.Random(0)  # noqa: S311 - no secret
    vocabulary = model.model.config.vocab_size
    ids = [chance.randrange(vocabulary) for _ in range(3 * CHUNK_TOKENS + 17)]
    truth = prefill(model.model, ids, chunk_tokens=CHUNK_TOKENS)
    good = folder / "good"
    _get(model, ids, good)
    kinds = [*DAMAGES, *OTHERS]
    counts = {kind: {"damaged": 0, "detected": 0} for kind in kinds}
    missed = []
    for number in range(count):
        kind = kinds[number % len(kinds)]
        store = folder / "damaged"
        shutil.rmtree(store, ignore_errors=True)
        shutil.copytree(good, store)
        asked = model
        if kind in DAMAGES:
            [cache] = [path for path in store.iterdir() if not path.name.startswith(".")]
            DAMAGES[kind](cache, chance)
        else:
            asked = _other(model, kind, chance)
        found, reused, told = _get(asked, ids, store)
        right = asked is not model or _equal(found, truth)
        detected = right and reused == 0 and bool(told)
        counts[kind]["damaged"] += 1
        counts[kind]["detected"] += detected
        if not detected:
            missed.append(f"{kind}, number {number}")
    return {
        "damaged": count,
        "detected": sum(row["detected"] for row in counts.values()),
        "kinds": counts,
        "missed": missed,
    }


def _other(model: LocalModel, kind: str, chance: random.Random) -> LocalModel:
    """The same model to look at, which differs in one thing that decides a cache's bytes or their meaning."""
    if kind == "other rope settings":
        changed = copy.deepcopy(model.model)
        rope = dict(changed.config.rope_parameters)
        changed.config.rope_parameters = {**rope, "rope_theta": rope["rope_theta"] * chance.uniform(1.1, 9.0)}
        return replace(model, model=changed)
    field = {"another model": "weights_sha256", "another tokenizer": "tokenizer_sha256", "another dtype": "dtype"}[kind]
    value = "bfloat16" if field == "dtype" else f"{chance.getrandbits(256):064x}"
    return replace(model, provenance={**model.provenance, field: value})


def _get(model: LocalModel, ids: Sequence[int], folder: Path) -> tuple[PrefixKV, int, list[str]]:
    told: list[str] = []
    store, watch = CacheStore(folder, 10**12), Watch(notice=told.append)
    found = obtain(model, ids, store=store, watch=watch, chunk_tokens=CHUNK_TOKENS).value
    return found.tensors, found.reused_tokens, told


def _equal(one: PrefixKV, other: PrefixKV) -> bool:
    import torch

    pairs = zip((*one.keys, *one.values), (*other.keys, *other.values), strict=True)
    return one.token_ids == other.token_ids and all(torch.equal(left, right) for left, right in pairs)
