"""A store on a shared disk: one maker, and after a stale one the work is doubled and nothing else."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from machines import LEASE_SECONDS, machine, said
from stored_caches import CHUNK, Shop, context, equal

from rmtbench import locks
from rmtbench.kvcache.disk.eviction import check
from rmtbench.kvcache.exact.prefill import prefill
from rmtbench.models.local import LocalModel

MAKER = """
import stored_caches
from rmtbench.kvcache.disk.obtain import obtain
from rmtbench.kvcache.watching import Watch
from rmtbench.models.load import load_model
shop = stored_caches.Shop(Path({store!r}))
def reading(progress):
    if progress.done == {stop}:
        pause()
watch = Watch(reading, shop.said.append)
obtain(load_model("random:tiny"), stored_caches.context(), store=shop.store, watch=watch, chunk_tokens={chunk})
print(shop.said[-1] if shop.said else "stored", flush=True)
"""


def maker(store: Path, stop: int) -> str:
    return MAKER.format(store=str(store), stop=stop, chunk=CHUNK)


@pytest.mark.parametrize(("flock", "stop"), [("ENOLCK", CHUNK), ("for-everybody", 75)])
def test_a_stopped_makers_cache_is_taken_over_and_stays_good(
    tmp_path: Path, tiny_model: LocalModel, monkeypatch: pytest.MonkeyPatch, flock: str, stop: int
) -> None:
    monkeypatch.setattr(locks, "LEASE_SECONDS", LEASE_SECONDS)
    shop = Shop(tmp_path / "store")
    with machine("node7", flock, maker(tmp_path / "store", stop)) as stopped:
        assert said(stopped) == "stopped"
        found = shop.get(tiny_model, context())
        assert shop.said[0] == f"waiting for process {stopped.pid} on node7, which makes this cache now"
        assert found.reused_tokens >= CHUNK - CHUNK * (stop == CHUNK)
        stopped.send_signal(signal.SIGCONT)
        assert said(stopped).endswith("another one has taken over, so that nothing more is stored here")
    assert equal(found.tensors, prefill(tiny_model.model, context(), chunk_tokens=CHUNK))
    assert [check(folder) for folder in shop.folders] == [[]]
    assert [path.name for path in shop.store.folder.glob(".*")] == [".locks"]


@pytest.mark.parametrize("flock", ["EOPNOTSUPP", "for-everybody"])
def test_makers_on_two_machines_make_one_cache(tmp_path: Path, flock: str) -> None:
    with (
        machine("node7", flock, maker(tmp_path / "store", -1)) as one,
        machine("node8", flock, maker(tmp_path / "store", -1)) as other,
    ):
        ends = {said(one), said(other)}
    assert "stored" in ends
    shop = Shop(tmp_path / "store")
    assert [check(folder) for folder in shop.folders] == [[]]
