"""What a stored cache costs, compared with computing it again: saved once, then loaded with cold and with warm pages.

It also damages stored caches at random and counts how many damages were noticed.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from experiments.benches.kv_damage import damage_check
from experiments.benches.options import KvStoreBench
from rmtbench.bench.apart import run_apart
from rmtbench.bench.rmt import parse_tokens
from rmtbench.errors import UserError
from rmtbench.kvcache.watching import ReadProgress, Watch


@dataclass(frozen=True, slots=True)
class Context:
    """A model and how many tokens it reads."""

    model: str
    tokens: int


def parse_contexts(text: str) -> list[Context]:
    """Read models and lengths, such as ``mini=21k,random:llama-0.1b=4k``.

    Raises:
        UserError: The text has another form.
    """
    found = []
    for part in text.split(","):
        model, mark, tokens = part.strip().rpartition("=")
        if not mark or not model:
            raise UserError(
                f"'{part}' names no model and length",
                where="--contexts",
                remedy=f"give such as {KvStoreBench.contexts}",
            )
        found.append(Context(model, parse_tokens(tokens, "--contexts")))
    return found


def run(asked: KvStoreBench, *, report: Callable[[str], None] = lambda _line: None) -> dict[str, Any]:
    """Measure every context in a process of its own, then damage caches of a tiny model.

    Args:
        asked: See `parse_contexts` for its contexts.
        report: Gets lines about the progress.

    Returns:
        `rows` (seconds of computing, of saving besides, of loading cold and warm; bytes, the peak while it was made;
        tokens a second) and `damage`: see `damage_check`.

    Raises:
        UserError: A model or length does not exist, or the disk is too small.
    """
    wanted = parse_contexts(asked.contexts)
    with tempfile.TemporaryDirectory(dir=asked.folder, prefix="rmtbench-kv-") as made:
        rows = []
        for context in wanted:
            watch = partial(_told, report, context)
            rows.append(run_apart(partial(_measure, context, Path(made), asked.threads, asked.device), watch))
            report(f"{context.model}, {rows[-1]['tokens']:,} tokens: {_line(rows[-1])}")
        damage = run_apart(partial(_damage, Path(made), asked.damaged))
        report(f"damaged caches detected: {damage['detected']} of {damage['damaged']}")
    return {"rows": rows, "damage": damage}


def _told(report: Callable[[str], None], context: Context, done: int) -> None:
    report(f"{context.model}: {done:,} of {context.tokens:,} tokens read")


def _line(row: Mapping[str, Any]) -> str:
    names = ("compute_seconds", "save_seconds", "cold_load_seconds", "warm_load_seconds")
    return ", ".join(f"{name.removesuffix('_seconds').replace('_', ' ')} {row[name]:.3f} s" for name in names)


def _measure(
    context: Context, folder: Path, threads: int | None, device: str, watch: Callable[[int], None]
) -> dict[str, Any]:
    import torch

    from rmtbench.kvcache.disk.layer_file import layer_name, read
    from rmtbench.kvcache.disk.obtain import obtain
    from rmtbench.kvcache.disk.store import CacheStore
    from rmtbench.measure import peak_device_bytes, peak_resident_bytes, reset_peak_memory
    from rmtbench.models.load import choose_device, choose_dtype, load_model

    if threads is not None:
        torch.set_num_threads(threads)
    where = choose_device(device)
    dtype = choose_dtype("auto", where)
    model = load_model(context.model, device=where, dtype=dtype)
    chance = random.Random(0)  # noqa: S311 - no secret
    ids = [chance.randrange(model.model.config.vocab_size) for _ in range(context.tokens)]
    obtain(model, ids[:64])  # the first call sets kernels up
    last = {"at": time.monotonic()}

    def reading(progress: ReadProgress) -> None:
        if time.monotonic() - last["at"] > 10:
            last["at"] = time.monotonic()
            watch(progress.done)

    store = CacheStore(folder / "store", 10**15)
    reset_peak_memory(where)
    made = obtain(model, ids, store=store, watch=Watch(reading=reading))
    making = made.seconds
    row: dict[str, Any] = {
        "model": context.model,
        "tokens": context.tokens,
        "bytes": made.value.tensors.bytes,
        "device": where,
        "dtype": dtype,
        "threads": torch.get_num_threads(),
        "compute_seconds": making["prefill"],
        "compute_tokens_per_second": context.tokens / making["prefill"],
        "peak_bytes": peak_device_bytes(where) or peak_resident_bytes(),
        "save_seconds": making["save"],
    }
    del made
    [cache] = [path for path in store.folder.iterdir() if not path.name.startswith(".")]

    def load() -> float:
        began = time.perf_counter()
        loaded = obtain(model, ids, store=store).value
        took = time.perf_counter() - began
        if loaded.reused_tokens != len(ids):
            raise RuntimeError("the cache was not loaded")
        return took

    _forget_pages(cache)
    row["cold_load_seconds"] = load()
    row["warm_load_seconds"] = min(load() for _ in range(3))
    began = time.perf_counter()
    for layer in range(len(list(cache.glob("layer-*")))):
        read(cache / layer_name(layer))
    row["map_only_seconds"] = time.perf_counter() - began
    row["compute_over_cold_load"] = row["compute_seconds"] / row["cold_load_seconds"]
    row["compute_over_warm_load"] = row["compute_seconds"] / row["warm_load_seconds"]
    shutil.rmtree(store.folder)
    return row


def _forget_pages(folder: Path) -> None:
    """Drop these files from the page cache. The operating system can drop only what it has written to the disk."""
    for file in folder.iterdir():
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def _damage(folder: Path, count: int, _watch: Callable[[int], None]) -> dict[str, Any]:
    from rmtbench.models.load import load_model

    return damage_check(load_model("random:tiny"), folder, count)
