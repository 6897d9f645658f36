"""Seals: FAISS reads its files without checking them, so only those that were made with this cache folder are read.

A seal is a keyed hash of the file. The key is random and stays in the cache folder, readable by its user only.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from rmtbench.errors import disk_errors
from rmtbench.files import cache_folder, file_sha256, write_atomically

KEY_BYTES = 32


def write_seal(path: Path, name: str) -> None:
    """Write the seal of a file that was just made here.

    Args:
        path: The file.
        name: The name that it will have in its folder.

    Raises:
        UserError: The cache folder cannot be written.
    """
    write_atomically(_beside(path.with_name(name)), _seal(path, name).encode())


def is_sealed(path: Path) -> bool:
    """Return whether a file is there and was made with this cache folder.

    Raises:
        UserError: The cache folder cannot be written.
    """
    try:
        found = _beside(path).read_text(encoding="ascii", errors="replace")
        return path.is_file() and hmac.compare_digest(found.encode(), _seal(path, path.name).encode())
    except FileNotFoundError:
        return False


def remove_sealed(path: Path) -> None:
    """Remove a file and its seal, where they are there."""
    path.unlink(missing_ok=True)
    _beside(path).unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.seal")


def _seal(path: Path, name: str) -> str:
    return hmac.new(_key(), f"{name}\n{file_sha256(path)}".encode(), hashlib.sha256).hexdigest()


def _key() -> bytes:
    """The cache folder's secret; made at the first need."""
    path = cache_folder() / "seal.key"
    with disk_errors(path, "RMTBENCH_CACHE"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            pass
        else:
            os.write(made, secrets.token_bytes(KEY_BYTES))
            os.close(made)
        return path.read_bytes()
