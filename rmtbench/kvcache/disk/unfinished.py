"""A cache while it is made: layer files of final size, and a line for each chunk that stands in them.

Killed at any moment, it holds every chunk whose line is complete and whose bytes have the checksum in that line.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rmtbench.kvcache.base import PrefixKV
from rmtbench.kvcache.disk.identity import ids_bytes
from rmtbench.kvcache.disk.layer_file import LayerShape, chunk_digest, create, digest, layer_name, read, write_chunk
from rmtbench.kvcache.disk.manifest import IDS_FILE

CHUNKS = "chunks.jsonl"


class UnfinishedCache:
    """One folder, which one process at a time may write.

    Args:
        folder: Where the files lie; made at the first chunk.
        ids: The whole context.
        make_room: Told the bytes that the files will take before any is made; may refuse.
    """

    def __init__(self, folder: Path, ids: Sequence[int], make_room: Callable[[int], None]) -> None:
        self.folder = folder
        self._ids = ids
        self._make_room = make_room
        self._shape: LayerShape | None = None

    def ready(self) -> PrefixKV | None:
        """The chunks that stand in the files, checked against their checksums, mapped; None without any.

        What follows the last good chunk is forgotten.
        """
        try:
            if (self.folder / IDS_FILE).read_bytes() != ids_bytes(self._ids):
                return None
            lines = (self.folder / CHUNKS).read_bytes().split(b"\n")[:-1]
            count = len(list(self.folder.glob("layer-*.safetensors")))
            layers = [read(self.folder / layer_name(layer)) for layer in range(count)]
            self._shape = LayerShape.of(*layers[0], len(self._ids))
            good, done = self._check(lines, layers)
        except (OSError, ValueError, LookupError, TypeError, RuntimeError, _format_error()):
            self._shape = None
            return None
        (self.folder / CHUNKS).write_bytes(b"".join(line + b"\n" for line in good))
        if done == 0:
            self._shape = None  # all is made anew, missing files too
            return None
        keys, values = zip(*((keys[:, :done], values[:, :done]) for keys, values in layers), strict=True)
        return PrefixKV(keys, values, tuple(self._ids[:done]))

    def _check(self, lines: Sequence[bytes], layers: Sequence[tuple[Any, Any]]) -> tuple[list[bytes], int]:
        good: list[bytes] = []
        done = 0
        for line in lines:
            row = json.loads(line)
            span = slice(row["start"], row["end"])
            chunk = ((keys[:, span], values[:, span]) for keys, values in layers)
            if row["start"] != done or not done < row["end"] <= len(self._ids) or chunk_digest(chunk) != row["sha256"]:
                break
            good.append(line)
            done = row["end"]
        return good, done

    def keep(self, start: int, chunk: PrefixKV) -> None:
        """Write a chunk behind those that stand already.

        Args:
            start: Position of its first token.
            chunk: Its keys and values.

        Raises:
            UserError: There is no room for the whole cache.
            OSError: The disk refuses.
        """
        if self._shape is None:
            self._begin(chunk)
        assert self._shape is not None  # noqa: S101 - `_begin` has set it
        home = chunk.on_host()
        pairs = list(zip(home.keys, home.values, strict=True))
        for layer, (keys, values) in enumerate(pairs):
            write_chunk(self.folder / layer_name(layer), self._shape, start, keys, values)
        row = {"start": start, "end": start + chunk.tokens, "sha256": chunk_digest(pairs)}
        with (self.folder / CHUNKS).open("ab") as stream:
            stream.write(json.dumps(row).encode() + b"\n")

    def _begin(self, chunk: PrefixKV) -> None:
        shape, layers = LayerShape.of(chunk.keys[0], chunk.values[0], len(self._ids)), len(chunk.keys)
        # What an interrupted reading left and nobody can use goes first: no other cache has to make room for it.
        for left in (self.folder / CHUNKS, *self.folder.glob("layer-*.safetensors")):
            left.unlink(missing_ok=True)
        self._make_room(layers * (len(shape.header()) + shape.key_bytes + shape.value_bytes) + 4 * len(self._ids))
        self.folder.mkdir(exist_ok=True)
        (self.folder / IDS_FILE).write_bytes(ids_bytes(self._ids))
        for layer in range(layers):
            create(self.folder / layer_name(layer), shape)
        self._shape = shape

    def complete(self, tensors: PrefixKV) -> dict[str, dict[str, Any]]:
        """Have all files on the disk.

        Args:
            tensors: The whole context's; checksums are made of these, so that whatever the disk did otherwise shows.

        Returns:
            Length and checksum of each file.

        Raises:
            OSError: The disk refuses.
        """
        shape = LayerShape.of(tensors.keys[0], tensors.values[0], tensors.tokens)
        length = len(shape.header()) + shape.key_bytes + shape.value_bytes
        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
            digests = list(pool.map(lambda pair: digest(shape, *pair), zip(tensors.keys, tensors.values, strict=True)))
        files = {layer_name(layer): {"bytes": length, "sha256": made} for layer, made in enumerate(digests)}
        ids = ids_bytes(self._ids)
        files[IDS_FILE] = {"bytes": len(ids), "sha256": hashlib.sha256(ids).hexdigest()}
        for name in files:
            flush(self.folder / name)
        return files


def flush(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk.

    Raises:
        OSError: The disk refuses.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _format_error() -> type[Exception]:
    from safetensors import SafetensorError

    error: type[Exception] = SafetensorError
    return error
