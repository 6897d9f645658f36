"""Indexes in files: made in blocks, gone on with after a break, opened again, and refused when of anything else."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rmtbench.errors import UserError
from rmtbench.models.base import Role
from rmtbench.retrieval.base import Chunk
from rmtbench.retrieval.bm25 import FastBM25Index
from rmtbench.retrieval.bm25_build import build_bm25
from rmtbench.retrieval.bm25_files import open_bm25
from rmtbench.retrieval.dense_build import build_dense_files, choose_kind
from rmtbench.retrieval.dense_files import open_dense
from rmtbench.retrieval.identity import START, chunks_hash, extend, only_builder
from rmtbench.retrieval.words import PLAIN, Words

TEXTS = [f"the mill number {number % 7} by the river {'Oss' * (number % 3)} runs" for number in range(60)]
CHUNKS = [Chunk(f"d{number}", f"Title {number % 5}", text, 0, len(text)) for number, text in enumerate(TEXTS)]
QUERIES = ["mill 3", "the river OssOss", "Title 4 running", "nothing", ""]
SETTINGS = Words("english", "english")


class Hashing:
    """A small embedder that needs no model: each text's vector is drawn from its own bytes."""

    name, dimension, max_tokens = "hashing", 16, None

    def __init__(self, sha256: str = "a" * 64) -> None:
        self.sha256, self.embedded = sha256, 0

    def prompt(self, _role: Role) -> str:
        return ""

    def windows(self, texts: Sequence[str], _heads: Sequence[str]) -> list[list[tuple[int, int]]]:
        return [[(0, len(text))] for text in texts]

    def embed(self, texts: Sequence[str], _role: Role = "passage") -> np.ndarray:
        self.embedded += len(texts)
        rows = [np.random.default_rng(list(text.encode())).standard_normal(16) for text in texts]
        matrix = np.array(rows, dtype=np.float32).reshape(-1, 16)
        return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)

    def truncated(self, texts: Sequence[str]) -> int:
        return 0


class Breaking:
    """Chunks whose reading breaks off, as a killed process does."""

    def __init__(self, chunks: Sequence[Chunk], after: int) -> None:
        self.chunks, self.after = chunks, after

    def __iter__(self) -> Iterator[Chunk]:
        yield from self.chunks[: self.after]
        raise KeyboardInterrupt


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_kept_bm25_index_finds_what_it_found_with_all_settings(tmp_path: Path) -> None:
    build_bm25(CHUNKS, tmp_path / "made" / "index", SETTINGS)
    kept = open_bm25(tmp_path / "made" / "index", CHUNKS, Words("english", "english"))
    assert kept.search(QUERIES, 10) == FastBM25Index(CHUNKS, SETTINGS).search(QUERIES, 10)
    assert kept.bytes > 0


@pytest.mark.parametrize("block", [1, 40, 137, 10_000])
def test_the_size_of_blocks_changes_no_byte(block: int, tmp_path: Path) -> None:
    build_bm25(CHUNKS, tmp_path / "one", block=4_000_000)
    build_bm25(CHUNKS, tmp_path / "many", block=block)
    assert files(tmp_path / "many") == files(tmp_path / "one")
    assert [path.name for path in tmp_path.iterdir() if "unfinished" in path.name] == []


