"""A cache that is being written: layer files of final size, and one line for each chunk in them.

After a kill at any moment, a chunk is good if its line is complete and its bytes have the line's checksum.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from rmtbench.kvcache.base import PrefixKV
from rmtbench.kvcache.disk.identity import ids_bytes
from rmtbench.kvcache.disk.layer_file import LayerShape, chunk_digest, create, digest, layer_name, read, write_chunk
from rmtbench.kvcache.disk.manifest import IDS_FILE

if TYPE_CHECKING:
    import torch

CHUNKS = "chunks.jsonl"


class UnfinishedCache:
    """One folder, which only one process at a time may write.

    Args:
        folder: Where the files are; made with the first chunk.
        ids: The whole context.
        make_room: Gets the size of all files before the first one is made; may refuse.
    """

    def __init__(self, folder: Path, ids: Sequence[int], make_room: Callable[[int], None]) -> None:
        self.folder = folder
        self._ids = ids
        self._make_room = make_room
        self._shapes: list[LayerShape] = []

    def ready(self) -> PrefixKV | None:
        """Return the good chunks, memory-mapped; None if there are none. Chunks behind a bad one are dropped."""
        try:
            if (self.folder / IDS_FILE).read_bytes() != ids_bytes(self._ids):
                return None
            lines = (self.folder / CHUNKS).read_bytes().split(b"\n")[:-1]
            count = len(list(self.folder.glob("layer-*.safetensors")))
            layers = [read(self.folder / layer_name(layer)) for layer in range(count)]
            good, done = self._check(lines, layers)
        except (OSError, ValueError, LookupError, TypeError, RuntimeError, SafetensorError):
            return None
        (self.folder / CHUNKS).write_bytes(b"".join(line + b"\n" for line in good))
        if done == 0:
            return None  # every file is made again, those that are missing too
        self._shapes = _shapes(layers, len(self._ids))
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
        """Write the next chunk.

        Args:
            start: Position of its first token.
            chunk: Its keys and values.

        Raises:
            UserError: There is no room for the whole cache.
            OSError: The disk refuses.
        """
        home = chunk.on_host()
        pairs = list(zip(home.keys, home.values, strict=True))
        if not self._shapes:
            self._begin(_shapes(pairs, len(self._ids)))
        for layer, (shape, pair) in enumerate(zip(self._shapes, pairs, strict=True)):
            write_chunk(self.folder / layer_name(layer), shape, start, *pair)
        row = {"start": start, "end": start + chunk.tokens, "sha256": chunk_digest(pairs)}
        with (self.folder / CHUNKS).open("ab") as stream:
            stream.write(json.dumps(row).encode() + b"\n")

    def _begin(self, shapes: list[LayerShape]) -> None:
        # What an interrupted reading left and nobody can use goes first: no other cache has to make room for it.
        for left in (self.folder / CHUNKS, *self.folder.glob("layer-*.safetensors")):
            left.unlink(missing_ok=True)
        self._make_room(sum(shape.file_bytes for shape in shapes) + 4 * len(self._ids))
        self.folder.mkdir(exist_ok=True)
        (self.folder / IDS_FILE).write_bytes(ids_bytes(self._ids))
        for layer, shape in enumerate(shapes):
            create(self.folder / layer_name(layer), shape)
        self._shapes = shapes

    def complete(self, tensors: PrefixKV) -> dict[str, dict[str, Any]]:
        """Wait until all files are on the disk.

        Args:
            tensors: The whole context's; checksums are made of these, so that a fault of the disk shows later.

        Returns:
            Length and checksum of each file.

        Raises:
            OSError: The disk refuses.
        """
        pairs = list(zip(tensors.keys, tensors.values, strict=True))
        shapes = _shapes(pairs, tensors.tokens)
        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
            digests = pool.map(lambda shape, pair: digest(shape, *pair), shapes, pairs)
            made = [{"bytes": shape.file_bytes, "sha256": each} for shape, each in zip(shapes, digests, strict=True)]
        files: dict[str, dict[str, Any]] = {layer_name(layer): each for layer, each in enumerate(made)}
        ids = ids_bytes(self._ids)
        files[IDS_FILE] = {"bytes": len(ids), "sha256": hashlib.sha256(ids).hexdigest()}
        for name in files:
            flush(self.folder / name)
        return files


def _shapes(layers: Iterable[tuple[torch.Tensor, torch.Tensor]], tokens: int) -> list[LayerShape]:
    """Of each layer's file for so many tokens: layers may differ in heads and widths, as Gemma 4's do."""
    return [LayerShape.of(keys, values, tokens) for keys, values in layers]


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
