"""FAISS files are read only where they were made: another file, or a changed one, is refused before FAISS sees it."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pytest

from rmtbench.errors import UserError
from rmtbench.retrieval.dense_build import index_vectors
from rmtbench.retrieval.dense_files import open_vectors
from rmtbench.retrieval.seals import is_sealed, remove_sealed, write_seal


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RMTBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file and its seal."""
    path = tmp_path / "pq.faiss"
    path.write_bytes(b"an index")
    write_seal(path, path.name)
    return path


def test_a_file_that_was_made_here_is_known_again(file: Path) -> None:
    assert is_sealed(file)


def test_a_changed_renamed_or_bare_file_is_not(file: Path, tmp_path: Path) -> None:
    renamed = tmp_path / "hnsw.faiss"
    renamed.write_bytes(file.read_bytes())
    assert not is_sealed(renamed)
    (tmp_path / "hnsw.faiss.seal").write_bytes((tmp_path / "pq.faiss.seal").read_bytes())
    assert not is_sealed(renamed)
    file.write_bytes(b"an index of somebody else")
    assert not is_sealed(file)
    remove_sealed(file)
    assert not is_sealed(file)


def test_another_cache_folder_is_another_maker(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RMTBENCH_CACHE", str(tmp_path / "other"))
    assert not is_sealed(file)


def test_the_secret_is_for_its_user_alone(file: Path, cache: Path) -> None:
    assert stat.S_IMODE((cache / "seal.key").stat().st_mode) == 0o600
    assert len((cache / "seal.key").read_bytes()) == 32


def test_without_a_cache_folder_nothing_is_sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RMTBENCH_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(UserError, match="cannot be written") as caught:
        write_seal(tmp_path / "file", "pq.faiss")
    assert caught.value.remedy == "choose another folder with RMTBENCH_CACHE"


@pytest.mark.parametrize("kind", ["pq", "hnsw", "ivf"])
def test_a_foreign_index_is_refused_before_faiss_reads_it(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("faiss")
    folder = tmp_path / "index"
    folder.mkdir()
    vectors = np.random.default_rng(1).standard_normal((700, 16), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors.tofile(folder / "vectors.bin")
    index_vectors(folder, 700, 16, kind)
    assert open_vectors(folder, 700, 16, kind, None).finder.ntotal == 700
    (folder / f"{kind}.faiss").write_bytes(b"\x00" * 4096)
    with pytest.raises(ValueError, match="was not made here"):
        open_vectors(folder, 700, 16, kind, None)
