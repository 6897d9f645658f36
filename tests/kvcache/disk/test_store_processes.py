"""Processes that make the same cache at once end with one good cache; a killed one leaves what was there before."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from stored_caches import CHUNK, Shop, context, equal

from rmtbench.kvcache.disk.eviction import check
from rmtbench.kvcache.exact.prefill import prefill
from rmtbench.locks import take_turn, turn_if_free
from rmtbench.models.local import LocalModel

NURSERY = """
import json, os, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from stored_caches import Shop, context
from rmtbench.models.load import load_model
model = load_model("random:tiny")
Shop(Path({folder!r}).with_name("warm")).get(model, context())
print("ready", flush=True)
for line in sys.stdin:
    pids = []
    for seeds in json.loads(line):
        pids.append(os.fork())
        if pids[-1] == 0:
            for seed in seeds:
                shop = Shop(Path({folder!r}))
                reused = shop.get(model, [*context(64), *context(600, seed=seed)]).reused_tokens
                os.write(1, (json.dumps(reused) + chr(10)).encode())
            os._exit(0)
    print(json.dumps(pids), flush=True)
    for pid in pids:
        os.waitpid(pid, 0)
    print("ended", flush=True)
"""


class Nursery:
    """A process that has a model ready, and processes of its own make caches with it."""

    def __init__(self, folder: Path) -> None:
        script = NURSERY.format(tests=str(Path(__file__).parents[1]), folder=str(folder))
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.given, self.said = self.process.stdin, self.process.stdout
        assert self.said.readline() == "ready\n"

    def begin(self, *seeds: list[int]) -> None:
        """Let one process for each list make its caches."""
        self.given.write(json.dumps(seeds) + "\n")
        self.given.flush()

    def wait(self) -> list[object]:
        """What was said until all have ended."""
        return [json.loads(line) for line in iter(self.said.readline, "ended\n")]


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    made = Nursery(tmp_path / "store")
    yield made
    made.process.kill()
    made.process.communicate()


def whole(seed: int) -> list[int]:
    return [*context(64), *context(600, seed=seed)]


def test_processes_making_one_cache_end_with_one_good_cache(
    tmp_path: Path, nursery: Nursery, tiny_model: LocalModel
) -> None:
    nursery.begin([1], [1], [1])
    reused = [row for row in nursery.wait() if isinstance(row, int)]
    assert sorted(reused) == [0, 664, 664]
    shop = Shop(tmp_path / "store")
    assert [check(folder) for folder in shop.folders] == [[]]
    assert list(shop.store.folder.glob(".unfinished-*")) == []
    assert equal(shop.get(tiny_model, whole(1)).tensors, prefill(tiny_model.model, whole(1), chunk_tokens=CHUNK))


def test_kill_at_any_moment_leaves_old_cache_good(tmp_path: Path, nursery: Nursery, tiny_model: LocalModel) -> None:
    shop, chance = Shop(tmp_path / "store"), random.Random(6)
    shop.get(tiny_model, whole(0))
    [old] = shop.folders
    expected = {seed: prefill(tiny_model.model, whole(seed), chunk_tokens=CHUNK) for seed in (0, 1)}
    began = time.monotonic()
    nursery.begin([9])
    nursery.wait()
    took = time.monotonic() - began
    found = []
    for _ in range(30):
        for path in (*shop.store.folder.glob(".unfinished-*"), *shop.folders):
            if path != old:
                shutil.rmtree(path)
        nursery.begin([1])
        [pid] = json.loads(nursery.said.readline())
        time.sleep(chance.uniform(0.0, took * 1.2))
        with suppress(ProcessLookupError):  # it may have ended by itself
            os.kill(pid, signal.SIGKILL)
        nursery.wait()
        unfinished = list(shop.store.folder.glob(".unfinished-*"))
        found.append("unfinished" if unfinished else "complete" if len(shop.folders) == 2 else "nothing")
        assert old in shop.folders
        assert [check(folder) for folder in shop.folders] == [[]] * len(shop.folders)
        assert all(equal(shop.get(tiny_model, whole(seed)).tensors, made) for seed, made in expected.items())
        assert [check(folder) for folder in shop.folders] == [[], []]
    assert found.count("unfinished") > 3, found


def test_waiting_names_holder_and_dead_holder_is_ignored(tmp_path: Path) -> None:
    lock = tmp_path / "locks" / "one"
    script = (
        "import sys\nfrom pathlib import Path\nfrom rmtbench.locks import take_turn\n"
        f"with take_turn(Path({str(lock)!r}), print): print('held', flush=True); sys.stdin.readline()"
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    with turn_if_free(lock) as free:
        assert not free
    told: list[str] = []

    def waiting(text: str) -> None:
        told.append(text)
        child.kill()
        child.wait()  # until then its number is in use

    with take_turn(lock, waiting):
        assert told == [f"waiting for process {child.pid}, which makes this cache now"]
    child.communicate(timeout=60)
    with turn_if_free(lock) as free:
        assert free


@pytest.mark.parametrize("moment", ["write_manifest", "flush"])
def test_an_error_while_completing_leaves_chunks_for_next_start(
    tmp_path: Path, tiny_model: LocalModel, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    def refuse(*_given: object) -> None:
        raise OSError(5, "Input/output error")

    shop = Shop(tmp_path / "store")
    with monkeypatch.context() as patch:
        patch.setattr(f"rmtbench.kvcache.disk.store.{moment}", refuse)
        with pytest.raises(OSError, match="Input/output"):
            shop.get(tiny_model, context())
    assert shop.folders == []
    assert shop.get(tiny_model, context()).reused_tokens == 75
    assert check(shop.folders[0]) == []
