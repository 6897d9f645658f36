"""Load what the runs of a command need, so that nothing is imported or loaded inside a timed part."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rmtbench.core import RunSpec
from rmtbench.models.base import Embedder, LanguageModel, Reranker, Role
from rmtbench.models.endpoint.address import is_endpoint
from rmtbench.models.endpoint.line import LineSettings
from rmtbench.models.endpoint.load import AS_SERVED, Endpoints, load_endpoint_embedder, load_endpoint_model
from rmtbench.models.endpoint.model import EndpointModel
from rmtbench.models.load import load_model
from rmtbench.models.local import LocalModel
from rmtbench.models.prompt import ChatSettings
from rmtbench.runs.at_once import OneAtATime
from rmtbench.runs.memories import load_memory, memory_folder
from rmtbench.runs.provenance import surroundings
from rmtbench.runs.served import check_served
from rmtbench.systems.registry import find_system
from rmtbench.systems.resources import LoadedMemory, Resources


def load_resources(  # many: all that the runs of a command share
    specs: Sequence[RunSpec],
    device: str,
    cache: Path,
    rmt: Path | None = None,
    endpoints: Endpoints | None = None,
    *,
    reranker: str | None = None,
    indexes: Path | None = None,
    qdrant: str | None = None,
    local: LocalModel | None = None,
) -> Resources:
    """Load the model and whatever else the runs need, so that nothing is imported or loaded inside a timed part.

    Args:
        specs: The runs; they share model and embedder.
        device: Where the model answers.
        cache: Folder of what is kept between runs: embeddings, and verdicts about models.
        rmt: Folder of a trained memory; None for the one shipped for the model.
        endpoints: How servers are called; None if model and embedder are on this machine.
        reranker: Folder or hub id of a reranker; None for none.
        indexes: Folder of kept indexes; None for none.
        qdrant: Where Qdrant keeps embeddings; None if it keeps none.
        local: The runs' model, if it is loaded already.

    Raises:
        UserError: A model, embedder or trained memory is missing, the model cannot be read exactly, or the memory
            belongs to another model.
    """
    spec, endpoints = specs[0], endpoints or Endpoints()
    _warm_up_retrieval(specs)
    model: LocalModel | EndpointModel
    memories: Mapping[str, LoadedMemory] = {}
    if is_endpoint(spec.model):
        model = _served_model(specs, endpoints)
    else:
        from rmtbench.kvcache.exact.warm_up import warm_up

        model = check_served(local or _local_model(spec, device), specs, cache / "verdicts")
        warm_up(model)  # in every way, whatever the runs are: a system beside others has no warmer start than alone
        memories = _memories(specs, model, rmt)
    around = surroundings(device, AS_SERVED if is_endpoint(spec.model) else None)
    client = None
    if qdrant is not None:
        from rmtbench.retrieval.qdrant import open_qdrant

        client = open_qdrant(qdrant, os.environ)
    judge = _load_reranker(reranker, device) if reranker is not None and any(s.retrieves for s in specs) else None
    embedders = _load_embedders(specs, device, cache, endpoints, [around["machine"], device, around["threads"]])
    return Resources(
        spec,
        model,
        embedder=embedders.questions,
        document_embedder=embedders.documents,
        memories=memories,
        writer=_writer(specs, model),
        reranker=judge,
        indexes=indexes,
        qdrant=client,
        provenance={"model": dict(model.provenance), **around, **_told_of(judge), **embedders.provenance},
    )


def _served_model(specs: Sequence[RunSpec], endpoints: Endpoints) -> EndpointModel:
    spec = specs[0]
    return load_endpoint_model(
        spec.model,
        endpoints,
        tokenizer=spec.tokenizer,
        style=spec.answer_style,
        max_answer_tokens=spec.max_answer_tokens,
        counted_for=_counted_for(specs, endpoints.model),
        chat=_chat(spec),
    )


def _local_model(spec: RunSpec, device: str) -> LocalModel:
    model = load_model(
        spec.model,
        adapter=spec.adapter,
        tokenizer=spec.tokenizer,
        style=spec.answer_style,
        dtype=spec.dtype,
        weights=spec.options.weights,
        device=device,
        seed=spec.seed,
        chat=_chat(spec),
    )
    return replace(model, max_answer_tokens=spec.max_answer_tokens)


def _load_reranker(name: str, device: str) -> Reranker:
    from rmtbench.models.rerank import CrossEncoder

    judge = CrossEncoder(name, device)
    judge.score("the first call", ["sets kernels up"])
    return judge


def _told_of(judge: Reranker | None) -> dict[str, Any]:
    """Return what results record about a reranker."""
    if judge is None:
        return {}
    return {"reranker": {"name": judge.name, "sha256": judge.sha256, "max_tokens": judge.max_tokens}}


@dataclass(frozen=True, slots=True)
class _Embedders:
    """The embedders of questions and of documents, and what results record about them."""

    questions: Embedder | None = None
    documents: Embedder | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)


def _load_embedders(
    specs: Sequence[RunSpec], device: str, cache: Path, endpoints: Endpoints, place: Sequence[object]
) -> _Embedders:
    """Load the embedder that the runs name. `place` is what its speed depends on: machine, device and threads."""
    name = next((spec.embedder for spec in specs if spec.embedder is not None), None)
    if name is None:
        return _Embedders()
    from rmtbench.models.embed import load_embedder
    from rmtbench.models.embed_cache import CachedEmbedder
    from rmtbench.models.embed_files import embedder_files_hash

    facts: dict[str, Any] = {}
    embedder: Embedder
    served = is_endpoint(name)
    if served:
        embedder, facts = load_endpoint_embedder(name, endpoints)
    else:
        embedder = load_embedder(name, device)
        embedder.embed(["the first call sets kernels up"])
    roles: tuple[Role, ...] = ("query", "passage")
    prompts = {role: embedder.prompt(role) for role in roles}
    told = {
        "name": embedder.name,
        "sha256": embedder.sha256,
        "max_tokens": embedder.max_tokens,
        **({"prompts": prompts} if any(prompts.values()) else {}),
        "files_sha256": None if served else embedder_files_hash(name),
        **facts,
    }
    questions = OneAtATime(embedder) if specs[0].concurrency > 1 and not served else embedder
    # Embeddings from a server were paid for, so the seconds to load them do not stand for their cost.
    documents = CachedEmbedder(embedder, cache, None if served else json.dumps(place))
    return _Embedders(questions, documents, {"embedder": told})


def _chat(spec: RunSpec) -> ChatSettings:
    """Return the chat settings of a run's spec."""
    return ChatSettings(spec.options.system_prompt, spec.options.think_tokens)


