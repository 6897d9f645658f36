"""Files: where they are kept between runs, whole writes, and hashes."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import platform
import time
from contextlib import suppress
from pathlib import Path

_LARGE = 16 * 2**20
"""Bytes from which on a file's hash is kept: smaller files are hashed faster than their hash is found."""

_SETTLED_SECONDS = 2.0
"""Age of a file below which its hash is not kept: a second write could still leave the same time stamp."""


def cache_folder() -> Path:
    """Return where embeddings, caches and converted models are kept: `RMTBENCH_CACHE`, else the user's cache folder."""
    given = os.environ.get("RMTBENCH_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(given or f"{base}/rmtbench").expanduser()


def write_atomically(path: Path, data: bytes, *, mode: int | None = None) -> None:
    """Write a file under a temporary name and rename it: readers see the old file or the new one, never a part.

    Args:
        path: The file.
        data: Its bytes.
        mode: Its permissions, from the first moment on; None for the usual ones.

    Raises:
        OSError: The system refuses; it names `path` and not the temporary file.
    """
    temporary = temporary_of(path)
    remove_left_temporaries(path)
    try:
        if temporary.is_symlink() and not temporary.is_char_device():
            temporary.unlink()  # not ours: it would lead the data elsewhere
        temporary.write_bytes(data)
        if mode is not None:
            temporary.chmod(mode)
        temporary.replace(path)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        # A folder that cannot be written cannot be tidied either, and that must not hide the reason.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def temporary_of(path: Path) -> Path:
    """Return the name under which this process writes a file before it is whole."""
    return path.with_name(f".{path.name}.{_machine()}-{os.getpid()}.tmp")


def remove_left_temporaries(path: Path) -> None:
    """Remove what processes of this machine left of a file when they were killed while they wrote it."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.{_machine()}-*.tmp"):
        process = left.name.removesuffix(".tmp").rpartition("-")[2]
        if process.isdecimal() and not _is_alive(int(process)):
            with suppress(OSError):
                left.unlink()


def _machine() -> str:
    return hashlib.sha256(platform.node().encode("utf-8", "surrogateescape")).hexdigest()[:8]


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def hash_file(path: Path) -> str:
    """Read a file and return its SHA-256.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, as `hash_file` does.

    A large file is read once: its hash is kept under its path, size, modification time and inode.

    Raises:
        OSError: The file cannot be read.
    """
    facts = path.stat()
    if facts.st_size < _LARGE:
        return hash_file(path)
    place = str(path.resolve())
    stamp = [place, facts.st_size, facts.st_mtime_ns, facts.st_ino]
    kept = cache_folder() / "hashes" / f"{hashlib.sha256(place.encode()).hexdigest()[:32]}.json"
    with suppress(OSError, ValueError):
        known = json.loads(kept.read_text(encoding="utf-8"))
        if known["stamp"] == stamp:
            return str(known["sha256"])
    digest = hash_file(path)
    now = path.stat()
    unchanged = (now.st_size, now.st_mtime_ns, now.st_ino) == (facts.st_size, facts.st_mtime_ns, facts.st_ino)
    if unchanged and time.time() - facts.st_mtime > _SETTLED_SECONDS:
        with suppress(OSError):  # without a folder to write to, the file is read again the next time
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(kept, json.dumps({"stamp": stamp, "sha256": digest}).encode())
    return digest
