"""Options of key-value caches: how the corpus and chunks are kept. See docs/explanation/cag.md and cache-store.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from rmtbench.options.declare import option, stated

_SERVERS_OWN = "the server keeps the cache in its own way"

Layout = Literal["shared", "plain", "composed"]
"""How `cag` keeps the corpus: once for all rows; in one buffer with the question behind it; or composed of its
documents' caches, which is not exact."""


def _few(bits: int | None) -> int | None:
    if bits not in (None, 4, 8):
        raise ValueError("must be 8 or 4; leave it out for an exact cache")
    return bits


@dataclass(frozen=True, kw_only=True)
class CacheChoices:
    """The part that is the same in a request and in a run's `RunOptions`."""

    cache_layout: Layout = option(
        "shared",
        "How cag keeps the corpus: shared, plain or composed.",
        was="prefix",
        stored="prefix",
        heeded="keeps a cache",
        not_served=_SERVERS_OWN,
    )
    recompute: float | None = option(
        None,
        "Share of each document in a composed cache that is read again.",
        rare=True,
        above=0,
        at_most=1,
        heeded="keeps a cache",
    )
    kv_bits: int | None = option(
        None,
        "Bits of a number in the cache: 8 or 4.",
        rare=True,
        at_least=1,
        heeded="keeps a cache",
        not_served=_SERVERS_OWN,
        check=_few,
    )
    prune: Literal["kvzip", "expected-attention", "snapkv", "streaming"] | None = option(
        None,
        "Keep only a share of the cache's tokens, chosen by this method; not exact.",
        rare=True,
        heeded="keeps a cache",
        not_served=_SERVERS_OWN,
    )
    keep: float | None = option(
        None,
        "Share of the tokens that a pruned cache keeps.",
        rare=True,
        above=0,
        at_most=1,
        needs="prune",
        heeded="keeps a cache",
    )
    kv_place: Literal["device", "host"] = option(
        "device",
        "Where the cache is between its uses; host needs a GPU.",
        rare=True,
        heeded="keeps a cache",
        not_served=_SERVERS_OWN,
    )
    cuda_graphs: Literal["on", "off"] = option(
        "on",
        "Replay decode steps as CUDA graphs, where model and cache allow it.",
        rare=True,
        on_off=True,
        heeded="keeps a cache",
        not_served=_SERVERS_OWN,
    )


@dataclass(frozen=True, kw_only=True)
class Cache(CacheChoices):
    """How key-value caches are made and kept."""

    TITLE: ClassVar[str] = "Key-value caches"

    kv_cache: str | None = option(
        None,
        "Keep cag's caches between runs: a folder, or on.",
        on_off=True,
        shown="not kept",
        heeded="keeps a cache",
        not_served=_SERVERS_OWN,
        labelled=True,
    )
    cache_limit: str = option("20GB", "Maximum bytes of all kept caches.", needs="kv_cache")
    chunk_cache: bool = option(
        False,
        "RAG's chunks come with their caches already made; not exact.",
        heeded="retrieves",
        not_served="a server takes texts, not their caches",
        labelled=True,
    )
    chunk_cache_limit: str = option(
        "2GB", "Maximum memory of chunks' caches.", rare=True, needs="chunk_cache", labelled=True
    )


@dataclass(frozen=True, kw_only=True)
class RunCache(CacheChoices):
    """What a run states of its caches."""

    kv_cache: bool = stated(default=False)
    """A run that may load its cache is not the run that computes it."""
    chunk_cache: str | None = stated()
    """Maximum memory of chunks' caches; None where chunks are read with each prompt."""
