"""Folders and files that commands agree on, for whoever must not load a model library to learn them."""

from __future__ import annotations

import os
from pathlib import Path

from rmtbench.errors import UserError


def cache_folder() -> Path:
    """Where embeddings and key-value caches are kept between runs: `RMTBENCH_CACHE`, else the user's cache folder."""
    given = os.environ.get("RMTBENCH_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(given or f"{base}/rmtbench").expanduser()


def in_a_folder(path: Path | None) -> Path | None:
    """Refuse a file of ``--json`` that cannot be written, before anything is done and told.

    Args:
        path: As it was given; None for no file.

    Returns:
        The same path.

    Raises:
        UserError: Its folder does not exist, or it is a folder itself.
    """
    if path is not None and path.is_dir():
        raise UserError("is a folder", where=f"--json {path}", remedy="name a file")
    if path is not None and not path.parent.is_dir():
        raise UserError("no such folder", where=f"--json {path}", remedy=f"make {path.parent}, or name another file")
    return path
