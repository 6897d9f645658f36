"""From a request to the specs of its runs: which systems, in which settings, over which data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rmtbench.core import RunSpec, Source
from rmtbench.corpora.open import canonical_name
from rmtbench.errors import MissingError, UserError
from rmtbench.models.endpoint.address import is_endpoint
from rmtbench.models.rerank import reranker_label
from rmtbench.options import flag
from rmtbench.options.declare import Option
from rmtbench.options.identity import RunOptions
from rmtbench.options.request import Request, all_options
from rmtbench.options.rules import check_device, check_heeded, check_server, is_used
from rmtbench.runs.memories import memory_folder, memory_label
from rmtbench.systems.base import SystemKind
from rmtbench.systems.registry import find_system, is_plugin, our_systems, system_names, working_systems


def plan_runs(request: Request, source: Source, *, device: str, dtype: str) -> list[RunSpec]:
    """Return one spec for every system, and for every top-k of a system that needs chunks.

    Args:
        request: What the user asked.
        source: The opened data, for its name and hash.
        device: The chosen device.
        dtype: The chosen dtype.

    Raises:
        UserError: A system does not exist, or the trained memory that it needs, or a cache that is to be kept.
    """
    check_device(request, device)
    kinds = {name: find_system(name) for name in named_systems(request)}
    retrieves = any("chunks" in kind.needs for kind in kinds.values())
    # A folder's label is a hash over its weights: taken once, not for every run.
    reranker = reranker_label(request.reranker) if request.reranker is not None and retrieves else None
    fixed = {
        "dataset": canonical_name(request.dataset),
        "data": f"{source.kind}:{source.name}@{source.sha256[:16]}",
        "dtype": dtype,
        "device": device,
    }
    specs = []
    for name, kind in kinds.items():
        columns = _columns(kind, request) | fixed
        options = _options(kind, request, reranker)
        by_number = "chunks" in kind.needs and request.top_tokens is None
        top_ks: Sequence[int | None] = sorted(set(request.top_k)) if by_number else [None]
        specs += [RunSpec(system=name, top_k=top_k, options=options, **columns) for top_k in top_ks]
    check_heeded(request, list(kinds.values()), our_systems().values())
    return specs


def _columns(kind: SystemKind, request: Request) -> dict[str, Any]:
    """Return the fields of a spec that are options. Options that the system does not use have their defaults."""
    found = {}
    for name, option in all_options().items():
        if option.column and name not in ("systems", "top_k"):
            used = is_used(option, kind, served=is_endpoint(request.model))
            found[name] = getattr(request, name) if used else getattr(RunSpec, name)
    return found


def left_out_of_all(request: Request) -> list[str]:
    """Return the systems that ``all`` leaves out in this request: they must be named, or have no trained memory."""
    kinds, broken = working_systems()
    return [*(name for name in broken if is_plugin(name))] + [
        name
        for name, kind in kinds.items()
        if "many-calls" in kind.needs
        or (kind.memory and (is_endpoint(request.model) or request.weights != "native"))
        or (kind.memory and memory_folder(request.rmt, request.model_name, kind.memory) is None)
    ]


def named_systems(request: Request) -> list[str]:
    """Return the names of a request's systems, each once; ``all`` means every system but those left out."""
    left_out = left_out_of_all(request) if "all" in request.systems else []
    everything = [name for name in system_names() if name not in left_out]
    wanted = [name for given in request.systems for name in (everything if given == "all" else [given])]
    return list(dict.fromkeys(wanted))


def _options(kind: SystemKind, request: Request, reranker: str | None) -> RunOptions:
    """Return the options of a system's runs, with names and hashes in place of paths and URLs."""
    served = is_endpoint(request.model)
    if served:
        check_server(request, kind)
    stated: dict[str, object] = {}
    if "prefix-cache" in kind.needs:
        stated["kv_cache"] = request.kv_cache is not None
    if "chunks" in kind.needs:
        stated |= _stated_of_retrieval(kind, request, reranker)
    if kind.memory is not None:
        stated["memory"] = _memory(kind.name, kind.memory, request)
    if "notes" in kind.needs:
        stated |= {"rmt_chunk_tokens": request.rmt_chunk_tokens, "rmt_memory_tokens": request.rmt_memory_tokens}

    def has_effect(option: Option) -> bool:
        needed = not option.needs or bool(getattr(request, option.needs))
        return needed and is_used(option, kind, served=served)

    return RunOptions.of(request, has_effect, **stated)


def _memory(system: str, mode: str, request: Request) -> str:
    if request.weights != "native":
        raise UserError(
            f"a memory was trained for the weights as they are, and is not tried with {request.weights}",
            where=f"{flag.weights} {request.weights} with {flag.systems} {system}",
            remedy="leave one of both out",
        )
    folder = memory_folder(request.rmt, request.model_name, mode)
    if folder is None:
        raise MissingError(
            f"no trained memory for '{request.model_name}'",
            where=f"{flag.systems} {system}",
            remedy=f"train one with `rmtbench train rmt`, and name its folder with {flag.rmt}",
        )
    return memory_label(folder)


def _stated_of_retrieval(kind: SystemKind, request: Request, reranker: str | None) -> dict[str, object]:
    """Return what a run states about its retrieval in place of paths and URLs."""
    stated: dict[str, object] = {"reranker": reranker}
    if request.chunk_cache:
        stated["chunk_cache"] = request.chunk_cache_limit
    if request.index is not None:
        stated["index"] = f"kept {request.dense_index}" if "embedder" in kind.needs else "kept"
    if "embedder" in kind.needs:
        stated["embed_windows"] = request.embed_windows == "on"
        if request.qdrant is not None:
            stated["vector_store"] = "qdrant in-process" if request.qdrant == "memory" else "qdrant"
    return stated
