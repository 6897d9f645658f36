"""Folders that commands agree on, for whoever must not load a model library to learn them."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Where embeddings and key-value caches are kept between runs: `RMTBENCH_CACHE`, else the user's cache folder."""
    given = os.environ.get("RMTBENCH_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(given or f"{base}/rmtbench").expanduser()
