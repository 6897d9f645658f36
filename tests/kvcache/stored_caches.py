"""What the tests of prefill and store share: contexts, a store in a folder, and what it said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from rmtbench.kvcache.base import PrefixKV
from rmtbench.kvcache.disk.obtain import Obtained, obtain
from rmtbench.kvcache.disk.store import CacheStore
from rmtbench.kvcache.watching import Watch
from rmtbench.models.local import LocalModel

CHUNK = 16


def context(tokens: int = 75, seed: int = 0) -> list[int]:
    """Token ids of some context."""
    return torch.randint(1000, 20000, (tokens,), generator=torch.Generator().manual_seed(seed)).tolist()


def equal(one: PrefixKV, other: PrefixKV) -> bool:
    """Whether two caches are the same, bit for bit."""
    pairs = zip((*one.keys, *one.values), (*other.keys, *other.values), strict=True)
    return one.token_ids == other.token_ids and all(torch.equal(left, right) for left, right in pairs)


class Shop:
    """A store in a folder that keeps what was said, what was read and what it cost."""

    def __init__(self, folder: Path, limit: int = 10**9) -> None:
        self.store = CacheStore(folder, limit)
        self.said: list[str] = []
        self.read: list[int] = []
        self.seconds: Mapping[str, float] = {}

    def get(self, model: LocalModel, ids: Sequence[int], stop_at: int | None = None) -> Obtained:
        """Obtain a context; interrupted as by Ctrl-C once so many tokens are read."""
        self.said, self.read, self.seconds = [], [], {}

        def reading(progress: object) -> None:
            self.read.append(progress.done)
            if progress.done == stop_at:
                raise KeyboardInterrupt

        watch = Watch(reading, self.said.append)
        found = obtain(model, ids, store=self.store, watch=watch, chunk_tokens=CHUNK)
        self.seconds = found.seconds
        return found.value

    @property
    def folders(self) -> list[Path]:
        """The completed caches."""
        return sorted(path for path in self.store.folder.iterdir() if not path.name.startswith("."))
