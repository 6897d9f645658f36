"""What a kept index was made from, by hash: one of other chunks, settings or another embedder is refused."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rmtbench.errors import UserError
from rmtbench.retrieval.base import Chunk

SCHEMA = 1
MANIFEST = "index.json"
START = bytes(32)
"""The hash of no chunks."""


def extend(digest: bytes, chunk: Chunk) -> bytes:
    """The hash of some chunks and one more: a chain, so that building can stop and go on between any two.

    Args:
        digest: `START`, or what this function gave for the chunks so far.
        chunk: The next one.
    """
    fields = (chunk.document_id, chunk.title, chunk.text, str(chunk.start), str(chunk.end))
    encoded = [field.encode("utf-8", "surrogatepass") for field in fields]
    lengths = b"".join(len(field).to_bytes(8, "big") for field in encoded)
    return hashlib.sha256(digest + lengths + b"".join(encoded)).digest()


def chunks_hash(chunks: Iterable[Chunk]) -> str:
    """Hash over all chunks in order."""
    digest = START
    for chunk in chunks:
        digest = extend(digest, chunk)
    return digest.hex()


@contextmanager
def only_builder(folder: Path) -> Iterator[Path]:
    """Hold the right to make an index for the length of the block; the system drops it when the process dies.

    Args:
        folder: Where the index will be.

    Yields:
        The folder in which it is made.

    Raises:
        UserError: Another process is making it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(folder.name + ".lock").open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                "another process is making this index",
                where=str(folder),
                remedy="wait for it to end, or name another folder with --index",
            ) from error
        unfinished = folder.with_name(folder.name + ".unfinished")
        unfinished.mkdir(exist_ok=True)
        yield unfinished


def write_manifest(folder: Path, facts: Mapping[str, Any]) -> None:
    """Say what an index is, in its folder.

    Args:
        folder: The index.
        facts: JSON values; those that decide what it finds, and those that are needed to read it.
    """
    text = json.dumps({"schema": SCHEMA, **facts}, indent=1, sort_keys=True, ensure_ascii=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path, wanted: Mapping[str, tuple[str, Any]]) -> dict[str, Any]:
    """Read what an index is, and refuse it where it is not what is wanted.

    Args:
        folder: The index.
        wanted: By name of a fact: how a person calls it, and what it must be.

    Returns:
        All facts.

    Raises:
        UserError: There is no index, it is damaged or of another version, or it was made from something else.
    """
    path = folder / MANIFEST
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        schema = facts["schema"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(folder, "there is no readable index.json") from error
    if schema != SCHEMA:
        raise UserError(
            f"the index has version {schema}, and this is version {SCHEMA}",
            where=str(folder),
            remedy="remove it, and it is made anew",
        )
    for name, (words, value) in wanted.items():
        if facts.get(name) != value:
            raise UserError(
                f"the index was made from other {words}",
                where=str(folder),
                remedy="remove it, and it is made anew; or name another folder with --index",
            )
    return dict(facts)


def damaged(folder: Path, what: str) -> UserError:
    """The error for an index that cannot be read."""
    return UserError(f"the index is damaged: {what}", where=str(folder), remedy="remove it, and it is made anew")