@pytest.mark.parametrize("after", [1, 17, 59, 60])
def test_a_build_that_broke_off_goes_on_and_gives_the_same_bytes(after: int, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        build_bm25(Breaking(CHUNKS, after), tmp_path / "index", block=40)
    assert not (tmp_path / "index").exists()
    counted: list[int] = []
    build_bm25(CHUNKS, tmp_path / "index", block=40, report=counted.append)
    if after > 17:
        assert min(counted) > 17, "what stood was counted anew"
    build_bm25(CHUNKS, tmp_path / "whole", block=40)
    assert files(tmp_path / "index") == files(tmp_path / "whole")


@pytest.mark.parametrize(
    "other", [[*CHUNKS[1:]], CHUNKS[:3], [*CHUNKS[:30], replace(CHUNKS[30], text="x"), *CHUNKS[31:]]]
)
def test_blocks_of_other_chunks_or_settings_are_not_gone_on_with(other: list[Chunk], tmp_path: Path) -> None:
    for settings in (PLAIN, SETTINGS):
        with pytest.raises(KeyboardInterrupt):
            build_bm25(Breaking(other, len(other)), tmp_path / "index", settings, block=20)
        build_bm25(CHUNKS, tmp_path / "index", block=20)
        assert open_bm25(tmp_path / "index", CHUNKS).search(QUERIES, 9) == FastBM25Index(CHUNKS).search(QUERIES, 9)
        (tmp_path / "index").rename(tmp_path / f"done-{settings.stemming}")


@pytest.mark.parametrize(
    ("chunks", "settings", "what"),
    [
        (CHUNKS[:-1], SETTINGS, "other chunks"),
        (CHUNKS[::-1], SETTINGS, "other chunks"),
        ([replace(CHUNKS[0], title="Another"), *CHUNKS[1:]], SETTINGS, "other chunks"),
        (CHUNKS, PLAIN, "other settings of BM25"),
        (CHUNKS, Words("german", "english"), "other settings of BM25"),
        (CHUNKS, Words("english", None), "other settings of BM25"),
    ],
)
def test_a_stale_bm25_index_is_refused_in_one_line(
    chunks: list[Chunk], settings: Words, what: str, tmp_path: Path
) -> None:
    build_bm25(CHUNKS, tmp_path / "index", SETTINGS)
    with pytest.raises(UserError) as caught:
        open_bm25(tmp_path / "index", chunks, settings)
    assert caught.value.what == f"the index was made from {what}"
    assert caught.value.where == str(tmp_path / "index")
    assert "remove it" in caught.value.remedy


@pytest.mark.parametrize("name", ["index.json", "rows.bin", "values.bin", "hashes.bin", "words.bin"])
def test_a_damaged_index_is_refused(name: str, tmp_path: Path) -> None:
    build_bm25(CHUNKS, tmp_path / "index")
    (tmp_path / "index" / name).write_bytes(b"torn")
    with pytest.raises(UserError, match="the index is damaged"):
        open_bm25(tmp_path / "index", CHUNKS)


@pytest.mark.parametrize("value", ["../../etc/passwd", -1, 1.5, True, None, [3]])
@pytest.mark.parametrize("name", ["chunks", "words", "postings", "frequent", "dimension", "vectors"])
def test_an_index_with_a_wrong_number_is_refused(name: str, value: object, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    if dense := name in ("dimension", "vectors"):
        build_dense_files(CHUNKS, folder, Hashing())
    else:
        build_bm25(CHUNKS, folder)
    facts = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps({**facts, name: value}))
    with pytest.raises(UserError, match=f"the index is damaged: index.json has no number of {name}"):
        open_dense(folder, CHUNKS, Hashing()) if dense else open_bm25(folder, CHUNKS)


@pytest.mark.parametrize("torn", ["torn", "[]", '{"done": "2"}'])
def test_a_build_behind_a_damaged_beginning_starts_anew(torn: str, tmp_path: Path) -> None:
    def stop(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_dense_files(CHUNKS, tmp_path / "dense", Hashing(), report=stop)
    with pytest.raises(KeyboardInterrupt):
        build_bm25(Breaking(CHUNKS, 59), tmp_path / "sparse", block=20)
    damaged = [*tmp_path.rglob("progress.json"), *tmp_path.rglob("block.json")]
    assert len(damaged) > 1
    for path in damaged:
        path.write_text(torn)
    build_dense_files(CHUNKS, tmp_path / "dense", Hashing())
    build_dense_files(CHUNKS, tmp_path / "whole", Hashing())
    assert files(tmp_path / "dense") == files(tmp_path / "whole")
    build_bm25(CHUNKS, tmp_path / "sparse", block=20)
    assert open_bm25(tmp_path / "sparse", CHUNKS).search(QUERIES, 9) == FastBM25Index(CHUNKS).search(QUERIES, 9)


def test_an_index_of_nothing_finds_nothing(tmp_path: Path) -> None:
    build_bm25([], tmp_path / "none")
    assert open_bm25(tmp_path / "none", []).search(["mill"], 3) == [[]]
    build_dense_files([], tmp_path / "dense", Hashing())
    assert open_dense(tmp_path / "dense", [], Hashing()).search(["mill"], 3) == [[]]


def test_a_chain_of_hashes_tells_every_field_and_the_order() -> None:
    assert chunks_hash(CHUNKS[:2]) == extend(extend(START, CHUNKS[0]), CHUNKS[1]).hex()
    changed = [{"document_id": "x"}, {"title": "x"}, {"text": "x"}, {"start": 1}, {"end": 99}]
    assert len({chunks_hash([replace(CHUNKS[0], **fields)]) for fields in [{}, *changed]}) == 6


def test_kept_vectors_refuse_other_chunks_or_embedders(tmp_path: Path) -> None:
    built = build_dense_files(CHUNKS, tmp_path / "index", Hashing())
    assert (built.value, set(built.seconds)) == (tmp_path / "index", {"embed", "index"})
    open_dense(tmp_path / "index", CHUNKS, Hashing())
    for chunks, embedder, kind, what in (
        (CHUNKS[1:], Hashing(), "auto", "chunks"),
        (CHUNKS, Hashing("b" * 64), "auto", "embeddings"),
        (CHUNKS, Hashing(), "flat", "settings of --set dense-index"),
    ):
        with pytest.raises(UserError, match=f"the index was made from other {what}"):
            open_dense(tmp_path / "index", chunks, embedder, kind)


def test_embedding_that_broke_off_goes_on_behind_its_last_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rmtbench.retrieval.dense_build.BLOCK", 16)

    def stop(done: int) -> None:
        if done == 32:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_dense_files(CHUNKS, tmp_path / "index", Hashing(), report=stop)
    embedder = Hashing()
    build_dense_files(CHUNKS, tmp_path / "index", embedder)
    assert embedder.embedded == 28
    build_dense_files(CHUNKS, tmp_path / "whole", Hashing())
    assert files(tmp_path / "index") == files(tmp_path / "whole")


@pytest.mark.parametrize("name", ["vectors.bin", "starts.bin"])
def test_progress_without_its_last_vectors_is_not_gone_on_with(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rmtbench.retrieval.dense_build.BLOCK", 16)

    def stop(done: int) -> None:
        if done == 32:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_dense_files(CHUNKS, tmp_path / "index", Hashing(), report=stop)
    [left] = tmp_path.glob("index.unfinished*")
    os.truncate(left / name, (left / name).stat().st_size // 2)
    build_dense_files(CHUNKS, tmp_path / "index", Hashing())
    build_dense_files(CHUNKS, tmp_path / "whole", Hashing())
    assert files(tmp_path / "index") == files(tmp_path / "whole")


def test_the_kind_of_a_dense_index_goes_by_size_or_by_wish() -> None:
    assert [choose_kind("auto", count) for count in (10, 100_001, 10_000_001)] == ["flat", "pq", "ivf"]
    assert [choose_kind(kind, 10) for kind in ("flat", "pq", "hnsw", "ivf")] == ["flat", "pq", "hnsw", "ivf"]


def test_second_builder_waits_and_takes_what_the_first_made(tmp_path: Path) -> None:
    told: list[str] = []
    with only_builder(tmp_path / "index") as first:
        assert first is not None
        waiter = threading.Thread(target=build_bm25, args=(CHUNKS, tmp_path / "index"), kwargs={"waiting": told.append})
        waiter.start()
        while not told:
            time.sleep(0.01)
        build_bm25(CHUNKS, tmp_path / "other")
        shutil.copytree(tmp_path / "other", first, dirs_exist_ok=True)
        first.rename(tmp_path / "index")
    waiter.join()
    assert told == [f"waiting for process {os.getpid()}, which makes this index now"]
    assert files(tmp_path / "index") == files(tmp_path / "other")
