"""Every setting of BM25 equals rank-bm25, an index in files equals one in memory, and vectors in files exact search."""

from __future__ import annotations

import random
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from rmtbench.corpora.base import DrawRequest
from rmtbench.corpora.open import open_dataset
from rmtbench.models.control_tokens import count_tokens
from rmtbench.models.load import load_tokenizer
from rmtbench.retrieval.base import Chunk
from rmtbench.retrieval.bm25 import FastBM25Index, RankBM25Index
from rmtbench.retrieval.bm25_build import build_bm25
from rmtbench.retrieval.bm25_files import open_bm25
from rmtbench.retrieval.chunks import chunk_documents
from rmtbench.retrieval.dense import DenseIndex
from rmtbench.retrieval.dense_build import index_vectors
from rmtbench.retrieval.dense_files import open_vectors
from rmtbench.retrieval.ranking import BLOCK, candidates, top_k
from rmtbench.retrieval.words import Words

ALL = [Words(stem, stop) for stem in (None, "english") for stop in (None, "english")]
each_setting = pytest.mark.parametrize("settings", ALL, ids=str)


def language(count: int) -> tuple[list[Chunk], list[str]]:
    draw = random.Random(5)
    stems = [
        f"{a}{b}{c}" for a in "bdfglmnprst" for b in "aeiou" for c in ("n", "rk", "ll", "st", "m", "d", "ck", "pt")
    ]
    forms = ["", "s", "ing", "ed", "er", "ly"]
    common = ["the", "of", "and", "in", "was", "were", "not", "by"]
    vocabulary = common + [stem + draw.choice(forms) for stem in stems for _ in range(3)]
    weights = [1 / rank for rank in range(1, len(vocabulary) + 1)]
    texts = [" ".join(draw.choices(vocabulary, weights, k=draw.randint(5, 120))) for _ in range(count)]
    queries = [" ".join(draw.choices(vocabulary, weights, k=draw.randint(1, 15))) for _ in range(25)]
    return [Chunk(str(at), "", text, 0, len(text)) for at, text in enumerate([*texts, *texts[:15]])], queries


def assert_all_equal(chunks: list[Chunk], queries: list[str], settings: Words, folder: Path) -> None:
    build_bm25(chunks, folder, settings, block=2000)
    mapped = open_bm25(folder, chunks, settings)
    fast, reference = FastBM25Index(chunks, settings), RankBM25Index(chunks, settings)
    for query in queries:
        expected = reference.scores(query)
        assert np.array_equal(fast.scores(query), expected)
        assert np.array_equal(mapped.scores(query), expected)
    assert mapped.search(queries, 10) == fast.search(queries, 10) == reference.search(queries, 10)


@each_setting
def test_scores_and_rankings_equal_rank_bm25(settings: Words, tmp_path: Path) -> None:
    chunks, queries = language(300)
    assert_all_equal(chunks, queries, settings, tmp_path / "index")


@pytest.mark.real
@each_setting
@pytest.mark.parametrize("dataset", ["squad", "hotpotqa"])
def test_real_chunks_and_questions_too(dataset: str, settings: Words, real_data: Path, tmp_path: Path) -> None:
    words = load_tokenizer("random:tiny")
    file = real_data / "hotpotqa" / "hotpot_subset_distractor.json"  # one of two there
    data = open_dataset(dataset, file if dataset == "hotpotqa" else real_data, {})
    draw = data.draw(DrawRequest("small", 0, 0, 40), lambda texts: count_tokens(words, texts))
    chunks = list(chunk_documents(draw.corpus.documents, lambda text: words.encode(text, add_special_tokens=False)))
    assert_all_equal(chunks, [question.text for question in draw.corpus.questions], settings, tmp_path / "index")


