"""From a request to the specs of its runs: which systems, in which settings, over which data."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rmtbench.core import RunSpec, Source
from rmtbench.errors import UserError
from rmtbench.models.endpoint.address import is_endpoint
from rmtbench.models.rerank import reranker_label
from rmtbench.runs.memories import memory_folder, memory_label
from rmtbench.spec import PREFIXES, Request, option_name
from rmtbench.systems.base import SystemKind
from rmtbench.systems.registry import find_system, system_names

_HEEDED: Sequence[tuple[str, Callable[[SystemKind], bool], str]] = (
    (
        "top_k top_tokens chunk_tokens chunk_overlap split chunk_order reranker index chunk_cache",
        lambda kind: "chunks" in kind.needs,
        "rag-sparse",
    ),
    ("stemming stop_words sparse_backend", lambda kind: "words" in kind.needs, "rag-sparse"),
    ("embedder embed_windows qdrant dense_index", lambda kind: "embedder" in kind.needs, "rag-dense"),
    ("prefix recompute kv_bits kv_place", lambda kind: "prefix-cache" in kind.needs, "cag"),
    ("rmt_chunk_tokens rmt_memory_tokens", lambda kind: "notes" in kind.needs, "rmt-text"),
)
"""Fields of a request that only some systems heed, which these are, and one of them."""


def plan_runs(request: Request, source: Source, *, device: str, dtype: str) -> list[RunSpec]:
    """One spec for every system, and for every top-k of a system that takes one.

    Args:
        request: What the user asked.
        source: The opened data, for its name and hash.
        device: The device, chosen.
        dtype: The dtype, chosen.

    Raises:
        UserError: A system does not exist, or the trained memory that it needs, or a cache that is to be kept.
    """
    if request.kv_place == "host" and not device.startswith("cuda"):
        remedy = "leave it out, or give --device cuda"
        raise UserError(f"it needs a GPU, and the device is '{device}'", where="--set kv-place=host", remedy=remedy)
    specs = []
    kinds = {name: find_system(name) for name in _names(request)}
    retrieves = any("chunks" in kind.needs for kind in kinds.values())
    # A folder's label is a hash over its weights: taken once, not for every run.
    reranker = reranker_label(request.reranker) if request.reranker is not None and retrieves else None
    for name, kind in kinds.items():
        by_number = "chunks" in kind.needs and request.top_tokens is None
        settings = _settings(kind, request, reranker)
        top_ks: Sequence[int | None] = sorted(set(request.top_k)) if by_number else [None]
        specs += [
            RunSpec(
                system=name,
                dataset=request.dataset,
                size=request.size,
                model=request.model,
                data=f"{source.kind}:{source.name}@{source.sha256[:16]}",
                tokenizer=request.tokenizer,
                top_k=top_k,
                embedder=request.embedder if "embedder" in kind.needs else None,
                answer_style=request.answer_style,
                max_answer_tokens=request.max_answer_tokens,
                batch=request.batch,
                # Chunking is part of a spec only where there is any: it would make two runs of one.
                chunk_tokens=request.chunk_tokens if "chunks" in kind.needs else RunSpec.chunk_tokens,
                chunk_overlap=request.chunk_overlap if "chunks" in kind.needs else RunSpec.chunk_overlap,
                seed=request.seed,
                draws=request.draws,
                questions=request.questions,
                dtype=dtype,
                device=device,
                settings=settings,
                adapter=request.adapter,
            )
            for top_k in top_ks
        ]
    if request.kv_cache is not None and not any("kv_cache" in dict(spec.settings) for spec in specs):
        raise UserError("no system here has a cache to keep", where="--kv-cache", remedy="leave it out, or name cag")
    _check_heeded(request, list(kinds.values()))
    return specs


def _check_heeded(request: Request, kinds: Sequence[SystemKind]) -> None:
    """Refuse an option that none of the systems has use for."""
    for names, heeds, system in _HEEDED:
        for name in names.split() if not any(map(heeds, kinds)) else ():
            if getattr(request, name) != Request.model_fields[name].default:
                remedy = f"leave it out, or name {system}"
                raise UserError("no system here has use for it", where=option_name(name), remedy=remedy)


def left_out_of_all(request: Request) -> list[str]:
    """Systems that ``all`` does not mean in this request: they must be named, or lack a trained memory."""
    kinds = [find_system(name) for name in system_names()]
    return [
        kind.name
        for kind in kinds
        if "many-calls" in kind.needs
        or (kind.memory and is_endpoint(request.model))
        or (kind.memory and memory_folder(request.rmt, request.model_name, kind.memory) is None)
    ]


def _names(request: Request) -> list[str]:
    left_out = left_out_of_all(request) if "all" in request.systems else []
    everything = [name for name in system_names() if name not in left_out]
    wanted = [name for given in request.systems for name in (everything if given == "all" else [given])]
    return list(dict.fromkeys(wanted))


def _settings(kind: SystemKind, request: Request, reranker: str | None) -> tuple[tuple[str, str], ...]:
    """What only some systems have, by name, in order."""
    settings = _server_settings(kind, request) if is_endpoint(request.model) else {}
    chat = {"system_prompt": request.system_prompt, "think_tokens": request.think_tokens}
    settings |= {name: str(value) for name, value in chat.items() if value is not None}
    if "prefix-cache" in kind.needs and request.prefix != PREFIXES[0]:
        settings["prefix"] = request.prefix
    if "prefix-cache" in kind.needs and request.recompute is not None:
        settings["recompute"] = f"{request.recompute:g}"
    if "prefix-cache" in kind.needs and request.kv_bits is not None:
        settings["kv_bits"] = str(request.kv_bits)
    if "prefix-cache" in kind.needs and request.kv_place != "device":
        settings["kv_place"] = request.kv_place
    if "prefix-cache" in kind.needs and request.kv_cache is not None:
        settings["kv_cache"] = "on"  # a row of its own: what was loaded never stands among what was computed
    if "chunks" in kind.needs:
        settings |= _retrieval_settings(kind, request, reranker)
    if kind.memory is not None:
        folder = memory_folder(request.rmt, request.model_name, kind.memory)
        if folder is None:
            raise UserError(
                f"no trained memory for '{request.model_name}'",
                where=f"--system {kind.name}",
                remedy="train one with `rmtbench train rmt`, and name its folder with --rmt",
            )
        settings["memory"] = memory_label(folder)
    if "notes" in kind.needs:
        settings["chunk_tokens"] = str(request.rmt_chunk_tokens)
        settings["memory_tokens"] = str(request.rmt_memory_tokens)
    return tuple(sorted(settings.items()))


def _retrieval_settings(kind: SystemKind, request: Request, reranker: str | None) -> dict[str, str]:
    """How chunks are cut, found, chosen and shown, where it is not the usual way."""
    names = ["split", "top_tokens", "chunk_order"]
    names += ["stemming", "stop_words", "sparse_backend"] if "words" in kind.needs else []
    names += ["candidates"] if request.reranker is not None else []
    given = {name: getattr(request, name) for name in names}
    settings = {name: str(value) for name, value in given.items() if value != Request.model_fields[name].default}
    if reranker is not None:
        settings["reranker"] = reranker
    if request.chunk_cache:
        settings["chunk_cache"] = request.chunk_cache_limit
    if request.embed_windows == "on" and "embedder" in kind.needs:
        settings["embed_windows"] = "on"  # stands although it is usual: runs of before there were windows have none
    if request.qdrant is not None and "embedder" in kind.needs:
        settings["vector_store"] = "qdrant in-process" if request.qdrant == "memory" else "qdrant"
    if request.index is not None:
        settings["index"] = f"kept {request.dense_index}" if "embedder" in kind.needs else "kept"
    return settings


def _server_settings(kind: SystemKind, request: Request) -> dict[str, str]:
    """How a server is asked, where that can change an answer or its time; refuses what a server cannot do."""
    if kind.memory is not None:
        raise UserError(
            "a recurrent memory needs the model's weights, and a server gives none",
            where=f"--system {kind.name} with --model {request.model}",
            remedy="use rmt-text, which needs texts alone, or a local model",
        )
    if "prefix-cache" in kind.needs and request.prefix != PREFIXES[0]:
        raise UserError(
            "the server keeps the cache in its own way", where=f"--prefix {request.prefix}", remedy="leave it out"
        )
    if "prefix-cache" in kind.needs and request.kv_bits is not None:
        raise UserError("the server keeps the cache in its own way", where="--set kv-bits", remedy="leave it out")
    if "prefix-cache" in kind.needs and request.kv_place != "device":
        raise UserError("the server keeps the cache in its own way", where="--set kv-place", remedy="leave it out")
    if "chunks" in kind.needs and request.chunk_cache:
        raise UserError("a server takes texts, not their caches", where="--chunk-cache", remedy="leave it out")
    if "prefix-cache" in kind.needs and request.kv_cache is not None:
        raise UserError("the server keeps the cache in its own way", where="--kv-cache", remedy="leave it out")
    names = ("api", "concurrency", "reasoning_effort")
    given = {name: str(getattr(request, name)) for name in names}
    return {name: value for name, value in given.items() if value != str(Request.model_fields[name].default)}