def _counted_for(specs: Sequence[RunSpec], line: LineSettings | None) -> str | None:
    """Return what needs token counts before a server is called; None if nothing does and no tokenizer is needed."""
    if specs[0].size != "all":
        return "corpus sizes"
    cutting = next((spec.system for spec in specs if {"chunks", "notes"} & find_system(spec.system).needs), None)
    if cutting is not None:
        return f"the pieces of text that {cutting} reads"
    return "limits of tokens a minute" if line is not None and line.tokens_per_minute is not None else None


def _warm_up_retrieval(specs: Sequence[RunSpec]) -> None:
    """Import what cuts chunks, and LlamaIndex's retriever if it ranks them.

    Raises:
        UserError: The retriever is not installed.
    """
    if any(spec.options.sparse_backend == "llama-index" for spec in specs):
        from rmtbench.retrieval import llama_bm25

        llama_bm25.warm_up()
    if any("chunks" in find_system(spec.system).needs for spec in specs):
        from rmtbench.retrieval.chunks import warm_up

        warm_up()


def _memories(specs: Sequence[RunSpec], model: LocalModel, rmt: Path | None) -> dict[str, LoadedMemory]:
    """Load the trained memories of the runs, each once, by their names in the specs."""
    loaded: dict[str, LoadedMemory] = {}
    for spec in specs:
        mode = find_system(spec.system).memory
        folder = memory_folder(rmt, spec.model_name, mode) if mode else None
        label = spec.options.memory or ""
        if folder is not None and label not in loaded:
            loaded[label] = load_memory(folder, model)
    return loaded


def _writer(specs: Sequence[RunSpec], model: LocalModel | EndpointModel) -> LanguageModel | None:
    """Return the model that writes notes; None if no system needs one."""
    options = next((s.options for s in specs if "notes" in find_system(s.system).needs), None)
    if options is None or options.rmt_memory_tokens is None:
        return None
    from rmtbench.systems.rmt_text import note_writer

    return note_writer(model, options.rmt_memory_tokens, options.rmt_heads)
