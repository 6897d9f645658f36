"""Makes BM25's files block by block in bounded memory; an interrupted build continues behind its last whole block.

Only the vocabulary and one number for each chunk grow in memory with the corpus.
"""

from __future__ import annotations

import json
import shutil
from array import array
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmtbench.retrieval.base import Chunk, Report, silent
from rmtbench.retrieval.bm25 import inverse_frequency, weigh
from rmtbench.retrieval.bm25_files import settings_facts
from rmtbench.retrieval.chunks import indexed_text
from rmtbench.retrieval.identity import START, counts, extend, only_builder, publish, write_manifest
from rmtbench.retrieval.vocabulary import write_vocabulary
from rmtbench.retrieval.words import PLAIN, Words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK = 2_000_000
"""Words (each counted once a chunk) that are held in memory at once: about 300 MB while they are weighed."""

FREQUENT = 0.25
"""A word in more than this share of chunks is stored as one number a chunk: rows are added faster than lists."""


def build_bm25(
    chunks: Iterable[Chunk],
    folder: Path,
    settings: Words = PLAIN,
    *,
    block: int = BLOCK,
    report: Report = silent,
    waiting: Callable[[str], None] = lambda _text: None,
) -> None:
    """Make the index. It continues what an interrupted call with the same chunks has made.

    While another process makes it, this one waits, and then there is nothing left to do.

    Args:
        chunks: Read more than once; need not be in memory.
        folder: Where the index will be. It appears when it is whole.
        settings: How texts become words.
        block: Words held in memory at once; does not change the index.
        report: Gets the number of chunks counted so far.
        waiting: Told once whose end is awaited.

    Raises:
        UserError: This process was stopped for a while, and another one has taken over.
    """
    with only_builder(folder, waiting) as unfinished:
        if unfinished is None:
            return
        digest = _Blocks(unfinished, settings, block).count(chunks, report)
        done = unfinished / "done"
        shutil.rmtree(done, ignore_errors=True)
        done.mkdir()
        facts = _merge([_open(path) for path in _paths(unfinished)], done, block)
        write_manifest(done, {**facts, **settings_facts(settings), "chunks_sha256": digest.hex()})
        whole = unfinished.with_name(f"{unfinished.name}-whole")
        done.rename(whole)
        shutil.rmtree(unfinished)  # before the index has its name: later nobody would look for it
        publish(whole, folder)


class _Blocks:
    """The first pass: counts words, sorts each block by word, and writes it with its end."""

    def __init__(self, folder: Path, settings: Words, size: int) -> None:
        self._folder, self._settings, self._size = folder, settings, size
        self._columns: dict[str, int] = {}
        self._begin()

    def _begin(self) -> None:
        self._new: list[str] = []
        self._found = [array("i"), array("i"), array("i")]
        self._lengths = array("i")

    def count(self, chunks: Iterable[Chunk], report: Report) -> bytes:
        """Count all chunks and return their hash."""
        ends = self._take_over()
        done, last = max(ends, default=0), len(ends)
        words, digest, number = self._settings.tokenizer(), START, 0
        for chunk in chunks:
            digest = extend(digest, chunk)
            number += 1
            if number <= done:
                if number in ends and ends[number] != digest.hex():
                    return self._anew(chunks, report)
                continue
            self._add(words(indexed_text(chunk)), number - 1)
            if len(self._found[0]) >= self._size:
                self._write(last, number, digest)
                last += 1
                report(number)
        if number < done:
            return self._anew(chunks, report)
        if self._lengths or not last:
            self._write(last, number, digest)
        report(number)
        return digest

    def _anew(self, chunks: Iterable[Chunk], report: Report) -> bytes:
        """Start again: the blocks on disk are of other chunks."""
        self._forget()
        return self.count(chunks, report)

    def _take_over(self) -> dict[int, str]:
        """Read the words of the blocks on disk. Return the hash of all chunks up to the end of each block."""
        ends: dict[int, str] = {}
        for path in _paths(self._folder):
            try:
                facts = json.loads((path / "block.json").read_text(encoding="utf-8"))
                (end,), digest, settings = counts(facts, "end"), facts["digest"], facts["settings"]
            except (ValueError, KeyError, TypeError, AttributeError):
                settings = None
            if settings != settings_facts(self._settings):
                self._forget()
                return {}
            for word in _spelled(path):
                self._columns[word] = len(self._columns)
            ends[end] = digest
        return ends

    def _forget(self) -> None:
        for path in _paths(self._folder):
            shutil.rmtree(path)
        self._columns.clear()
        self._begin()

    def _add(self, found: list[str], row: int) -> None:
        self._lengths.append(len(found))
        columns, rows, counts = self._found
        for word, count in Counter(found).items():
            column = self._columns.get(word)
            if column is None:
                column = self._columns[word] = len(self._columns)
                self._new.append(word)
            columns.append(column)
            rows.append(row)
            counts.append(count)

    def _write(self, number: int, end: int, digest: bytes) -> None:
        import numpy as np

        columns, rows, counts = (np.frombuffer(each, dtype=np.int32) for each in self._found)
        order = np.argsort(columns, kind="stable")
        held, sizes = np.unique(columns, return_counts=True)
        arrays = {
            "columns": held,
            "starts": np.concatenate([[0], np.cumsum(sizes)]),
            "lengths": np.array(self._lengths, dtype=np.int32),
        }
        temporary = self._folder / "part"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        for name, values in arrays.items():
            np.save(temporary / f"{name}.npy", values)
        rows[order].tofile(temporary / "rows.bin")
        counts[order].tofile(temporary / "counts.bin")
        (temporary / "new.txt").write_bytes("\n".join(self._new).encode("utf-8", "surrogatepass"))
        facts = {"settings": settings_facts(self._settings), "digest": digest.hex(), "end": end}
        (temporary / "block.json").write_text(json.dumps(facts), encoding="utf-8")
        temporary.replace(self._folder / f"block-{number:06}")
        self._begin()


