"""The embedding cache: computes once, changes nothing, survives company, and says plainly what is wrong."""

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from rmtbench.errors import UserError
from rmtbench.models import database, embed_cache
from rmtbench.models.embed_cache import CachedEmbedder

TEXTS = ["one", "two", "", "three", "two"]


class Letters:
    """A real embedder of another kind: counts letters, so that it needs no weights. Remembers what it was asked."""

    name = "letters"
    dimension = 128

    def __init__(self, sha256="a" * 64):
        self.sha256 = sha256
        self.asked = []

    def prompt(self, role):
        return ""

    def embed(self, texts, role="passage"):
        self.asked.extend(texts)
        vectors = np.full((len(texts), self.dimension), 0.5, dtype=np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            for letter in text:
                vector[ord(letter) % self.dimension] += 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_vectors_are_those_of_embedder_whether_computed_or_read(tmp_path):
    expected = Letters().embed(TEXTS)
    assert np.array_equal(CachedEmbedder(Letters(), tmp_path).embed(TEXTS), expected)
    again = CachedEmbedder(Letters(), tmp_path).embed(TEXTS)
    assert np.array_equal(again, expected)
    assert again.dtype == np.float32


def test_each_text_is_computed_once_and_the_counters_say_so(tmp_path):
    embedder = Letters()
    cached = CachedEmbedder(embedder, tmp_path)
    cached.embed(TEXTS)
    assert embedder.asked == ["one", "two", "", "three"]
    assert (cached.hits, cached.misses) == (1, 4)
    cached.embed(["four", "one"])
    assert embedder.asked[4:] == ["four"]
    assert (cached.hits, cached.misses) == (2, 5)


def test_embedding_cost_is_only_where_it_was_computed(tmp_path):
    class Slow(Letters):
        def embed(self, texts, role="passage"):
            time.sleep(0.02)
            return super().embed(texts, role)

    CachedEmbedder(Slow(), tmp_path, "here").embed(["one", "two"])
    again = CachedEmbedder(Letters(), tmp_path, "here")
    again.embed(["two", "two", "three"])
    half = again.spared_seconds
    assert half >= 0.01
    again.embed(["one"])
    assert again.spared_seconds == pytest.approx(2 * half), "each of the two has half of what both took"
    assert again.unmeasured == 0
    elsewhere = CachedEmbedder(Letters(), tmp_path, "elsewhere")
    elsewhere.embed(["two", "three"])
    assert (elsewhere.spared_seconds, elsewhere.unmeasured) == (0.0, 2)


def test_it_stands_for_its_embedder(tmp_path):
    cached = CachedEmbedder(Letters(), tmp_path)
    assert (cached.name, cached.sha256, cached.dimension) == ("letters", "a" * 64, 128)
    assert cached.embed([]).shape == (0, 128)


def test_another_embedder_shares_the_folder_but_no_vector(tmp_path):
    CachedEmbedder(Letters(), tmp_path).embed(TEXTS)
    other = CachedEmbedder(Letters("b" * 64), tmp_path)
    other.embed(TEXTS)
    assert other.misses == 4


def test_what_was_computed_before_an_interruption_is_kept(tmp_path, monkeypatch):
    class Interrupted(Letters):
        def embed(self, texts, role="passage"):
            if len(self.asked) >= 2:
                raise KeyboardInterrupt
            return super().embed(texts, role)

    monkeypatch.setattr(embed_cache, "SLICE", 2)
    with pytest.raises(KeyboardInterrupt):
        CachedEmbedder(Interrupted(), tmp_path).embed(TEXTS)
    after = CachedEmbedder(Letters(), tmp_path)
    after.embed(TEXTS)
    assert after.misses == 2


def test_many_writers_at_once_lose_nothing_and_disturb_nobody(tmp_path):
    texts = [f"text {number}" for number in range(60)]
    expected = Letters().embed(texts)

    def work(shift):
        rolled = texts[shift:] + texts[:shift]
        return np.roll(CachedEmbedder(Letters(), tmp_path).embed(rolled), shift, axis=0)

    with ThreadPoolExecutor(8) as pool:
        for vectors in pool.map(work, range(0, 60, 3)):
            assert np.array_equal(vectors, expected)
    last = CachedEmbedder(Letters(), tmp_path)
    last.embed(texts)
    assert last.misses == 0


def test_writers_that_make_the_file_together_wait_for_each_other(tmp_path):
    """SQLite does not: 27 of 12,800 openings of a new file were refused as locked, at once, before they did."""
    for attempt in range(60):
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda _: CachedEmbedder(Letters(), tmp_path / f"{attempt}").embed(TEXTS), range(32)))  # noqa: B023


