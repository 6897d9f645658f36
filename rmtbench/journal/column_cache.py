"""Columns of runs kept on disk beside the runs, so that a report of many runs need not read every journal again.

A file is believed only if its own hash is right and it was made from the very bytes that the run has now. It can be
removed at any time. Where it cannot be written, nothing is kept.
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
import time
import zlib
from array import array
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from rmtbench.files import hash_file, write_atomically
from rmtbench.journal.columns import COUNTS, TIMES, Columns, Scores, Spans
from rmtbench.journal.layout import RunFolder
from rmtbench.journal.packed import packed_of

FOLDER = ".columns"
"""Within the folder that holds the runs; its name begins with a dot, so that no command takes it for a run."""
VERSION = 2
"""Raise it when a column is added, or when what one means changes: older files are then made again."""

_MAGIC = b"rmtbench columns\n"
_LENGTH = struct.Struct("<Q")
_DIGEST = 32
_ABANDONED_SECONDS = 3600.0
"""Age from which an unfinished file is nobody's."""


def journal_key(folder: RunFolder) -> str:
    """Return the hash of everything that columns are made from: of a packed run, of its one file.

    Args:
        folder: The run.

    Raises:
        OSError: A file cannot be read.
    """
    if packed := packed_of(folder.path):
        return hash_file(packed)
    digest = hashlib.sha256()
    for path in (folder.scores, folder.answers, folder.gold, folder.corpora):  # in the order in which a run is read
        own = hash_file(path) if path.exists() else "missing"
        digest.update(f"{path.name} {own}\n".encode())
    return digest.hexdigest()


def load_columns(run: Path, key: str) -> Columns | None:
    """Return the kept columns of a run.

    Args:
        run: Its folder, or the folder that it was before it was packed.
        key: Its `journal_key`.

    Returns:
        None where there are none, or where they are damaged, or of another version, machine or journal.
    """
    path = _place(run)
    try:
        return _decode(path.read_bytes(), key) if path.is_file() else None
    except (OSError, ValueError, KeyError, IndexError, TypeError, EOFError, zlib.error, struct.error):
        return None


def save_columns(run: Path, key: str, columns: Columns) -> None:
    """Keep the columns of a run, if the folder can be written.

    Args:
        run: As for `load_columns`.
        key: Its `journal_key`, taken before the run was read and still the same.
        columns: Its columns.
    """
    path = _place(run)
    if path.parent.is_symlink():
        return  # nothing is written through links: see `rmtbench.journal.lines.refuse_link`
    with suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, _encode(columns, key))


def remove_outdated(results: Path, runs: Iterable[Path]) -> None:
    """Remove what is kept of runs that are no longer there, and what killed processes left.

    Args:
        results: The folder that holds the runs.
        runs: All its runs.
    """
    folder, wanted = results / FOLDER, {_place(run).name for run in runs}
    if folder.is_symlink() or not folder.is_dir():
        return
    with suppress(OSError):
        for path in folder.iterdir():
            unfinished = path.name.endswith(".tmp")
            if path.name not in wanted and (not unfinished or _age(path) > _ABANDONED_SECONDS):
                path.unlink(missing_ok=True)


def _age(path: Path) -> float:
    with suppress(OSError):
        return time.time() - path.stat().st_mtime
    return 0.0


def _place(run: Path) -> Path:
    return run.parent / FOLDER / f"{run.name}.bin"


def _encode(columns: Columns, key: str) -> bytes:
    parts = list(_parts(columns))
    head = {
        "version": VERSION,
        "byteorder": sys.byteorder,
        "key": key,
        "ids": columns.ids,
        "documents": columns.spans.documents,
        "usual": columns.usual,
        "strays": columns.strays,
        "metrics": list(columns.scores),
        "lengths": [len(part) for part in parts],
    }
    text = json.dumps(head, separators=(",", ":")).encode()
    body = zlib.compress(b"".join([_LENGTH.pack(len(text)), text, *parts]), 1)
    data = _MAGIC + body
    return data + hashlib.sha256(data).digest()


def _parts(columns: Columns) -> Iterator[bytes]:
    """All columns in a fixed order; those of metrics come last."""
    spans = columns.spans
    yield columns.states
    for whole in (
        columns.draws,
        columns.positions,
        columns.written,
        spans.draws,
        spans.names,
        spans.starts,
        spans.ends,
    ):
        yield whole.tobytes()
    for numbers in (
        columns.places,
        *(columns.seconds[name] for name in TIMES),
        *(columns.tokens[name] for name in COUNTS),
    ):
        yield numbers.tobytes()
    for scores in columns.scores.values():
        yield scores.kinds
        yield scores.values.tobytes()


def _decode(data: bytes, key: str) -> Columns | None:
    body, digest = data[:-_DIGEST], data[-_DIGEST:]
    if not body.startswith(_MAGIC) or hashlib.sha256(body).digest() != digest:
        return None
    whole = zlib.decompress(body[len(_MAGIC) :])
    start = _LENGTH.size + _LENGTH.unpack_from(whole)[0]
    head = json.loads(whole[_LENGTH.size : start])
    if (head["version"], head["byteorder"], head["key"]) != (VERSION, sys.byteorder, key):
        return None
    parts = []
    for length in head["lengths"]:
        parts.append(whole[start : start + length])
        start += length
    return _read(head, iter(parts))


def _read(head: dict[str, Any], parts: Iterator[bytes]) -> Columns:
    states = next(parts)
    draws, positions, written, *spans = (array("q", next(parts)) for _ in range(7))
    places, *rest = (array("d", next(parts)) for _ in range(1 + len(TIMES) + len(COUNTS)))
    scores = {}
    for metric in head["metrics"]:
        kinds = next(parts)
        scores[metric] = Scores(array("d", next(parts)), kinds)
    return Columns(
        draws=draws,
        ids=tuple(head["ids"]),
        states=states,
        positions=positions,
        places=places,
        seconds=dict(zip(TIMES, rest[: len(TIMES)], strict=True)),
        tokens=dict(zip(COUNTS, rest[len(TIMES) :], strict=True)),
        written=written,
        strays=head["strays"],
        usual=tuple(head["usual"]),
        scores=scores,
        spans=Spans(tuple(head["documents"]), *spans),
    )