def _merge(blocks: list[dict[str, Any]], folder: Path, size: int) -> dict[str, Any]:
    """The second pass: merge the blocks' lists of each word, weigh them, and write them in the order of words."""
    import numpy as np

    spelled = [word for block in blocks for word in _spelled(block["path"])]
    lengths = np.concatenate([block["lengths"] for block in blocks]).astype(np.int64)
    chunks, mean = len(lengths), int(lengths.sum()) / max(1, len(lengths))
    in_chunks = np.zeros(len(spelled), dtype=np.intp)
    for block in blocks:
        in_chunks[block["columns"]] += np.diff(block["starts"])
    idf = inverse_frequency(in_chunks, chunks)
    frequent = in_chunks > FREQUENT * chunks
    row_of = np.where(frequent, np.cumsum(frequent) - 1, -1)
    starts = np.concatenate([[0], np.cumsum(np.where(frequent, 0, in_chunks))])
    with (
        (folder / "rows.bin").open("wb") as rows,
        (folder / "values.bin").open("wb") as values,
        (folder / "frequent.bin").open("wb") as whole,
    ):
        for first, end in _ranges(in_chunks, size):
            columns, held_rows, counts = _gather(blocks, first, end)
            weights = weigh(idf[columns], counts, lengths[held_rows], mean)
            rare = ~frequent[columns]
            held_rows[rare].astype(np.int32).tofile(rows)
            weights[rare].tofile(values)
            for column in np.flatnonzero(frequent[first:end]) + first:
                low, high = np.searchsorted(columns, [column, column + 1])
                row = np.zeros(chunks)
                row[held_rows[low:high]] = weights[low:high]
                row.tofile(whole)
    starts.astype(np.int64).tofile(folder / "starts.bin")
    row_of.astype(np.int32).tofile(folder / "row_of.bin")
    write_vocabulary(folder, spelled)
    return {
        "chunks": chunks,
        "words": len(spelled),
        "postings": int(starts[-1]),
        "frequent": int(frequent.sum()),
    }


def _gather(
    blocks: list[dict[str, Any]], first: int, end: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return columns, rows and counts of the words from `first` to before `end`, by word and then by chunk."""
    import numpy as np

    parts: list[list[NDArray[np.int64]]] = [[], [], []]
    for block in blocks:
        low, high = np.searchsorted(block["columns"], [first, end])
        held = int(block["starts"][low]), int(block["starts"][high])
        sizes = np.diff(block["starts"][low : high + 1])
        parts[0].append(np.repeat(block["columns"][low:high], sizes).astype(np.int64))
        parts[1].append(_read(block["path"] / "rows.bin", *held))
        parts[2].append(_read(block["path"] / "counts.bin", *held))
    columns, rows, counts = (np.concatenate(part) for part in parts)
    order = np.argsort(columns, kind="stable")
    return columns[order], rows[order], counts[order]


def _ranges(in_chunks: NDArray[np.intp], size: int) -> list[tuple[int, int]]:
    """Return ranges of words whose lists fit into memory together. The list of one word may be longer."""
    ranges, first, total = [], 0, 0
    for column, count in enumerate(in_chunks.tolist()):
        if total + count > size and column > first:
            ranges.append((first, column))
            first, total = column, 0
        total += count
    return [*ranges, (first, len(in_chunks))] if len(in_chunks) else []


def _paths(folder: Path) -> list[Path]:
    return sorted(folder.glob("block-*"))


def _open(path: Path) -> dict[str, Any]:
    """Return a block's words and the lengths of its chunks. Its lists stay on disk until they are needed."""
    import numpy as np

    names = ("columns", "starts", "lengths")
    return {"path": path, **{name: np.load(path / f"{name}.npy") for name in names}}


def _read(path: Path, first: int, end: int) -> NDArray[np.int64]:
    # Read and not mapped: mapped pages would stay in memory, which would grow with the corpus.
    import numpy as np

    return np.fromfile(path, dtype=np.int32, count=end - first, offset=4 * first).astype(np.int64)


def _spelled(path: Path) -> list[str]:
    """Return the words that appear first in a block, in order."""
    text = (path / "new.txt").read_bytes().decode("utf-8", "surrogatepass")
    return text.split("\n") if text else []
