"""Windows in kept indexes: resumed byte for byte, and never taken for an index of whole chunks or the other way."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from word_embedder import WordEmbedder

from rmtbench.errors import UserError
from rmtbench.retrieval.base import Chunk
from rmtbench.retrieval.dense import DenseIndex, embed_chunks
from rmtbench.retrieval.dense_build import build_dense_files
from rmtbench.retrieval.dense_files import open_dense
from rmtbench.retrieval.windows import cut_chunks, whole_chunks

TEXTS = [" ".join(f"w{number * 7 % (place + 3)}" for number in range(place)) for place in range(1, 61)]
CHUNKS = [Chunk(f"d{place}", "title", text, 100, 100 + len(text)) for place, text in enumerate(TEXTS)]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_window_is_a_part_of_its_chunk_and_says_where_it_lies() -> None:
    cut = cut_chunks(CHUNKS, WordEmbedder(12))
    for part, owner in zip(cut.parts, cut.owners, strict=True):
        chunk = CHUNKS[owner]
        assert (part.document_id, part.title) == (chunk.document_id, chunk.title)
        assert part.text == chunk.text[part.start - 100 : part.end - 100]
    assert [cut.parts[start].start for start in cut.starts] == [100] * len(CHUNKS)
    assert cut.parts[:11] == CHUNKS[:11], "with its title, a text of 11 words is read whole"
    assert whole_chunks(CHUNKS).parts == CHUNKS


@pytest.mark.parametrize("windows", [True, False])
def test_embedding_that_broke_off_goes_on_behind_its_last_block(
    windows: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rmtbench.retrieval.dense_build.BLOCK", 16)

    def stop(done: int) -> None:
        if done == 32:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_dense_files(CHUNKS, tmp_path / "index", WordEmbedder(), report=stop, windows=windows)
    for name in ("vectors.bin", *(["starts.bin"] if windows else [])):  # a torn block
        [unfinished] = tmp_path.glob("index.unfinished-*")
        with (unfinished / name).open("ab") as stream:
            stream.write(b"torn")
    embedder = WordEmbedder()
    build_dense_files(CHUNKS, tmp_path / "index", embedder, windows=windows)
    build_dense_files(CHUNKS, tmp_path / "whole", WordEmbedder(), windows=windows)
    assert files(tmp_path / "index") == files(tmp_path / "whole")
    rest = cut_chunks(CHUNKS[32:], embedder).parts if windows else CHUNKS[32:]
    assert len(embedder.asked) == len(rest)


@pytest.mark.parametrize("windows", [True, False])
def test_unfinished_index_of_other_setting_is_not_gone_on_with(
    windows: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rmtbench.retrieval.dense_build.BLOCK", 16)

    def stop(_done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_dense_files(CHUNKS, tmp_path / "index", WordEmbedder(), report=stop, windows=not windows)
    build_dense_files(CHUNKS, tmp_path / "index", WordEmbedder(), windows=windows)
    build_dense_files(CHUNKS, tmp_path / "whole", WordEmbedder(), windows=windows)
    assert files(tmp_path / "index") == files(tmp_path / "whole")


@pytest.mark.parametrize("windows", [True, False])
def test_an_index_of_the_other_setting_is_refused(windows: bool, tmp_path: Path) -> None:
    build_dense_files(CHUNKS, tmp_path / "index", WordEmbedder(), windows=windows)
    open_dense(tmp_path / "index", CHUNKS, WordEmbedder(), windows=windows)
    with pytest.raises(UserError, match="made from other settings of --set embed-windows"):
        open_dense(tmp_path / "index", CHUNKS, WordEmbedder(), windows=not windows)


def test_index_from_before_windows_is_of_whole_chunks(tmp_path: Path) -> None:
    embedder = WordEmbedder()
    build_dense_files(CHUNKS, tmp_path / "index", embedder, windows=False)
    assert set(files(tmp_path / "index")) == {"index.json", "vectors.bin"}
    assert set(json.loads((tmp_path / "index" / "index.json").read_text())) == {
        "schema", "asked", "kind", "chunks", "dimension", "embedder_sha256", "chunks_sha256",
    }  # fmt: skip
    kept = open_dense(tmp_path / "index", CHUNKS, embedder, windows=False)
    exact = DenseIndex(embed_chunks(CHUNKS, embedder), embedder)
    assert kept.search(["w3 w4"], 60) == exact.search(["w3 w4"], 60)


def test_windows_that_lost_their_chunks_are_damaged(tmp_path: Path) -> None:
    build_dense_files(CHUNKS, tmp_path / "index", WordEmbedder())
    (tmp_path / "index" / "starts.bin").write_bytes(np.arange(3).tobytes())
    with pytest.raises(UserError, match=r"the index is damaged: starts.bin is not as long"):
        open_dense(tmp_path / "index", CHUNKS, WordEmbedder())
