"""A stored cache's manifest: what the cache is, what made it, and the checksum of every file, under one of its own.

Reading it checks all of that; a cache is used only after `Manifest.damage` found nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rmtbench.models.identity import canonical

SCHEMA = 1
FILE = "manifest.json"
IDS_FILE = "token-ids.u32"
_SEAL = "manifest_sha256"


class DamagedCacheError(Exception):
    """A stored cache is not what its manifest says, or has none that can be read."""


@dataclass(frozen=True)
class Manifest:
    """What is known of a stored cache.

    Attributes:
        key: See `rmtbench.kvcache.disk.identity.cache_key`.
        identity: See `rmtbench.kvcache.disk.identity.model_identity`.
        tokens: Tokens of the context.
        token_ids_sha256: Hash of the ids' file.
        bytes: Bytes of all files but this one.
        files: Length (`bytes`) and `sha256` of each file.
        seconds: Wall seconds of making it, by part.
        reused_tokens: Of the tokens, how many had stood ready.
        created: UTC, to the second.
        made_by: Versions that made it and do not decide its bytes.
    """

    key: str
    identity: Mapping[str, Any]
    tokens: int
    token_ids_sha256: str
    bytes: int
    files: Mapping[str, Mapping[str, Any]]
    seconds: Mapping[str, float]
    reused_tokens: int
    created: str
    made_by: Mapping[str, str]

    def damage(self, folder: Path) -> list[str]:
        """Read every file and compare it with its checksum.

        Args:
            folder: Where they lie.

        Returns:
            One sentence for each file that is not as it was written; hashing threads share the cores.
        """
        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
            told = pool.map(lambda name: _compare(folder / name, self.files[name]), self.files)
            return [f"{name}: {reason}" for name, reason in zip(self.files, told, strict=True) if reason]


def _compare(path: Path, expected: Mapping[str, Any]) -> str | None:
    try:
        with path.open("rb") as stream:
            length = os.fstat(stream.fileno()).st_size
            if length != expected["bytes"]:
                return f"{length} bytes in place of {expected['bytes']}"
            if hashlib.file_digest(stream, "sha256").hexdigest() != expected["sha256"]:
                return "its bytes have changed"
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None


def read_ids(folder: Path) -> bytes:
    """The token ids as they are stored; nothing where they cannot be read."""
    try:
        return (folder / IDS_FILE).read_bytes()
    except OSError:
        return b""


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest with its seal, and have it on the disk.

    Raises:
        OSError: It cannot be written.
    """
    values = {"schema": SCHEMA, **asdict(manifest)}
    values[_SEAL] = hashlib.sha256(canonical(values).encode()).hexdigest()
    with (folder / FILE).open("wb") as stream:
        stream.write(json.dumps(values, indent=1, ensure_ascii=False).encode() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())


def read_manifest(folder: Path) -> Manifest:
    """Read a manifest and check its seal.

    Raises:
        DamagedCacheError: There is none, it cannot be understood, or it is not as it was written.
    """
    try:
        text = (folder / FILE).read_bytes()
    except OSError as error:
        raise DamagedCacheError(f"{FILE}: {'missing' if isinstance(error, FileNotFoundError) else error}") from error
    try:
        values = json.loads(text)
        schema, seal = values.pop("schema"), values.pop(_SEAL)
        if schema != SCHEMA:
            raise DamagedCacheError(f"{FILE}: schema {schema} in place of {SCHEMA}")
        written = json.dumps({"schema": schema, **values, _SEAL: seal}, indent=1, ensure_ascii=False).encode() + b"\n"
        # The very bytes are compared too: an edit that means the same is an edit all the same.
        if hashlib.sha256(canonical({"schema": schema, **values}).encode()).hexdigest() != seal or written != text:
            raise DamagedCacheError(f"{FILE}: it has been changed")
        return Manifest(**values)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DamagedCacheError(f"{FILE}: cannot be understood ({type(error).__name__})") from error