def unit(count: int, seed: int, dimension: int = 32) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, dimension), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("kind", ["flat", "pq", "hnsw", "ivf"])
def test_vectors_in_files_are_searched_as_exactly_as_in_memory(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    matrix = unit(3000, 1)
    matrix.tofile(tmp_path / "vectors.bin")
    index_vectors(tmp_path, 3000, 32, kind)
    index = open_vectors(tmp_path, 3000, 32, kind, None)
    if kind != "flat":
        index.set_effort(3000)
    exact = DenseIndex(matrix, None)
    for query in unit(30, 2):
        assert index.search_vector(query, 10) == exact.search_vector(query, 10)


@pytest.mark.parametrize(("count", "dimension"), [(5, 32), (40, 31)])
def test_short_codes_of_few_vectors_are_made_without_a_word(
    count: int, dimension: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("faiss")
    matrix = unit(count, 1, dimension)
    matrix.tofile(tmp_path / "vectors.bin")
    index_vectors(tmp_path, count, dimension, "pq")
    index, exact = open_vectors(tmp_path, count, dimension, "pq", None), DenseIndex(matrix, None)
    (query,) = unit(1, 2, dimension)
    assert index.search_vector(query, 3) == exact.search_vector(query, 3)
    assert capfd.readouterr() == ("", "")


def test_short_codes_find_nearly_all_of_best_vectors(tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    matrix = unit(20_000, 1, 64)
    matrix.tofile(tmp_path / "vectors.bin")
    index_vectors(tmp_path, 20_000, 64, "pq")
    index, exact = open_vectors(tmp_path, 20_000, 64, "pq", None), DenseIndex(matrix, None)
    shares = []
    for query in unit(40, 2, 64):
        found = {hit.position for hit in index.search_vector(query, 10)}
        shares.append(len(found & {hit.position for hit in exact.search_vector(query, 10)}) / 10)
    assert sum(shares) / len(shares) > 0.99


def test_broken_off_index_build_loses_no_vector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    monkeypatch.setattr("rmtbench.retrieval.faiss_files.SAVE_EVERY", 700)
    monkeypatch.setattr("rmtbench.retrieval.faiss_files.STEP", 300)
    unit(2000, 1).tofile(tmp_path / "vectors.bin")

    def stop(done: int) -> None:
        if done >= 1500:
            raise KeyboardInterrupt

    exact = DenseIndex(unit(2000, 1), None)
    for kind in ("hnsw", "ivf"):
        with pytest.raises(KeyboardInterrupt):
            index_vectors(tmp_path, 2000, 32, kind, stop)
        added: list[int] = []
        index_vectors(tmp_path, 2000, 32, kind, added.append)
        assert min(added) > 700, "what stood was made anew"
        index = open_vectors(tmp_path, 2000, 32, kind, None)
        index.set_effort(2000)
        assert index.finder.ntotal == 2000
        for query in unit(20, 2):
            assert index.search_vector(query, 5) == exact.search_vector(query, 5)


def _all_but_the_whole(faiss: ModuleType, index: object, path: Path) -> None:
    """Save an index, as long as it is one of the shards."""
    if path.name == "ivf.faiss":
        raise KeyboardInterrupt
    faiss.write_index(index, str(path))


def test_a_shard_that_broke_off_is_made_anew_for_more_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    monkeypatch.setattr("rmtbench.retrieval.faiss_files.SAVE_EVERY", 700)

    unit(1500, 1).tofile(tmp_path / "vectors.bin")
    with monkeypatch.context() as patch:
        patch.setattr("rmtbench.retrieval.faiss_files._save", _all_but_the_whole)
        with pytest.raises(KeyboardInterrupt):
            index_vectors(tmp_path, 1500, 32, "ivf")
    unit(1900, 1).tofile(tmp_path / "vectors.bin")
    index_vectors(tmp_path, 1900, 32, "ivf")
    assert open_vectors(tmp_path, 1900, 32, "ivf", None).finder.ntotal == 1900


@pytest.mark.parametrize("distinct", [3, 50, 10**6])
@pytest.mark.parametrize("k", [1, 10])
def test_the_best_of_many_scores_are_those_of_a_full_sort(distinct: int, k: int) -> None:
    scores = np.random.default_rng(distinct).integers(0, distinct, 20 * BLOCK + 17).astype(np.float64)
    expected = np.argsort(-scores, kind="stable")[:k].tolist()
    assert [hit.position for hit in top_k(scores, k)] == expected
    near = candidates(scores, k, margin=1.0)
    assert near.tolist() == np.flatnonzero(scores >= scores[expected[-1]] - 1.0).tolist()
