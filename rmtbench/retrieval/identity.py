"""What a kept index was made from, by hash: one of other chunks, settings or another embedder is refused."""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rmtbench.errors import UserError
from rmtbench.locks import take_turn
from rmtbench.options import flag
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
def only_builder(folder: Path, waiting: Callable[[str], None] = lambda _text: None) -> Iterator[Path | None]:
    """Hold the right to make an index for the length of the block, after whoever makes it now.

    Every process makes it in a folder of its own, which it gets by renaming what an interrupted one left. So one that
    was stopped for a while, and continues after another one has taken over, finds its folder gone and spoils nothing.

    Args:
        folder: Where the index will be.
        waiting: Told once whose end is awaited.

    Yields:
        The folder in which to make it; None if the index is there, because another process has made it meanwhile.

    Raises:
        UserError: This process was stopped for a while, and another one has taken over.
        OSError: The disk refuses.
    """
    with take_turn(folder.with_name(folder.name + ".lock"), waiting, "index") as claim:
        if folder.exists():
            yield None
            return
        own = _begin(folder, copied=claim.superseded)
        try:
            yield own
        except FileNotFoundError as error:
            if own.exists() or not claim.lost():
                raise
            raise UserError(
                f"this process was stopped for a while, and another one ({claim.holder()}) makes this index now",
                where=str(folder),
                remedy="give the same command again: it waits for the other one",
            ) from error


def _begin(folder: Path, *, copied: bool) -> Path:
    """Return a folder of this process, with what an interrupted one left: its files, or copies if it may be alive."""
    own = folder.with_name(f"{folder.name}.unfinished-{secrets.token_hex(4)}")
    left = sorted(folder.parent.glob(f"{glob.escape(folder.name)}.unfinished*"), key=lambda path: path.stat().st_mtime)
    if left and not copied:
        left.pop().rename(own)
    elif left:
        # It may still have files open, and would write into the same ones. Progress is noted behind what it is about.
        shutil.copytree(left[-1], own)
    else:
        own.mkdir()
    for path in left:
        shutil.rmtree(path, ignore_errors=True)
    return own


def publish(made: Path, folder: Path) -> None:
    """Give a whole index its name, unless another process has made it meanwhile.

    Raises:
        OSError: The disk refuses.
    """
    try:
        made.replace(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        shutil.rmtree(made)


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
                remedy=f"remove it, and it is made anew; or name another folder with {flag.index}",
            )
    return dict(facts)


def counts(facts: Mapping[str, Any], *names: str) -> tuple[int, ...]:
    """Return facts that are counts.

    Raises:
        ValueError: One is missing, or is no count.
    """
    for name in names:
        if type(facts.get(name)) is not int or facts[name] < 0:
            raise ValueError(f"{MANIFEST} has no number of {name}")
    return tuple(facts[name] for name in names)


def damaged(folder: Path, what: str) -> UserError:
    """The error for an index that cannot be read."""
    return UserError(f"the index is damaged: {what}", where=str(folder), remedy="remove it, and it is made anew")
