"""A vocabulary in files: from a word to its number without reading the rest, by a sorted table of hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path


def write_vocabulary(folder: Path, spelled: Sequence[str]) -> None:
    """Write words for `Vocabulary`.

    Args:
        folder: Where to.
        spelled: Distinct words, by number.
    """
    import numpy as np

    encoded = [_encode(word) for word in spelled]
    hashes = np.array([_hash(word) for word in encoded], dtype=np.uint64)
    order = np.argsort(hashes, kind="stable")
    hashes[order].tofile(folder / "hashes.bin")
    order.astype(np.int32).tofile(folder / "columns.bin")
    np.cumsum([0, *map(len, encoded)], dtype=np.int64).tofile(folder / "places.bin")
    (folder / "words.bin").write_bytes(b"".join(encoded))


class Vocabulary:
    """Finds a word's number in a folder's files."""

    def __init__(self, folder: Path, words: int) -> None:
        """Map the files.

        Args:
            folder: As `write_vocabulary` left it.
            words: How many words.

        Raises:
            OSError: A file is missing.
            ValueError: A file is of another length.
        """
        from rmtbench.retrieval.mapped import map_file

        self._hashes = map_file(folder / "hashes.bin", "uint64", (words,))
        self._columns = map_file(folder / "columns.bin", "int32", (words,))
        self._places = map_file(folder / "places.bin", "int64", (words + 1,))
        self._letters = map_file(folder / "words.bin", "uint8", (int(self._places[-1]),))

    @property
    def bytes(self) -> int:
        """Size of the files."""
        return sum(each.nbytes for each in (self._hashes, self._columns, self._places, self._letters))

    def find(self, word: str) -> int | None:
        """The word's number; None where it is not known."""
        import numpy as np

        encoded = _encode(word)
        wanted = np.uint64(_hash(encoded))
        place = int(np.searchsorted(self._hashes, wanted))
        while place < len(self._hashes) and self._hashes[place] == wanted:
            column = int(self._columns[place])
            if self._letters[self._places[column] : self._places[column + 1]].tobytes() == encoded:
                return column
            place += 1
        return None


def _encode(word: str) -> bytes:
    return word.encode("utf-8", "surrogatepass")


def _hash(encoded: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(encoded, digest_size=8).digest(), "big")