def test_a_file_that_is_no_database_is_damaged(tmp_path):
    cached = CachedEmbedder(Letters(), tmp_path)
    cached.path.write_bytes(b"not a database at all, but long enough to be one" * 40)
    with pytest.raises(UserError, match="damaged") as caught:
        cached.embed(TEXTS)
    assert caught.value.where == str(cached.path)
    assert "delete the file" in caught.value.remedy


@pytest.mark.parametrize("changed", ["substr(vector, 1, 20)", "x'00' || substr(vector, 1, length(vector) - 1)"])
def test_a_vector_that_was_not_stored_is_damage_no_answer(tmp_path, changed):
    cached = CachedEmbedder(Letters(), tmp_path)
    cached.embed(TEXTS)
    with sqlite3.connect(cached.path) as opened:
        opened.execute(f"UPDATE vectors SET vector = CAST({changed} AS BLOB)")
    with pytest.raises(UserError, match="damaged"):
        cached.embed(TEXTS)


def test_vectors_of_before_there_were_checksums_are_good(tmp_path):
    cached = CachedEmbedder(Letters(), tmp_path)
    made = cached.embed(TEXTS)
    with sqlite3.connect(cached.path) as opened:
        opened.execute("UPDATE vectors SET vector = CAST(substr(vector, 1, length(vector) - 4) AS BLOB)")
    again = CachedEmbedder(Letters(), tmp_path)
    assert again.embed(TEXTS).tobytes() == made.tobytes()
    assert again.misses == 0


def test_a_lock_that_is_not_given_up_is_named(tmp_path, monkeypatch):
    cached = CachedEmbedder(Letters(), tmp_path)
    cached.embed(["one"])
    monkeypatch.setattr(database, "WAIT_SECONDS", 0.1)
    holder = sqlite3.connect(cached.path)
    holder.execute("BEGIN IMMEDIATE")
    assert cached.embed(["one"]).shape == (1, 128)  # readers need not wait
    with pytest.raises(UserError, match="locked by another process"):
        cached.embed(["two"])
    holder.close()


def test_a_full_disk_is_named_and_loses_nothing(tmp_path, monkeypatch):
    CachedEmbedder(Letters(), tmp_path).embed(["kept"])
    connect = sqlite3.connect

    def on_a_full_disk(*args, **kwargs):
        database = connect(*args, **kwargs)
        database.execute("PRAGMA max_page_count = 1")
        return database

    cached = CachedEmbedder(Letters(), tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", on_a_full_disk)
        with pytest.raises(UserError, match="the disk is full") as caught:
            cached.embed([f"text {number}" for number in range(100)])
    assert caught.value.where == str(cached.path)
    assert cached.embed(["kept"]).shape == (1, 128)
    assert cached.misses == 0


def test_a_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "cache").write_text("")
    with pytest.raises(UserError) as caught:
        CachedEmbedder(Letters(), tmp_path / "cache").embed(TEXTS)
    assert "cache" in caught.value.where


def test_a_folder_below_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written") as caught:
        CachedEmbedder(Letters(), tmp_path / "file" / "cache").embed(TEXTS)
    assert caught.value.remedy == "choose another folder with RMTBENCH_CACHE"


def test_a_file_that_is_a_folder_is_named(tmp_path):
    cached = CachedEmbedder(Letters(), tmp_path)
    cached.path.mkdir()
    with pytest.raises(UserError, match="cannot be written"):
        cached.embed(TEXTS)
