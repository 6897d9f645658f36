"""Indexes on a shared disk: others wait for the maker, and a stale maker's folder is taken over."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from machines import FLOCKS, LEASE_SECONDS, machine, said
from test_windows import CHUNKS, files
from word_embedder import WordEmbedder

from rmtbench import locks
from rmtbench.retrieval import dense_build
from rmtbench.retrieval.bm25_build import build_bm25
from rmtbench.retrieval.dense_build import build_dense_files

MAKER = """
from test_windows import CHUNKS
from word_embedder import WordEmbedder
from rmtbench.errors import UserError
from rmtbench.retrieval import dense_build
from rmtbench.retrieval.bm25_build import build_bm25
dense_build.BLOCK = 16
def report(done):
    if done == {stop}:
        pause()
told = []
try:
    if {kind!r} == "dense":
        dense_build.build_dense_files(CHUNKS, Path({folder!r}), WordEmbedder(), report=report, waiting=told.append)
    else:
        build_bm25(CHUNKS, Path({folder!r}), block=200, report=report, waiting=told.append)
except UserError as error:
    told.append(error.what)
print(told[-1] if told else "made", flush=True)
"""


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "LEASE_SECONDS", LEASE_SECONDS)
    monkeypatch.setattr(dense_build, "BLOCK", 16)


def build(kind: str, folder: Path, told: list[str]) -> None:
    if kind == "dense":
        build_dense_files(CHUNKS, folder, WordEmbedder(), waiting=told.append)
    else:
        build_bm25(CHUNKS, folder, block=200, waiting=told.append)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("flock", FLOCKS[1:])
def test_a_stopped_makers_index_is_taken_over_and_stays_good(tmp_path: Path, kind: str, flock: str) -> None:
    told: list[str] = []
    build(kind, tmp_path / "whole", told)
    stop = 32 if kind == "dense" else len(CHUNKS)
    folder = tmp_path / "shared" / "index"
    with machine("node7", flock, MAKER.format(stop=stop, kind=kind, folder=str(folder))) as stopped:
        assert said(stopped) == "stopped"
        build(kind, folder, told)
        assert told == [f"waiting for process {stopped.pid} on node7, which makes this index now"]
        stopped.send_signal(signal.SIGCONT)
        assert said(stopped).startswith("this process was stopped for a while, and another one (")
    assert files(folder) == files(tmp_path / "whole")
    assert sorted(path.name for path in folder.parent.iterdir()) == ["index", "index.lock"]


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("flock", FLOCKS)
def test_makers_on_two_machines_make_one_index(tmp_path: Path, kind: str, flock: str) -> None:
    told: list[str] = []
    build(kind, tmp_path / "whole", told)
    folder = tmp_path / "shared" / "index"
    with (
        machine("node7", flock, MAKER.format(stop=-1, kind=kind, folder=str(folder))) as one,
        machine("node8", flock, MAKER.format(stop=-1, kind=kind, folder=str(folder))) as other,
    ):
        ends = {said(one), said(other)}
    assert "made" in ends
    assert all(end == "made" or end.startswith("waiting for process") for end in ends)
    assert files(folder) == files(tmp_path / "whole")
    assert sorted(path.name for path in folder.parent.iterdir()) == ["index", "index.lock"]
