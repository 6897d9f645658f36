"""Cache embeddings on disk by content: each embedder computes a text once.

Beside each stands what computing it took and where, so that a run that finds it can count that cost all the same. One
SQLite file an embedder, so that several processes may read and write at once. Knows no chunk, index or corpus.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rmtbench.models.base import Embedder, Role
from rmtbench.models.database import Database, with_sum, without_sum

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SLICE = 512
"""Texts computed between two writes: what a kill can cost."""

COLUMN_TYPE = "<f4"

TABLES = (
    "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID",
    # A table of its own: files of before there were costs stay good.
    "CREATE TABLE IF NOT EXISTS costs (key BLOB, place TEXT, seconds REAL, PRIMARY KEY (key, place)) WITHOUT ROWID",
)


class CachedEmbedder:
    """An embedder that looks each text up on disk before it computes it, and keeps what it computes.

    For documents, whose embeddings are reused. A question timed through the cache would cost nothing in the second
    run: give questions to `embedder` itself.

    Attributes:
        embedder: The one that computes.
        path: The SQLite file, named after the embedder's hash: other weights are another file.
        place: Machine, device and threads that it computes on: seconds of another place are no measure here; None where
            none are, as of a server.
        hits: Texts asked for so far that were not computed.
        misses: Texts asked for so far that were.
        spared_seconds: What computing the texts found on disk took, when they were computed at this place.
        unmeasured: Texts found on disk of which that is not known.
    """

    def __init__(self, embedder: Embedder, folder: Path, place: str | None = None) -> None:
        self.embedder = embedder
        self.place = place
        self.spared_seconds = 0.0
        self.unmeasured = 0
        self.path = folder / f"embeddings-{embedder.sha256[:32]}.sqlite"
        self.hits = 0
        self.misses = 0

    @property
    def name(self) -> str:
        """The embedder's name."""
        return self.embedder.name

    @property
    def sha256(self) -> str:
        """The embedder's hash: the cache changes no vector."""
        return self.embedder.sha256

    @property
    def dimension(self) -> int:
        """Width of a vector."""
        return self.embedder.dimension

    @property
    def max_tokens(self) -> int | None:
        """The embedder's limit."""
        return self.embedder.max_tokens

    def prompt(self, role: Role) -> str:
        """The embedder's prompt."""
        return self.embedder.prompt(role)

    def windows(self, texts: Sequence[str], heads: Sequence[str]) -> list[list[tuple[int, int]]]:
        """The embedder's windows."""
        return self.embedder.windows(texts, heads)

    def truncated(self, texts: Sequence[str]) -> int:
        """How many of the texts the embedder reads only in part."""
        return self.embedder.truncated(texts)

    def embed(self, texts: Sequence[str], role: Role = "passage") -> NDArray[np.float32]:
        """Embed texts, from disk where they have been embedded before.

        Args:
            texts: Any number of texts.
            role: Which prompt stands before each; a text behind another prompt is another text.

        Returns:
            Shape ``[len(texts), dimension]``, rows of unit length, bit for bit as they were first computed.

        Raises:
            UserError: The file cannot be read or written, is damaged or locked, or the disk is full.
        """
        import numpy as np

        distinct = {text: _key(text, self.embedder.prompt(role)) for text in texts}
        vectors = self._read(distinct)
        missing = [text for text in distinct if text not in vectors]
        for start in range(0, len(missing), SLICE):
            batch = missing[start : start + SLICE]
            began = time.perf_counter()
            computed = dict(zip(batch, self.embedder.embed(batch, role), strict=True))
            each = (time.perf_counter() - began) / len(batch)
            self._write({distinct[text]: vector for text, vector in computed.items()}, each)
            vectors.update(computed)
        self.misses += len(missing)
        self.hits += len(texts) - len(missing)
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        return np.stack([vectors[text] for text in texts])

    def _read(self, keys: dict[str, bytes]) -> dict[str, NDArray[np.float32]]:
        found = {}
        with self._database() as database:
            for text, key in keys.items():
                row = database.execute(
                    "SELECT vector, seconds FROM vectors LEFT JOIN costs ON costs.key = vectors.key AND place = ? "
                    "WHERE vectors.key = ?",
                    (self.place, key),
                ).fetchone()
                if row is None:
                    continue
                found[text] = self._vector(row[0])
                self.spared_seconds += row[1] or 0.0
                self.unmeasured += row[1] is None
        return found

    def _vector(self, stored: object) -> NDArray[np.float32]:
        """What was stored; a vector of before there were checksums must have unit length."""
        import numpy as np

        size = self.dimension * np.dtype(COLUMN_TYPE).itemsize
        plain = isinstance(stored, bytes) and len(stored) == size
        try:
            value = cast("bytes", stored) if plain else without_sum(stored)
            vector: NDArray[np.float32] = np.frombuffer(value, dtype=COLUMN_TYPE).astype(np.float32)
        except ValueError as error:
            raise self._file().damaged(str(error)) from error
        if len(vector) != self.dimension or (plain and not abs(float(np.linalg.norm(vector)) - 1) < 1e-3):
            raise self._file().damaged("a vector of another length")
        return vector

    def _write(self, vectors: dict[bytes, NDArray[np.float32]], seconds: float) -> None:
        rows = [(key, with_sum(vector.astype(COLUMN_TYPE).tobytes())) for key, vector in vectors.items()]
        with self._database() as database:
            # Another process may have been faster; its vectors are as good.
            database.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", rows)
            costs = [(key, self.place, seconds) for key in vectors if self.place is not None]
            database.executemany("INSERT OR REPLACE INTO costs VALUES (?, ?, ?)", costs)

    def _database(self) -> AbstractContextManager[sqlite3.Connection]:
        """An open transaction, committed at the end; never held while the embedder computes."""
        return self._file().open()

    def _file(self) -> Database:
        return Database(self.path, TABLES, "embedding cache", "embedding", "computed again")


def _key(text: str, prompt: str) -> bytes:
    """A text's key; without a prompt it is the hash of the text, as in files of before there were prompts."""
    prompted = f"{len(prompt)} {prompt}{text}" if prompt else text
    return hashlib.sha256(prompted.encode("utf-8", "surrogatepass")).digest()
